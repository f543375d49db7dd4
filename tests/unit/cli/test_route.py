"""`gatepost route`, and the checks that ask the DNS."""

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost
from tests.unit.cli.test_check import Server, configure, finding, statuses
from tests.unit.lookup.zone import NameServer, serving_aside

DIGEST = "ab" * 32
TABLE = {
    "p.example MX": ["10 a.p.example.", "20 b.p.example."],
    "a.p.example A": ["192.0.2.1"],
    "_25._tcp.a.p.example TLSA": [f"3 1 1 {DIGEST}"],
    "b.p.example A": ["192.0.2.2"],
    "example.com MX": ["10 gatepost.example.com."],
    ". SOA": [". hostmaster.example. 1 2 3 4 5"],
}


def by_mx(home: Path, server: NameServer, hop: str = '"mx"') -> None:
    path = home / "gatepost.toml"
    lines = path.read_text().splitlines()
    kept = [f"outbound = {hop}" if one.startswith("outbound = ") else one for one in lines]
    assert kept != lines
    kept.append(f'[resolver]\nservers = ["127.0.0.1:{server.port}"]\ntimeout = "1s"')
    path.write_text("\n".join(kept))


def test_servers_and_reasons(gatepost: Gatepost, home: Path) -> None:
    """Nobody can tell beforehand how a partner's mail will go."""
    with serving_aside(TABLE, "p.example") as server:
        by_mx(home, server)
        ran = gatepost("route", "bob@P.example", "--json")
        assert ran.code == 0
        assert (ran.data["hop"], ran.data["found"]) == (
            "mx:p.example",
            "MX records, proven by DNSSEC",
        )
        first, second = ran.data["servers"]
        assert (first["name"], first["tls"], first["addresses"]) == (
            "a.p.example",
            "dane",
            ["192.0.2.1"],
        )
        assert first["tlsa"] == ["3 1 1 abababababababab…"]
        assert (second["tls"], second["why"]) == ("opportunistic", "nothing is published")
        said = gatepost("route", "p.example").out
        assert "DANE: the domain publishes TLSA records" in said
        ran = gatepost("route", "p.example", "--secure", "--json")
        assert [one["tls"] for one in ran.data["servers"]] == ["dane", "verified"]


def test_nowhere(gatepost: Gatepost, home: Path) -> None:
    """A domain without servers looks like one that works."""
    with serving_aside(TABLE) as server:
        by_mx(home, server)
        ran = gatepost("route", "gone.example", "--json")
        assert (ran.code, ran.data["servers"]) == (1, [])
        assert ran.data["refused"].startswith("550 5.1.2")
        assert gatepost("route", "gone.example").code == 1
        assert gatepost("route", "@").code == 2
        said = gatepost("route", "nonsense..").err
        assert "'nonsense..' is neither a domain" in said
        assert "postmaster" not in said
        assert gatepost("route", "no such domain").code == 2


def test_configured(gatepost: Gatepost, home: Path) -> None:
    """Our own domain is looked up in the DNS, or a smart host."""
    ran = gatepost("route", "example.com", "--json")
    assert (ran.code, ran.data["hop"], ran.data["found"]) == (0, "inbound", "configured")
    assert gatepost("route", "p.example", "--json").data["hop"] == "outbound"


@pytest.mark.parametrize(("greeting", "code"), [(b"220 hi", 0), (b"554 go away", 1)])
def test_connect(gatepost: Gatepost, home: Path, greeting: bytes, code: int) -> None:
    """A server that turns us away is called good."""
    server = Server(greeting, b"250 mail.example.com")
    try:
        configure(home, 'inbound = "127.0.0.1:10026"', f'inbound = "127.0.0.1:{server.port}"')
        ran = gatepost("route", "example.com", "--connect", "--json")
    finally:
        server.close()
    assert ran.code == code
    (one,) = ran.data["servers"]
    assert one["usable"] is (code == 0)
    if code == 0:
        assert one["contact"]["security"] == "opportunistic: clear text: STARTTLS is not offered"
        assert not any(line.upper().startswith(b"MAIL") for line in server.heard)


def test_resolver(gatepost: Gatepost, home: Path) -> None:
    """Mail waits, or DANE is not used, and `check` saw nothing."""
    assert statuses(gatepost("check", "--json", "--only", "DNS-01"), "DNS-01") == {"SKIP"}
    with serving_aside(TABLE) as server:
        by_mx(home, server)
        unsigned = gatepost("check", "--json", "--only", "DNS-01")
        assert "proves nothing" in finding(unsigned, "DNS-01")[0]["detail"]
        server.signed = (".",)
        assert statuses(gatepost("check", "--json", "--only", "DNS-01"), "DNS-01") == {"PASS"}
        configure(home, "[resolver]", '[resolver]\ndnssec = "off"')
        assert (
            "DANE is not used"
            in finding(gatepost("check", "--json", "--only", "DNS-01"), "DNS-01")[0]["detail"]
        )
    dead = gatepost("check", "--json", "--only", "DNS-01")
    assert statuses(dead, "DNS-01") == {"FAIL"}


def test_own_domains(gatepost: Gatepost, home: Path) -> None:
    """Nobody in the world can write to us, and `check` is content."""
    with serving_aside(TABLE) as server:
        by_mx(home, server)
        found = finding(gatepost("check", "--json", "--only", "DNS-02"), "DNS-02")
        assert (found[0]["status"], found[0]["detail"]) == (
            "PASS",
            "example.com: gatepost.example.com",
        )
        server.table["example.com MX"] = []
        server.table.pop("example.com MX")
        assert statuses(gatepost("check", "--json", "--only", "DNS-02"), "DNS-02") == {"WARN"}
    assert statuses(gatepost("check", "--json", "--only", "DNS-02"), "DNS-02") == {"SKIP"}


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('proxies = ["0.0.0.0/0"]', "FAIL"),
        ('xclient = ["::/0"]', "FAIL"),
        ('proxies = ["10.0.0.0/8"]', "WARN"),
        ('proxies = ["10.0.0.7/32"]', "PASS"),
        ("", "PASS"),
    ],
)
def test_believed_peers(gatepost: Gatepost, home: Path, line: str, status: str) -> None:
    """Anybody in the world may say that he is our mail server."""
    configure(home, "[[listener]]\n", f"[[listener]]\n{line}\n")
    assert statuses(gatepost("check", "--json", "--only", "CFG-05"), "CFG-05") == {status}
