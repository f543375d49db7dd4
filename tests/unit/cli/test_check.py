"""`gatepost check`: findings, exit codes, and that it changes nothing."""

import re
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing as closing_
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.unit.cli.conftest import Gatepost, Ran

from gatepost.admin import check

GREETING = b"250 gatepost.example.com greets you"


def finding(ran: Ran, id_: str) -> list[dict[str, str]]:
    return [one for one in ran.data["findings"] if one["id"] == id_]


def statuses(ran: Ran, id_: str) -> set[str]:
    return {one["status"] for one in finding(ran, id_)}


class Server(threading.Thread):
    """A mail server that answers every command with the next of its replies."""

    def __init__(self, *replies: bytes) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        self._replies = replies
        self.start()

    def run(self) -> None:
        try:
            peer, _ = self._socket.accept()
        except OSError:
            return
        with peer, peer.makefile("rwb") as stream:
            for reply in self._replies:
                stream.write(reply + b"\r\n")
                stream.flush()
                line = stream.readline()
                self.heard.append(line.strip())
                if not line:
                    return

    def close(self) -> None:
        self._socket.close()
        self.join(5)


@pytest.fixture
def closing() -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for one in servers:
        one.close()


def configure(home: Path, old: str, new: str) -> None:
    path = home / "gatepost.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_fresh_installation(gatepost: Gatepost, home: Path) -> None:
    """A right installation is called wrong."""
    configure(home, '"127.0.0.1:10025"', '"127.0.0.1:0"')
    ran = gatepost("check", "--json")
    wrong = {one["id"] for one in ran.data["findings"] if one["status"] == "FAIL"}
    assert wrong <= {"HOP-01"}  # nobody listens at the next hop
    assert ran.code == 2
    assert gatepost("check", "--only", "CFG-01").code == 0


def test_nothing_is_changed(gatepost: Gatepost, home: Path) -> None:
    """Looking damages."""
    before = {one: one.read_bytes() for one in home.rglob("*") if one.is_file()}
    gatepost("check")
    after = {one: one.read_bytes() for one in home.rglob("*") if one.is_file()}
    assert {one: text for one, text in after.items() if one in before} == before
    assert {one.name for one in after.keys() - before.keys()} <= {
        "directory.db-wal",
        "directory.db-shm",
    }


def test_ids_are_stable() -> None:
    """A monitoring rule speaks of a check that is not there any more."""
    assert {one.id for one in check.checks()} >= {
        *("CFG-01", "CFG-02", "CFG-03", "CFG-04", "KEY-01", "KEY-02", "TLS-01", "DIR-01"),
        *("CA-01", "CRT-01", "MOD-01", "SRC-01", "SRC-02", "LDAP-01", "FOLDER-01"),
        *("ID-01", "ID-02"),
        *("POL-01", "QUE-01", "QUE-02", "DSK-01", "DSK-02", "CLK-01", "PRT-01", "HOP-01", "RLY-01"),
    }


def test_a_mode_for_going_live_is_not_forgotten(gatepost: Gatepost, home: Path) -> None:
    """For a year nothing is encrypted, because somebody only wanted to look first."""
    assert gatepost("check", "--only", "MOD-01").code == 0
    path = home / "gatepost.toml"
    for line, said in (('mode = "monitor"', "untouched"), ("soft_bounce = true", "soft_bounce")):
        before = path.read_text()
        path.write_text(before.replace("[gateway]", f"[gateway]\n{line}", 1))
        ran = gatepost("check", "--only", "MOD-01", "--json")
        path.write_text(before)
        assert statuses(ran, "MOD-01") == {"WARN"}
        assert said in finding(ran, "MOD-01")[0]["detail"]


