import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from tests.dialogues.company import Company
from tests.patience import PATIENCE, soon
from tests.unit.net.scene import (
    HOST,
    QUICK,
    envelope,
    listening,
    pretending,
    relaying,
    self_signed,
)

from gatepost.errors import Unavailable
from gatepost.mail.content import Octets
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.net.settings import EdgeSettings, RelaySettings
from gatepost.net.tls import server_context
from gatepost.smtp.settings import ServerSettings

BODY = Octets(b"Subject: x\r\n\r\n.dot\r\n")
HI = b"220 mx\r\n"
OFFER = b"250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
YES = b"250 2.0.0 ok\r\n"
GO = b"354 go\r\n"
WHOLE = [HI, 1, OFFER, 3, YES * 2 + GO, 4, YES]


def replies(attempts: Sequence[Attempt]) -> list[str]:
    return [f"{attempt.reply.code} {attempt.reply.status}" for attempt in attempts]


async def test_delivery_to_our_own_edge() -> None:
    """Mail is changed, or reported wrongly, between two gateposts."""
    company = Company()
    async with listening(company) as listener, relaying() as relay:
        hop = NextHop(HOST, listener.port)
        to = envelope("b@y.example", "refuse@y.example", "later@y.example", "slow@y.example")
        for _ in range(3):
            attempts = await relay.deliver(hop, to, BODY)
            assert replies(attempts) == ["250 2.0.0", "550 5.7.1", "451 4.7.1", "250 2.0.0"]
            assert f"{HOST}[{HOST}]:{listener.port}" == attempts[0].remote
            assert attempts[0].tls is None
        assert listener.connections == 1  # one connection, used again
        assert replies_none(await relay.deliver(hop, envelope("refuse@y.example"), BODY)) == [
            "refuse@y.example"
        ]
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]
    assert [BODY.data] * 4 == [octets for _, _, octets in company.kept]


def replies_none(attempts: Sequence[Attempt]) -> list[str]:
    assert all(attempt.reply.is_permanent for attempt in attempts)
    return [str(attempt.recipient) for attempt in attempts]


async def test_large_content_and_many_at_once() -> None:
    """A large attachment blocks the others, or arrives in pieces."""
    company = Company()
    large = Octets(
        b"Subject: large\r\n\r\n" + b".x" * 39 + b"\r\n" + (b"y" * 78 + b"\r\n") * 60_000
    )
    async with listening(company) as listener, relaying(RelaySettings(per_hop=4)) as relay:
        hop = NextHop(HOST, listener.port)
        jobs = [relay.deliver(hop, envelope(), BODY) for _ in range(20)]
        results = await asyncio.gather(relay.deliver(hop, envelope(), large), *jobs)
        assert listener.connections <= 4
    assert all(replies(attempts) == ["250 2.0.0"] for attempts in results)
    assert sum(octets == BODY.data for _, _, octets in company.kept) == 20
    assert sum(octets == large.data for _, _, octets in company.kept) == 1
    assert len(company.sinks) == 1  # only the large one left memory


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ([b"554 not here\r\n", 1], "451 4.3.2"),
        ([b"421 4.3.2 busy\r\n", 1], "421 4.3.2"),
        ([HI, 1, b"421 4.7.0 go away\r\n"], "421 4.7.0"),
        ([5.0], "451 4.4.2"),
        (["close"], "451 4.4.2"),
        ([b"HTTP/1.1 400 Bad Request\r\n", 1], "451 4.5.0"),
        ([b"220-" + b"x" * 100_000, 5.0], "451 4.5.0"),
        ([HI, "close"], "451 4.4.2"),
        ([HI, 1, OFFER, 5.0], "451 4.4.2"),
        ([HI, 1, OFFER, 3, YES * 2, "close"], "451 4.4.2"),
        ([HI, 1, OFFER, 3, YES * 2 + GO, 1, "close"], "451 4.4.2"),
        ([HI, 1, OFFER, 3, YES * 2 + GO, 4, 5.0], "451 4.4.2"),
        ([HI, 1, OFFER, 3, YES * 2 + GO, 4, b"nonsense\r\n"], "451 4.5.0"),
        ([HI, 1, OFFER, 3, YES * 2 + GO, 4, b"554 5.7.1 spam\r\n"], "554 5.7.1"),
        ([HI, 1, OFFER, 3, YES * 2 + b"452 4.3.1 full\r\n", 1], "452 4.3.1"),
        ([HI, 1, OFFER, 3, YES * 3, 1], "451 4.5.0"),
        ([HI, 1, OFFER, 3, b"451 4.7.1 grey\r\n" + b"503 no\r\n" * 2, 1], "451 4.7.1"),
        (WHOLE, "250 2.0.0"),
    ],
)
async def test_troubled_hops(act: list[object], expected: str) -> None:
    """A broken next hop turns into a bounce, an exception, or a lost mail."""
    is_silent = expected == "451 4.4.2" and act[-1] != "close"
    settings = QUICK if is_silent else RelaySettings()
    async with pretending(act) as hop, relaying(settings) as relay:
        attempts = await relay.deliver(hop, envelope(), BODY)
    assert [expected] == replies(attempts)


