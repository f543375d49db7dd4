"""What a hop must prove before it gets mail: DANE, several names, verified connections only."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.dialogues.company import Company
from tests.patience import soon
from tests.unit.net.scene import HOST, envelope, listening, pretending, relaying
from tests.unit.net.test_relay import BODY, HI, OFFER, WHOLE, YES, replies
from tests.unit.route.people import Card, card

from gatepost.mail.delivery import NextHop, Tlsa, TlsPolicy
from gatepost.net.listener import Listener
from gatepost.net.settings import RelaySettings
from gatepost.net.tls import client_context, server_context

NAME = "mx.partner.example"
TODAY = datetime.now(UTC)
ROOT = card("Root", ca=True, now=TODAY)
LEAF = card(NAME, issuer=ROOT, now=TODAY)
OLD = card(NAME, issuer=ROOT, now=TODAY, days=5, age=10)


def tlsa(usage: int, of: Card, flip: int = 0) -> Tlsa:
    digest = hashlib.sha256(of.spki).digest()
    return Tlsa(usage, 1, 1, bytes([digest[0] ^ flip]) + digest[1:])


@asynccontextmanager
async def showing(folder: Path, leaf: Card) -> AsyncIterator[tuple[Listener, Company]]:
    """A server that shows this certificate and its issuer."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(leaf.pem + ROOT.pem)
    key.write_bytes(leaf.key_pem)
    (folder / "root.pem").write_bytes(ROOT.pem)
    company = Company()
    async with listening(company, tls=server_context(chain, key)) as listener:
        yield listener, company


def dane(listener: Listener, *records: Tlsa) -> NextHop:
    return NextHop(HOST, listener.port, "dane", names=(NAME,), tlsa=records, why="DNSSEC says so")


@pytest.mark.parametrize(
    ("leaf", "record", "passes"),
    [
        (LEAF, tlsa(3, LEAF), True),
        (OLD, tlsa(3, OLD), True),
        (LEAF, tlsa(3, LEAF, flip=1), False),
        (LEAF, tlsa(2, ROOT), True),
        (LEAF, tlsa(2, ROOT, flip=1), False),
        (OLD, tlsa(2, ROOT), False),
        (card("mx.other.example", issuer=ROOT, now=TODAY), tlsa(2, ROOT), False),
    ],
    ids=["EE", "EE expired", "EE tampered", "TA", "TA tampered", "TA expired", "TA wrong name"],
)
async def test_dane(tmp_path: Path, leaf: Card, record: Tlsa, passes: bool) -> None:
    """An impostor gets the mail of a domain that published its key (RFC 7672)."""
    async with showing(tmp_path, leaf) as (listener, company), relaying() as relay:
        (attempt,) = await relay.deliver(dane(listener, record), envelope(), BODY)
    if passes:
        assert replies([attempt]) == ["250 2.0.0"]
        assert attempt.security.startswith(f"dane (DNSSEC says so): TLSA {record}")
    else:
        assert replies([attempt]) == ["451 4.7.5"]
        assert attempt.remote == ""
        assert company.kept == []


async def test_dane_never_in_clear() -> None:
    """Somebody who strips STARTTLS gets the mail."""
    async with listening(Company()) as listener, relaying() as relay:
        attempts = await relay.deliver(dane(listener, tlsa(3, LEAF)), envelope(), BODY)
    assert replies(attempts) == ["451 4.7.4"]


@pytest.mark.parametrize(
    ("names", "passes"),
    [
        (("partner.example", ".partner.example"), True),
        ((NAME,), True),
        (("other.example", ".other.example"), False),
    ],
)
async def test_several_names(tmp_path: Path, names: tuple[str, ...], passes: bool) -> None:
    """A certificate of anybody else with a right chain passes for the partner's."""
    async with showing(tmp_path, LEAF) as (listener, _), relaying() as relay:
        anchors = str(tmp_path / "root.pem")
        hop = NextHop(HOST, listener.port, "verified", tls_ca=anchors, names=names)
        (attempt,) = await relay.deliver(hop, envelope(), BODY)
        assert replies([attempt]) == ["250 2.0.0" if passes else "451 4.7.5"]
        assert passes == attempt.security.endswith(f"names {NAME}")
        unknown = replace(hop, tls_ca="")  # the system does not know this authority
        assert replies(await relay.deliver(unknown, envelope(), BODY)) == ["451 4.7.5"]


