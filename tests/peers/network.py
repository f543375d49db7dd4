"""Machines that can be cut off: network namespaces at a bridge of the test's own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Self

from tests.conftest import absent


@dataclass(frozen=True)
class Machine:
    """One namespace."""

    name: str
    address: str
    cable: str  # our end of it

    @property
    def wrapper(self) -> tuple[str, ...]:
        """What runs a command there; it becomes the command."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Pull the cable out: nothing arrives, and nobody hears that it does not."""
        _ip("link", "set", self.cable, "down")

    def join(self) -> None:
        """Put it in again."""
        _ip("link", "set", self.cable, "up")


class Network:
    """A bridge of 10.213.N.0/24 with this machine as .1; needs root and iproute2."""

    def __init__(self) -> None:
        number = os.getpid() % 250 + 1
        self._prefix, self._bridge = f"10.213.{number}", f"gpbr{number}"
        self._machines: list[Machine] = []

    @property
    def here(self) -> str:
        """This machine's address on it."""
        return f"{self._prefix}.1"

    @property
    def block(self) -> str:
        """All of its addresses."""
        return f"{self._prefix}.0/24"

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            absent("needs root and ip (iproute2) for network namespaces")
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
        except RuntimeError as error:
            absent(f"needs network namespaces: {error}")
        _ip("addr", "add", f"{self.here}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._machines:
            _ip("netns", "del", one.name)
        _ip("link", "del", self._bridge)

    def machine(self) -> Machine:
        """Another one."""
        number = len(self._machines) + 2
        cable = f"{self._bridge}v{number}"
        made = Machine(f"{self._bridge}n{number}", f"{self._prefix}.{number}", cable)
        _ip("netns", "add", made.name)
        self._machines.append(made)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        _ip("link", "set", cable, "master", self._bridge, "up")
        _ip("-n", made.name, "addr", "add", f"{made.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", made.name, "link", "set", device, "up")
        return made


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