async def test_nobody_listens() -> None:
    """An exception where a retry belongs."""
    async with relaying(QUICK) as relay:
        for hop in (NextHop(HOST, 1), NextHop("host.invalid", 25)):
            attempts = await relay.deliver(hop, envelope("b@y.example", "c@y.example"), BODY)
            assert replies(attempts) == ["451 4.4.1"] * 2
            assert "Errno" not in attempts[0].reply.text  # people read it in notices
            assert attempts[0].remote == ""


async def test_slow_drip() -> None:
    """A hostile hop holds a worker for ever, one octet at a time."""
    act = [HI, 1, *(step for octet in b"250 mx" * 40 for step in (bytes([octet]), 0.1))]
    async with pretending(act) as hop, relaying(QUICK) as relay, asyncio.timeout(PATIENCE):
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["451 4.4.2"]


@pytest.mark.parametrize(
    "ending",
    [["close"], [0.05, b"421 4.4.2 idle\r\n", "close"], [3, "close"], [3, b"421 4.3.2 bye\r\n"]],
)
async def test_dead_while_idle(ending: list[object]) -> None:
    """Every first mail after a pause is delayed, because the hop closed meanwhile."""
    async with pretending([*WHOLE, *ending], WHOLE) as hop, relaying() as relay:
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]
        for _ in range(1 if 3 in ending else 20):  # and let the loop hear what came
            await asyncio.sleep(0 if 3 in ending else 0.01)
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]


async def test_accepted_once_is_not_sent_again() -> None:
    """A mail whose last reply was lost is sent twice in one breath."""
    dying = [*WHOLE, 3, YES * 2 + GO, 4, "close"]
    async with pretending(dying, WHOLE) as hop, relaying() as relay:
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["451 4.4.2"]


async def test_refusal_in_mid_body() -> None:
    """A hop that refuses a large mail early is sent all of it, or blocks us."""
    act = [HI, 1, OFFER, 3, YES * 2 + GO, 10, b"552 5.3.4 too big\r\n", 5.0]
    large = Octets(b"x" * 998 + b"\r\n" + b"y\r\n" * 10_000_000)
    async with pretending(act) as hop, relaying() as relay:
        assert replies(await relay.deliver(hop, envelope(), large)) == ["552 5.3.4"]


class Faulty:
    """Content whose file breaks in the middle."""

    size = 1000

    def chunks(self) -> Iterator[bytes]:
        yield b"first\r\n"
        raise Unavailable("the spool file is gone")


async def test_our_own_faults_never_look_like_the_end() -> None:
    """Half a mail is delivered as if it were whole; a bare LF smuggles a second one."""
    company = Company()
    async with listening(company) as listener, relaying() as relay:
        hop = NextHop(HOST, listener.port)
        assert replies(await relay.deliver(hop, envelope(), Faulty())) == ["451 4.3.0"]
        bad = Octets(b"a\n.\r\nMAIL FROM:<x@y>\r\n")
        assert replies(await relay.deliver(hop, envelope(), bad)) == ["554 5.6.0"]
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]
    assert len(company.kept) == 1
    old = [HI, 1, b"250 mx\r\n", 1]  # without 8BITMIME the content is looked at first
    async with pretending(old) as hop, relaying() as relay:
        assert replies(await relay.deliver(hop, envelope(), Faulty())) == ["451 4.3.0"]


async def test_eight_bit() -> None:
    """8-bit mail is mangled by an old hop, or 7-bit mail refused without need."""
    old = [HI, 1, b"250 mx\r\n", 1, YES, 1, YES, 1, GO, 4, YES]
    async with pretending(old) as hop, relaying() as relay:
        assert replies(await relay.deliver(hop, envelope(), Octets(b"\xe4\r\n"))) == ["554 5.6.3"]
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]


async def test_idle_connections_are_closed() -> None:
    """Unused connections pile up at the next hop."""
    async with listening() as listener, relaying(RelaySettings(idle_timeout=1)) as relay:
        await relay.deliver(NextHop(HOST, listener.port), envelope(), BODY)
        assert listener.connections == 1
        await soon(lambda: listener.connections == 0)


async def test_cancelled_delivery_leaves_nothing_behind() -> None:
    """A shutdown during a delivery leaks a connection, or half a mail counts."""
    company = Company()
    async with listening(company) as listener, relaying() as relay:
        hop = NextHop(HOST, listener.port)
        task = asyncio.create_task(relay.deliver(hop, envelope("slow@y.example"), BODY))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(lambda: listener.connections == 0)
    assert company.kept == []