@pytest.mark.parametrize("policy", ["none", "opportunistic", "required"])
async def test_mail_that_needs_a_verified_connection(tmp_path: Path, policy: TlsPolicy) -> None:
    """Clear text, allowed over a verified connection only, goes over another one."""
    secure = replace(envelope(), secure=True)
    async with showing(tmp_path, LEAF) as (listener, company), relaying() as relay:
        loose = NextHop(HOST, listener.port, policy)
        assert replies(await relay.deliver(loose, envelope(), BODY)) == ["250 2.0.0"]
        assert replies(await relay.deliver(loose, secure, BODY)) == ["451 4.7.10"]
        assert replies(await relay.deliver(dane(listener, tlsa(3, LEAF)), secure, BODY)) == [
            "250 2.0.0"
        ]
        assert [kept[0].tls is not None for kept in company.kept] == [policy != "none", True]
        await soon(
            lambda: listener.connections == 1
        )  # the loose one was closed when its server was asked again


async def test_connections_are_not_shared_between_requirements(tmp_path: Path) -> None:
    """A connection opened with any certificate carries mail that must be verified."""
    async with (
        showing(tmp_path, card("mx.evil.test", now=TODAY)) as (listener, company),
        relaying() as relay,
    ):
        assert replies(await relay.deliver(NextHop(HOST, listener.port), envelope(), BODY)) == [
            "250 2.0.0"
        ]
        strict = dane(listener, tlsa(3, LEAF))
        assert replies(await relay.deliver(strict, envelope(), BODY)) == ["451 4.7.5"]
    assert len(company.kept) == 1


async def test_each_domain_has_its_own_reasons(tmp_path: Path) -> None:
    """Of a mail over another domain's connection the trace tells that other domain's policy."""
    async with showing(tmp_path, LEAF) as (listener, _), relaying() as relay:
        hop = dane(listener, tlsa(3, LEAF))
        for domain, why in (("a.example", "A said so"), ("b.example", "B said so")):
            (attempt,) = await relay.deliver(replace(hop, domain=domain, why=why), envelope(), BODY)
            assert attempt.security.startswith(f"dane ({why}): TLSA 3 1 1")
        assert listener.connections == 1


async def test_next_address(tmp_path: Path) -> None:
    """One dead address of a host that has two stops its mail."""
    async with listening(Company()) as listener, relaying() as relay:
        hop = NextHop("mx.partner.example", listener.port, addresses=("127.0.0.9", HOST))
        (attempt,) = await relay.deliver(hop, envelope(), BODY)
        assert attempt.reply.code == 250
        assert attempt.remote == f"mx.partner.example[{HOST}]:{listener.port}"
        nowhere = replace(hop, addresses=("127.0.0.9",))
        (attempt,) = await relay.deliver(nowhere, envelope(), BODY)
        assert (attempt.reply.status, attempt.remote) == ("4.4.1", "")


async def test_the_dns_leads_back_to_us() -> None:
    """Mail circles between us and ourselves until somebody counts its hops."""
    act = [HI, 1, OFFER.replace(b"250-mx", b"250-ME.example")]
    async with pretending(act) as hop, relaying() as relay:
        attempts = await relay.deliver(replace(hop, domain="p.example"), envelope(), BODY)
        assert replies(attempts) == ["554 5.4.6"]
    async with (
        pretending([HI, 1, act[2], 3, YES * 2, b"354 go\r\n", 4, YES]) as hop,
        relaying() as relay,
    ):
        assert replies(await relay.deliver(hop, envelope(), BODY)) == [
            "250 2.0.0"
        ]  # it was configured


async def test_clear_text_says_why() -> None:
    """Nobody can tell afterwards why a mail was not encrypted on its way."""
    async with pretending(WHOLE) as hop, relaying() as relay:
        (attempt,) = await relay.deliver(
            replace(hop, tls="opportunistic", why="nothing is published"), envelope(), BODY
        )
    assert (
        attempt.security
        == "opportunistic (nothing is published): clear text: STARTTLS is not offered"
    )


async def test_spare_connections_go_soon() -> None:
    """Twenty idle connections hold the slots that the hop's other clients wait for."""
    company = Company()
    settings = RelaySettings(idle_kept=1, spare_timeout=1, idle_timeout=600)
    async with listening(company) as listener, relaying(settings) as relay:
        hop = NextHop(HOST, listener.port)
        slow = envelope("slow@y.example")
        await asyncio.gather(*(relay.deliver(hop, slow, BODY) for _ in range(5)))
        assert listener.connections == 5
        await soon(lambda: listener.connections == 1)
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]
        assert listener.connections == 1


async def test_not_too_many_connections() -> None:
    """Idle connections to a thousand servers use up the files this process may open."""
    settings = RelaySettings(total=3)
    async with listening(Company()) as listener, relaying(settings) as relay:
        for number in range(8):
            hop = NextHop(f"mx{number}.example", listener.port, addresses=(HOST,))
            assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]
        await soon(lambda: listener.connections <= 3)


def test_contexts_refuse_old_tls() -> None:
    """A server of 2005 gets mail over broken encryption called TLS (RFC 8996)."""
    for verify in (True, False):
        assert client_context(verify=verify, names=False).minimum_version == ssl.TLSVersion.TLSv1_2