@pytest.mark.parametrize(
    ("hop", "rule", "said"),
    [
        ("10.0.0.9:25", "", "WARN"),
        ("mx", "", "WARN"),  # for plain.example
        ("mx", 'to = "other.example"', "PASS"),
        ("10.0.0.9:25", 'to = "lawyers.example"', "PASS"),
        ("10.0.0.9:25", 'to = "*.example"', "WARN"),
        ("mx", 'to = "plain.example"', "WARN"),
    ],
)
def test_verified_tls_has_a_way(
    gatepost: Gatepost, home: Path, hop: str, rule: str, said: str
) -> None:
    """Mail for which TLS is enough waits for days for a proof that its way cannot give."""
    path = home / "gatepost.toml"
    text = re.sub(r"(?m)^outbound = .*$", f'outbound = "{hop}"', path.read_text())
    text += '\n[[route]]\ndomain = "lawyers.example"\nhost = "10.0.0.8"\ntls = "verified"\n'
    path.write_text(text + '\n[[route]]\ndomain = "plain.example"\nhost = "10.0.0.8"\n')
    assert statuses(gatepost("check", "--only", "POL-02", "--json"), "POL-02") == {"PASS"}
    policy = home / "policy.toml"
    head = f'[[rule]]\nname = "lawyers"\n{rule}' if rule else "[defaults]"
    policy.write_text(f'{head}\nencrypt = "mandatory"\nunencryptable = "verified-tls"\n')
    assert gatepost("policy", "apply", policy).code == 0
    ran = gatepost("check", "--only", "POL-02", "--json")
    assert statuses(ran, "POL-02") == {said}
    if said == "WARN":
        assert "until it expires" in finding(ran, "POL-02")[0]["detail"]


def _usage(usage: Any, free: int, _: object) -> Any:
    return usage._replace(free=free)