# ── TLS ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("policy", ["opportunistic", "required", "verified"])
async def test_tls(tmp_path: Path, policy: str) -> None:
    """Mail travels in clear though both sides can do TLS."""
    pem = self_signed(tmp_path)
    company = Company()
    context = server_context(pem.certificate, pem.key)
    async with listening(company, tls=context) as listener, relaying() as relay:
        hop = NextHop(HOST, listener.port, policy, tls_ca=str(pem.certificate))  # type: ignore[arg-type]
        for _ in range(2):
            attempts = await relay.deliver(hop, envelope(), BODY)
            assert replies(attempts) == ["250 2.0.0"]
            assert attempts[0].tls is not None
            assert attempts[0].tls.startswith("TLSv1.3 ")
        assert listener.connections == 1
    session = company.kept[0][0]
    assert ("ESMTPS", attempts[0].tls) == (session.protocol, session.tls)


async def test_tls_demands_that_cannot_be_met(tmp_path: Path) -> None:
    """Mail that must be protected leaves in clear or to an impostor."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "other").mkdir()
    pem, other = self_signed(tmp_path / "ours", "mx.example"), self_signed(tmp_path / "other")
    company = Company()
    async with listening(company) as plain, relaying() as relay:
        for policy in ("required", "verified"):
            hop = NextHop(HOST, plain.port, policy)
            assert replies(await relay.deliver(hop, envelope(), BODY)) == ["451 4.7.4"]
    context = server_context(pem.certificate, pem.key)
    async with listening(company, tls=context) as listener, relaying() as relay:
        for hop in (
            NextHop(HOST, listener.port, "verified", tls_ca=str(other.certificate)),
            NextHop(HOST, listener.port, "verified", "wrong.example", str(pem.certificate)),
            NextHop(HOST, listener.port, "verified", tls_ca=str(tmp_path / "absent.pem")),
        ):
            assert replies(await relay.deliver(hop, envelope(), BODY)) == ["451 4.7.5"]
        assert company.kept == []
        hop = NextHop(HOST, listener.port, "verified", "mx.example", str(pem.certificate))
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["250 2.0.0"]


async def test_opportunistic_falls_back() -> None:
    """A hop with broken TLS receives no mail at all (RFC 7435)."""
    offer = b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
    broken = [HI, 1, offer, 1, b"220 go\r\n", 0.05, b"this is no TLS\r\n", 1]
    refusing = [HI, 1, offer, 1, b"454 no\r\n", 3, YES * 2 + GO, 4, YES]
    clear = [HI, 1, offer, 3, YES * 2 + GO, 4, YES]
    for acts in ([broken, clear], [refusing]):
        async with pretending(*acts) as plain, relaying() as relay:
            hop = NextHop(HOST, plain.port, "opportunistic")
            attempts = await relay.deliver(hop, envelope(), BODY)
            assert replies(attempts) == ["250 2.0.0"]
            assert attempts[0].tls is None


async def test_injected_reply_before_tls() -> None:
    """A man in the middle answers for the server before TLS begins (RFC 3207 section 6)."""
    offer = b"250-mx\r\n250 STARTTLS\r\n"
    act = [HI, 1, offer, 1, b"220 go\r\n250 forged\r\n", 5.0]
    async with pretending(act) as plain, relaying() as relay:
        hop = NextHop(HOST, plain.port, "required")
        assert replies(await relay.deliver(hop, envelope(), BODY)) == ["451 4.5.0"]


async def test_recipient_limit_of_the_hop() -> None:
    """Recipients beyond the hop's limit are lost instead of retried."""
    company = Company()
    settings = EdgeSettings(ServerSettings("gw.example", recipient_limit=2))
    async with listening(company, settings) as listener, relaying() as relay:
        to = envelope(*(f"r{i}@y.example" for i in range(3)))
        attempts = await relay.deliver(NextHop(HOST, listener.port), to, BODY)
    assert replies(attempts) == ["250 2.0.0", "250 2.0.0", "452 4.5.3"]


# ── an independent server ────────────────────────────────────────────────────────────


class Keeper:
    """What aiosmtpd does with mail: keep it."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, list[str], bytes]] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: object, session: object, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address.startswith("refuse"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        self.kept.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return "250 2.0.0 kept"


@pytest.mark.parametrize("secure", [False, True])
async def test_aiosmtpd(tmp_path: Path, secure: bool) -> None:
    """Only our own server understands our client."""
    pem = self_signed(tmp_path)
    keeper = Keeper()
    context = server_context(pem.certificate, pem.key) if secure else None
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keeper, hostname="mx.example", tls_context=context, require_starttls=secure),
        HOST,
        0,
    )
    async with relaying(RelaySettings()) as relay:
        hop = NextHop(HOST, server.sockets[0].getsockname()[1], "opportunistic")
        to = envelope("b@y.example", "refuse@y.example")
        for body in (b"", b".\r\n..\r\n", b"x\r\n" * 100_000, b"\xc3\xa4\r\n\r\n.\r\n"):
            attempts = await relay.deliver(hop, to, Octets(body))
            assert replies(attempts) == ["250 2.0.0", "550 5.1.1"]
            assert (attempts[0].tls is not None) is secure
            assert keeper.kept[-1] == ("a@x.example", ["b@y.example"], body)
    server.close()
