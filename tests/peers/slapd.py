"""Debian's slapd with a directory of its own: loopback, a temporary database, perhaps TLS."""

import base64
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.patience import PATIENCE
from tests.peers.postfix import free_port
from tests.unit.route.people import card

SLAPD = "/usr/sbin/slapd"
BASE = "dc=partner,dc=example"
ADMIN, SECRET = f"cn=gatepost,{BASE}", "open sesame"
Entry = tuple[str, Mapping[str, Sequence[str | bytes]]]


def person(name: str, **attributes: Sequence[str | bytes]) -> Entry:
    """Somebody with a mail address; `_binary` in a name stands for ";binary"."""
    known = {
        "objectClass": ["inetOrgPerson"],
        "cn": [name],
        "sn": [name],
        **{one.replace("_binary", ";binary"): some for one, some in attributes.items()},
    }
    return f"cn={name},{BASE}", known


def group(name: str, *members: str, kind: str = "groupOfNames") -> Entry:
    """A group of these names."""
    attribute = "uniqueMember" if kind == "groupOfUniqueNames" else "member"
    return f"cn={name},{BASE}", {"objectClass": [kind], "cn": [name], attribute: members}


@dataclass
class Slapd:
    """One server.  `closed`: nobody reads without the password; `secured`: nor without TLS."""

    folder: Path
    entries: Sequence[Entry]
    closed: bool = False
    secured: bool = False
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        (self.folder / "data").mkdir(parents=True)
        self._write()
        self._run("slapadd", "-l", str(self.folder / "data.ldif"))
        self.start()
        return self

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [SLAPD, "-d", "stats", *self._options(), "-h", f"ldap://127.0.0.1:{self.port}/"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, self.log
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(f"slapd does not answer\n{self.log}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self.folder / "slapd.log"

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def anchors(self) -> Path:
        """The CA that its TLS certificate is from; it is for the name localhost."""
        return self.folder / "root.pem"

    def _options(self) -> tuple[str, ...]:
        return ("-f", str(self.folder / "slapd.conf"))

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [f"/usr/sbin/{program}", *self._options(), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _write(self) -> None:
        now = datetime.now(UTC)
        root = card("Directory Root", ca=True, now=now)
        server = card("localhost", issuer=root, now=now)
        self.anchors.write_bytes(root.pem)
        (self.folder / "server.pem").write_bytes(server.pem)
        (self.folder / "server.key").write_bytes(server.key_pem)
        head = BASE.partition(",")[0].partition("=")[2]
        whole: list[Entry] = [
            (BASE, {"objectClass": ["dcObject", "organization"], "dc": [head], "o": ["Partner"]}),
            *self.entries,
        ]
        (self.folder / "data.ldif").write_text("\n".join(map(_written, whole)))
        schemas = "".join(
            f"include /etc/ldap/schema/{one}.schema\n"
            for one in ("core", "cosine", "inetorgperson")
        )
        readers = "auth" if self.closed else "read"
        (self.folder / "slapd.conf").write_text(
            f"""{schemas}modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.folder}/slapd.pid
TLSCertificateFile {self.folder}/server.pem
TLSCertificateKeyFile {self.folder}/server.key
{"security tls=128" if self.secured else ""}
database mdb
suffix "{BASE}"
directory {self.folder}/data
maxsize 104857600
dbnosync
rootdn "{ADMIN}"
rootpw "{SECRET}"
index objectClass,mail eq
access to * by * {readers}
"""
        )


def _written(entry: Entry) -> str:
    name, attributes = entry
    lines = [f"dn: {name}"]
    for kind, values in attributes.items():
        for one in values:
            octets = one.encode() if isinstance(one, str) else one
            lines.append(f"{kind}:: {base64.b64encode(octets).decode()}")
    return "\n".join((*lines, ""))
