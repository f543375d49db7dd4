"""From a domain to its servers, with DNS answers of every kind."""

import pytest
from tests.unit.lookup.zone import SERVFAIL, NameServer, resolver, serving

from gatepost.lookup.destination import Destinations, Exchanges
from gatepost.lookup.resolver import NameServiceFailed
from gatepost.mail.delivery import NextHop, Tlsa
from gatepost.mail.reply import Reply
from gatepost.route.security import Demand

DIGEST = "ab" * 32
TABLE = {
    "p.example MX": ["10 a.p.example.", "20 b.p.example."],
    "a.p.example A": ["192.0.2.1"],
    "a.p.example AAAA": ["2001:db8::1"],
    "_25._tcp.a.p.example TLSA": [f"3 1 1 {DIGEST}"],
    "b.p.example A": ["192.0.2.2"],
    "_25._tcp.b.p.example TLSA": SERVFAIL,
    "bare.example A": ["192.0.2.3"],
    "nothing.example TXT": ["x"],
    "null.example MX": ["0 ."],
    "ours.example MX": ["10 gate.example."],
    "dead.example MX": SERVFAIL,
    "lost.example MX": ["10 gone.lost.example."],
    "trap.example MX": ["10 trap.example."],
    "trap.example A": ["127.0.0.1"],
    "cname.p.example MX": ["10 alias.p.example."],
    "alias.p.example A": ["CNAME a.p.example."],
    "alias.p.example AAAA": ["CNAME a.p.example."],
}
HOP = NextHop("", tls="opportunistic")


def asking(server: NameServer, **more: object) -> Destinations:
    return Destinations(resolver(server, **more), bytes, "gate.example")


async def server_of(
    ask: Destinations, domain: str, nth: int = 0, **demand: object
) -> NextHop | Reply:
    found = await ask.exchanges(domain)
    assert isinstance(found, Exchanges)
    return await ask.server(found, found.hosts[nth], HOP, Demand(**demand))  # type: ignore[arg-type]  # as tests write it


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("gone.example", "550 5.1.2"),
        ("null.example", "556 5.1.10"),
        ("ours.example", "554 5.4.6"),
        ("[300.1.1.1]", "550 5.1.2"),
    ],
)
async def test_domains_without_servers(domain: str, status: str) -> None:
    """Mail that cannot arrive is tried for five days."""
    async with serving(TABLE) as server:
        found = await asking(server).exchanges(domain)
    assert isinstance(found, Reply)
    assert f"{found.code} {found.status}" == status


async def test_a_dead_dns_is_no_answer() -> None:
    """A failing name server returns all mail of the day."""
    async with serving(TABLE) as server:
        with pytest.raises(NameServiceFailed):
            await asking(server).exchanges("dead.example")


@pytest.mark.parametrize(
    ("domain", "status"),
    [("nothing.example", "5.1.2"), ("lost.example", "5.4.4"), ("trap.example", "5.4.4")],
)
async def test_hosts_without_addresses(domain: str, status: str) -> None:
    """A host that is nowhere, or that is ourselves, is waited for."""
    async with serving(TABLE) as server:
        found = await server_of(asking(server), domain)
    assert isinstance(found, Reply)
    assert found.status == status


async def test_literals_and_bare_domains() -> None:
    """Mail to [192.0.2.9], or to a domain without MX, cannot be sent."""
    async with serving(TABLE) as server:
        ask = asking(server)
        for domain, host, address in (("[192.0.2.9]", "192.0.2.9", "192.0.2.9"), ("[IPv6:2001:db8::9]", "2001:db8::9", "2001:db8::9"), ("bare.example", "bare.example", "192.0.2.3")):  # fmt: skip
            found = await server_of(ask, domain)
            assert isinstance(found, NextHop)
            assert (found.host, found.addresses, found.tls) == (host, (address,), "opportunistic")


async def test_dane() -> None:
    """A signed domain's certificate is not compared, or an unsigned one's is (RFC 7672 2.2)."""
    async with serving(TABLE, "p.example") as server:
        found = await server_of(asking(server), "p.example")
        assert isinstance(found, NextHop)
        assert (found.tls, found.tlsa) == ("dane", (Tlsa(3, 1, 1, bytes.fromhex(DIGEST)),))
        assert found.names == ("a.p.example",)
        server.table["_25._tcp.a.p.example TLSA"] = [f"2 1 1 {DIGEST}", f"3 1 1 {DIGEST}"]
        issued = await server_of(asking(server), "p.example")
        assert isinstance(issued, NextHop)
        assert issued.names == ("a.p.example", "p.example")  # RFC 7672 section 3.2.2
        assert (found.domain, found.port) == ("p.example", 25)
        for doubted in (asking(server, trust=False),):
            plain = await server_of(doubted, "p.example")
            assert isinstance(plain, NextHop)
            assert plain.tls == "opportunistic"
    async with serving(TABLE) as unsigned:
        plain = await server_of(asking(unsigned), "p.example")
        assert isinstance(plain, NextHop)
        assert plain.tls == "opportunistic"
        assert "_25._tcp.a.p.example TLSA" not in unsigned.asked  # section 2.2.2


async def test_signed_mx_to_an_unsigned_host() -> None:
    """Whoever forges the host's address brings TLSA records of his own."""
    async with serving(TABLE, "_25._tcp.a.p.example") as server:
        server.table["q.example MX"] = ["10 a.p.example."]
        server.signed = ("q.example", "_25._tcp.a.p.example")
        found = await server_of(asking(server), "q.example")
    assert isinstance(found, NextHop)
    assert found.tls == "opportunistic"


async def test_lookup_failure_is_no_permission() -> None:
    """An attacker who blocks the TLSA question gets the mail (RFC 7672 section 2.1.2)."""
    async with serving(TABLE, "p.example") as server:
        found = await server_of(asking(server), "p.example", 1)
    assert isinstance(found, Reply)
    assert (found.code, found.status) == (451, "4.4.3")


async def test_alias() -> None:
    """RFC 7672 section 2.2.3: the records stand at the name behind the alias."""
    async with serving(TABLE, "p.example") as server:
        found = await server_of(asking(server), "cname.p.example")
    assert isinstance(found, NextHop)
    assert (found.tls, found.host) == ("dane", "alias.p.example")
    assert found.names == ("a.p.example",)  # for SNI


async def test_configured_server_by_dane() -> None:
    """A smart host with TLSA records is not verified, or one without passes."""
    async with serving(TABLE, "p.example") as server:
        ask = asking(server)
        found = await ask.fixed(NextHop("a.p.example", tls="dane"), Demand("dane"))
        assert isinstance(found, NextHop)
        assert (found.tls, found.domain) == ("dane", "")
        server.signed = ()
        ask = asking(server)
        refused = await ask.fixed(NextHop("a.p.example", tls="dane"), Demand("dane"))
        assert isinstance(refused, Reply)
        assert refused.is_transient
