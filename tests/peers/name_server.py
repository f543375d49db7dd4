"""Debian's unbound, serving signed zones to itself and validating them: a resolver for tests.

Zones are written and signed here; nothing is asked of the outside world.
"""

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import dns.dnssec
import dns.message
import dns.query
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from tests.patience import PATIENCE
from tests.peers.postfix import free_port

UNBOUND = shutil.which("unbound", path="/usr/sbin:/usr/bin") or "unbound"
WEEK = 7 * 86400


@dataclass(frozen=True)
class Zone:
    """A zone's records: "name TYPE data", names relative to it.  `forged` changes it after signing."""

    origin: str
    records: Sequence[str]
    signed: bool = True
    forged: Mapping[str, str] = field(default_factory=dict)

    def written(self) -> tuple[str, str]:
        """The zone file and, of a signed zone, its trust anchor."""
        lines = [
            "@ 0 IN SOA ns hostmaster 1 3600 600 86400 0",  # nobody keeps an answer: zones change
            "@ 0 IN NS ns",
            "ns 0 IN A 127.0.0.1",
            *(f"{name} 0 IN {rest}" for name, rest in (one.split(" ", 1) for one in self.records)),
        ]
        zone = dns.zone.from_text("\n".join(lines), origin=f"{self.origin}.", relativize=False)
        anchor = ""
        if self.signed:
            key = ec.generate_private_key(ec.SECP256R1())
            dnskey = dns.dnssec.make_dnskey(key.public_key(), "ECDSAP256SHA256", flags=257)
            dns.dnssec.sign_zone(zone, keys=[(key, dnskey)], lifetime=WEEK, dnskey_ttl=0)
            anchor = f"{self.origin}. IN DNSKEY {dnskey.to_text()}\n"
        text = zone.to_text(relativize=False)
        for old, new in self.forged.items():
            assert old in text
            text = text.replace(old, new)
        return text, anchor


@dataclass
class NameServer:
    """One validating resolver."""

    folder: Path
    zones: Sequence[Zone]
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write()
        self.process = subprocess.Popen(
            [UNBOUND, "-d", "-p", "-c", str(self.folder / "unbound.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        question = dns.message.make_query(f"{self.zones[0].origin}.", "SOA")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(Exception):
                dns.query.udp(question, "127.0.0.1", timeout=0.2, port=self.port)
                return self
            time.sleep(0.05)
        raise TimeoutError(f"unbound does not answer\n{self.log}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    @property
    def log(self) -> str:
        """Everything it has logged."""
        path = self.folder / "unbound.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _write(self) -> None:
        anchors, stanzas = "", []
        root = Zone("", (), signed=False)
        for number, zone in enumerate((*self.zones, root)):
            text, anchor = zone.written()
            path = self.folder / f"{number}.zone"
            path.write_text(text)
            anchors += anchor
            stanzas.append(
                f'auth-zone:\n  name: "{zone.origin}."\n  zonefile: "{path}"\n'
                "  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no\n"
            )
        (self.folder / "anchors").write_text(anchors)
        (self.folder / "unbound.conf").write_text(
            f"""server:
  interface: 127.0.0.1@{self.port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  directory: "{self.folder}"
  use-syslog: no
  logfile: "{self.folder}/unbound.log"
  val-log-level: 2
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "{self.folder}/anchors"
  do-not-query-localhost: no
  target-fetch-policy: "0 0 0 0 0"
{"".join(stanzas)}"""
        )
