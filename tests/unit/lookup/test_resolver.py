"""DNS answers: what is believed, what waits, what is asked only once."""

from pathlib import Path

import pytest
from tests.unit.lookup.zone import REFUSED, SERVFAIL, resolver, serving

from gatepost.lookup.resolver import (
    NameServiceFailed,
    Resolver,
    ResolverSettings,
    is_trusted_by_system,
    system_servers,
)
from gatepost.mail.delivery import Tlsa
from gatepost.route.mx import Exchange

TABLE = {
    "p.example MX": ["20 b.p.example.", "10 A.p.example."],
    "null.example MX": ["0 ."],
    "a.p.example A": ["192.0.2.1"],
    "a.p.example AAAA": ["2001:db8::1"],
    "_25._tcp.a.p.example TLSA": ["3 1 1 " + "ab" * 32],
    "_mta-sts.p.example TXT": ['"v=STSv1; " "id=1;"'],
    "alias.p.example A": ["CNAME a.p.example."],
    "alias.p.example AAAA": ["CNAME a.p.example."],
    "half.example A": ["192.0.2.1"],
    "half.example AAAA": SERVFAIL,
    "broken.example MX": SERVFAIL,
    "refused.example MX": REFUSED,
    "silent.example MX": None,
}


async def test_records() -> None:
    """A domain's hosts, addresses or proofs are misread."""
    async with serving(TABLE, "p.example") as server:
        ask = resolver(server)
        found = await ask.exchanges("p.example")
        assert set(found.records) == {Exchange(20, "b.p.example"), Exchange(10, "a.p.example")}
        assert found.authentic
        assert (await ask.exchanges("null.example")).records == (Exchange(0, ""),)
        where = await ask.addresses("a.p.example")
        assert (where.six, where.four, where.authentic) == (("2001:db8::1",), ("192.0.2.1",), True)
        assert (await ask.addresses("alias.p.example")).canonical == "a.p.example"
        assert await ask.tlsa("a.p.example", 25) == (Tlsa(3, 1, 1, b"\xab" * 32),)
        assert await ask.text("_mta-sts.p.example") == ("v=STSv1; id=1;",)


async def test_names_that_do_not_exist() -> None:
    """A mistyped domain is tried for five days; a strange one stops the worker."""
    async with serving(TABLE) as server:
        ask = resolver(server)
        for name in (
            "gone.example",
            "x" * 64 + ".example",
            "a..example",
            "straße.example",
            "\udcff.example",
        ):
            found = await ask.exchanges(name)
            assert not found.exists
        assert (await ask.exchanges("a.p.example")).exists  # it has an address


@pytest.mark.parametrize("name", ["broken.example", "refused.example", "silent.example"])
async def test_failures_are_not_answers(name: str) -> None:
    """Mail is returned because a name server was down for a minute."""
    async with serving(TABLE) as server:
        with pytest.raises(NameServiceFailed) as failed:
            await resolver(server, timeout=0.3, lifetime=0.5).exchanges(name)
    assert failed.value.reply[:2] == (451, "4.4.3")


async def test_no_resolver() -> None:
    """A machine without DNS returns all mail."""
    ask = Resolver(ResolverSettings((("127.0.0.1", 1),), timeout=0.2, lifetime=0.3))
    with pytest.raises(NameServiceFailed):
        await ask.exchanges("p.example")


async def test_asked_once() -> None:
    """A thousand mails to one domain are a thousand questions; or an answer is kept too long."""
    async with serving(TABLE) as server:
        ask = resolver(server)
        for _ in range(3):
            await ask.exchanges("p.example")
            await ask.exchanges("gone.example")
        assert server.asked.count("p.example MX") == 1
        server.ttl = 0
        for _ in range(3):
            await ask.text("_mta-sts.p.example")
        assert server.asked.count("_mta-sts.p.example TXT") == 3


async def test_whom_to_believe() -> None:
    """A resolver across the network, or anybody between, says what is proven."""
    async with serving(TABLE, "p.example") as server:
        doubted = resolver(server, trust=False)
        assert not (await doubted.exchanges("p.example")).authentic
        assert not (await doubted.addresses("a.p.example")).authentic
        assert await doubted.tlsa("a.p.example", 25) == ()
        assert await doubted.is_validating("p.example")  # it would, if only it were believed
        assert not await doubted.is_validating("half.example")
    assert not Resolver(ResolverSettings((("192.0.2.53", 53),))).believes
    assert Resolver(ResolverSettings((("192.0.2.53", 53),), trust=True)).believes
    assert Resolver(ResolverSettings((("127.0.0.1", 53), ("::1", 53)))).believes


async def test_unsigned_tlsa_proves_nothing() -> None:
    """RFC 7672 section 2.2: an attacker's own records name his certificate."""
    async with serving(TABLE) as server:
        assert await resolver(server).tlsa("a.p.example", 25) == ()


async def test_half_an_answer() -> None:
    """One forged half (SERVFAIL) takes DANE away, or a lame one stops all mail."""
    async with serving(TABLE, "half.example") as server:
        with pytest.raises(NameServiceFailed):
            await resolver(server).addresses("half.example")
        found = await resolver(server, trust=False).addresses("half.example")
        assert (found.four, found.authentic) == (("192.0.2.1",), False)
        only = await resolver(server, ipv6=False).addresses("half.example")
        assert (only.four, only.authentic) == (("192.0.2.1",), True)


def test_system_settings(tmp_path: Path) -> None:
    """The system's resolver is not found, or believed unasked."""
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# x\nnameserver 192.0.2.53\nnameserver nonsense\nnameserver fe80::1%eth0\noptions ndots:2 trust-ad\n"
    )
    assert system_servers(path) == (("192.0.2.53", 53), ("fe80::1%eth0", 53))
    assert is_trusted_by_system(path)
    path.write_text("nameserver 192.0.2.53\n")
    assert not is_trusted_by_system(path)
    assert system_servers(tmp_path / "none") == ()
