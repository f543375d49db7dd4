"""Every peer by its name: where its programs are, and how it starts in an empty home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.interop.peers.bouncycastle import BouncyCastle, Machine, compiled
from tests.interop.peers.gpgsm import Gpgsm
from tests.interop.peers.nss import Nss
from tests.interop.peers.openssl import OpenSsl
from tests.interop.peers.shape import Peer
from tests.interop.people import ROOT

NEWER = Path(os.environ.get("GATEPOST_PEERS", "/opt/gatepost-peers"))
PROGRAMS = {
    "openssl": ("openssl",),
    "gpgsm": ("gpgsm", "gpgconf"),
    "nss": ("cmsutil", "certutil", "pk12util"),
    "bouncycastle": ("java", "javac"),
}


def missing(name: str) -> str:
    """Why a newer peer cannot be started here, if so; the others are on the PATH."""
    kind, _, newer = name.partition("-")
    files = [NEWER / "bin" / program for program in PROGRAMS[kind]]
    if kind == "bouncycastle":
        files = [NEWER / "root/usr/share/java/bcmail.jar"]
    gone = [one.name for one in files if newer and not one.exists()]
    return f"needs a newer {gone[0]} (scripts/install-newer-peers)" if gone else ""


class Company:
    """Starts peers; the Java machines, slow to start, are shared until the end."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.machines: dict[str, Machine] = {}

    def start(self, name: str, folder: Path) -> Peer:
        """The peer of this name, at home in this folder."""
        kind, _, newer = name.partition("-")
        programs = NEWER / "bin" if newer else None
        makers: dict[str, Callable[[], Peer]] = {
            "openssl": lambda: OpenSsl(
                folder, ROOT, "openssl" if programs is None else str(programs / "openssl")
            ),
            "gpgsm": lambda: Gpgsm(folder, ROOT, programs),
            "nss": lambda: Nss(folder, ROOT, programs),
            "bouncycastle": lambda: BouncyCastle(folder, self._machine(name)),
        }
        return makers[kind]()

    def _machine(self, name: str) -> Machine:
        if name not in self.machines:
            root = NEWER / "root" if name.endswith("-new") else Path("/")
            self.machines[name] = Machine(compiled(self.shared / name, root), root)
        return self.machines[name]

    def close(self) -> None:
        """End the machines."""
        for machine in self.machines.values():
            machine.close()