def test_a_disk_that_fills(gatepost: Gatepost, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail is refused by 452 and the check sees nothing wrong."""
    usage = shutil.disk_usage(home)
    for free, status in ((99 << 20, "FAIL"), (900 << 20, "WARN"), (usage.total, "PASS")):
        monkeypatch.setattr(shutil, "disk_usage", partial(_usage, usage, free))
        ran = gatepost("check", "--only", "DSK-01", "--json")
        assert statuses(ran, "DSK-01") == {status}


def test_every_check_can_be_explained(gatepost: Gatepost) -> None:
    """An id means nothing to whoever reads it at night."""
    assert all(len(one.explanation) > 40 for one in check.checks())
    assert "stranger" in gatepost("check", "--explain", "rly-01").out
    assert gatepost("check", "--explain", "all").out.count("\n") >= 2 * len(check.checks())
    ran = gatepost("check", "--explain", "XYZ-99")
    assert ran.code == 2
    assert "RLY-01" in ran.err


def test_a_wrong_configuration(gatepost: Gatepost, home: Path) -> None:
    """Every check fails for the same reason, and nobody says which."""
    configure(home, "hostname", "hostnam")
    ran = gatepost("check", "--json")
    assert ran.code == 2
    assert "did you mean hostname?" in finding(ran, "CFG-01")[0]["detail"]
    others = {one["status"] for one in ran.data["findings"] if one["id"] != "CFG-01"}
    assert others == {"SKIP"}


def test_no_configuration_at_all(gatepost: Gatepost, tmp_path: Path) -> None:
    """A wrong path ends in a traceback."""
    ran = gatepost("check", "--json", "--config", tmp_path / "absent.toml")
    assert ran.code == 2
    assert statuses(ran, "CFG-01") == {"FAIL"}


def test_a_readable_key_is_found(gatepost: Gatepost, home: Path) -> None:
    """The key of everything lies open and nobody notices."""
    (home / "vault.key").chmod(0o644)
    ran = gatepost("check", "--json")
    assert "chmod 600" in finding(ran, "KEY-01")[0]["detail"]
    assert statuses(ran, "KEY-01") == {"FAIL"}


def test_a_missing_or_damaged_directory(gatepost: Gatepost, home: Path) -> None:
    """A damaged database is found by the users."""
    database = home / "gatepost-state" / "directory.db"
    database.write_bytes(b"no database " * 1000)
    ran = gatepost("check", "--json")
    assert statuses(ran, "DIR-01") == {"FAIL"}
    assert statuses(ran, "CA-01") | statuses(ran, "CRT-01") | statuses(ran, "POL-01") == {"SKIP"}
    database.unlink()
    ran = gatepost("check", "--json")
    assert "does not exist" in finding(ran, "DIR-01")[0]["detail"]
    assert not database.exists()


def test_tls_files_that_do_not_fit(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """STARTTLS fails at the first mail."""
    other = tmp_path / "other"
    gatepost("init", "other.example", "--yes", "--config", other / "gatepost.toml")
    ours, theirs = home / "tls-key.pem", (other / "tls-key.pem").read_bytes()
    sealed = load_pem_private_key(theirs, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for octets, why in (
        (theirs, "is not the key of"),
        ((home / "tls-certificate.pem").read_bytes(), "holds no private key"),
        (sealed, "is encrypted"),  # OpenSSL would ask for the password at the terminal
    ):
        ours.write_bytes(octets)
        (found,) = finding(gatepost("check", "--json", "--only", "TLS-01"), "TLS-01")
        assert (found["status"], found["fix"]) == ("FAIL", "see certificate and key in [tls]")
        assert why in found["detail"]


def test_a_wide_trusted_network(gatepost: Gatepost, home: Path) -> None:
    """A gateway open to the world passes."""
    configure(home, '"::1/128"', '"0.0.0.0/0"')
    assert statuses(gatepost("check", "--json"), "CFG-03") == {"FAIL"}


def test_a_world_writable_configuration(gatepost: Gatepost, home: Path) -> None:
    """Anybody on the machine can redirect all mail."""
    (home / "gatepost.toml").chmod(0o666)
    assert "FAIL" in statuses(gatepost("check", "--json"), "CFG-02")


def test_a_clock_that_is_behind(home: Path) -> None:
    """Valid certificates are refused and nobody knows why."""
    report = check.run(home / "gatepost.toml", ["CLK-01"], datetime(2020, 1, 1, tzinfo=UTC))
    assert report.status is check.Status.FAIL


def test_an_open_relay_is_found(gatepost: Gatepost, home: Path, closing: list[Server]) -> None:
    """The gateway sends the world's spam."""
    server = Server(b"220 hi", GREETING, b"250 ok", b"250 ok", b"221 bye")
    closing.append(server)
    configure(home, '"127.0.0.1:10025"', f'"127.0.0.1:{server.port}"')
    ran = gatepost("check", "--json", "--only", "RLY-01")
    assert ran.code == 2
    assert "relays for strangers" in finding(ran, "RLY-01")[0]["detail"]
    assert not any(line.upper().startswith(b"DATA") for line in server.heard)


@pytest.mark.parametrize("sender", [True, False])
def test_a_refusal_passes(
    gatepost: Gatepost, home: Path, closing: list[Server], sender: bool
) -> None:
    """A right gateway is called an open relay."""
    replies = [b"550 5.7.1 no"] if sender else [b"250 ok", b"550 5.7.1 no"]
    server = Server(b"220 hi", GREETING, *replies, b"221 bye")
    closing.append(server)
    configure(home, '"127.0.0.1:10025"', f'"127.0.0.1:{server.port}"')
    assert gatepost("check", "--only", "RLY-01").code == 0


def test_a_port_taken_by_something_else(
    gatepost: Gatepost, home: Path, closing: list[Server]
) -> None:
    """The gateway does not start and `check` saw nothing."""
    server = Server(b"554 not a mail server for you")
    closing.append(server)
    configure(home, '"127.0.0.1:10025"', f'"127.0.0.1:{server.port}"')
    assert statuses(gatepost("check", "--json", "--only", "PRT-01"), "PRT-01") == {"FAIL"}


def test_an_address_that_is_not_here(gatepost: Gatepost, home: Path) -> None:
    """Whoever mistyped an address is told to look for a program that has the port."""
    configure(home, '"127.0.0.1:10025"', '"192.0.2.1:10025"')  # RFC 5737: nobody's
    (found,) = finding(gatepost("check", "--json", "--only", "PRT-01"), "PRT-01")
    assert "ip address" in found["fix"]


@pytest.mark.parametrize(
    ("tls", "expected"), [("opportunistic", "PASS"), ("required", "FAIL"), ("none", "PASS")]
)
def test_next_hops(
    gatepost: Gatepost, home: Path, closing: list[Server], tls: str, expected: str
) -> None:
    """A hop that cannot do what is asked of it is called good."""
    server = Server(b"220 hi", b"250 hello", b"221 bye")
    closing.append(server)
    hop = f'{{ host = "127.0.0.1", port = {server.port}, tls = "{tls}" }}'
    configure(home, 'inbound = "127.0.0.1:10026"', f"inbound = {hop}")
    ran = gatepost("check", "--json", "--only", "HOP-01")
    assert finding(ran, "HOP-01")[0]["status"] == expected


def test_another_mail_server_on_the_port(
    gatepost: Gatepost, home: Path, closing: list[Server]
) -> None:
    """The mail server's own port is called a gateway, and an open relay."""
    servers = [Server(b"220 hi", b"250 mail.example.com", b"221 bye") for _ in range(2)]
    closing.extend(servers)
    configure(home, '"127.0.0.1:10025"', f'"127.0.0.1:{servers[0].port}"')
    ran = gatepost("check", "--json", "--only", "PRT-01")
    assert "another mail server, mail.example.com" in finding(ran, "PRT-01")[0]["detail"]
    configure(home, f":{servers[0].port}", f":{servers[1].port}")
    assert statuses(gatepost("check", "--json", "--only", "RLY-01"), "RLY-01") == {"SKIP"}


def test_a_key_of_another_gateway(gatepost: Gatepost, home: Path) -> None:
    """A wrong vault key is found by the first mail that cannot be signed."""
    assert statuses(gatepost("check", "--json", "--only", "KEY-02"), "KEY-02") == {"PASS"}
    (home / "vault.key").write_text("5a" * 32)
    ran = gatepost("check", "--json")
    assert statuses(ran, "KEY-01") == {"PASS"}
    assert "does not open the private key" in finding(ran, "KEY-02")[0]["detail"]


def test_no_policy_at_all(gatepost: Gatepost, home: Path) -> None:
    """Rules that vanished are missed by nobody."""
    with closing_(sqlite3.connect(home / "gatepost-state" / "directory.db")) as database:
        database.execute("DELETE FROM policy_revision")
        database.commit()
    assert statuses(gatepost("check", "--json", "--only", "POL-01"), "POL-01") == {"WARN"}


def test_a_tls_key_that_is_gone(gatepost: Gatepost, home: Path) -> None:
    """'No such file' does not say which."""
    (home / "tls-key.pem").unlink()
    assert "tls-key.pem" in gatepost("check", "--only", "TLS-01").out


def test_the_advice_fits_the_fault(gatepost: Gatepost, tmp_path: Path) -> None:
    """Whoever has no configuration is told to read its schema."""
    assert "gatepost init" in gatepost("check", "--config", tmp_path / "absent.toml").out


def test_authorities_outside(gatepost: Gatepost, home: Path) -> None:
    """An authority is away, and nobody knows before the first mail waits."""
    assert statuses(gatepost("check", "--only", "SRC-01", "--json"), "SRC-01") == {"SKIP"}
    for name in ("out", "in"):
        (home / name).mkdir()
    sources = """
[[certificate_source]]
name = "folders"
kind = "file"
[certificate_source.file]
outbox = "out"
inbox = "in"
[[certificate_source]]
name = "est"
kind = "est"
[certificate_source.est]
url = "https://127.0.0.1:1"
[[certificate_source]]
name = "gone"
kind = "vendor"
"""
    configure(home, "[vault]", f"{sources}[vault]")
    ran = gatepost("check", "--only", "SRC-01", "--json")
    found = [(one["status"], one["detail"]) for one in finding(ran, "SRC-01")]
    assert found[0] == ("PASS", f"folders: 0 requests wait in {home / 'out'}")
    assert found[1][0] == "WARN"
    assert found[1][1].startswith("est: 127.0.0.1:1: ")
    assert found[2][0] == "FAIL"
    assert "there is no kind 'vendor'" in found[2][1]
