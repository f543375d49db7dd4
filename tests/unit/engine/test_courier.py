"""From a hop's name to the servers the DNS names, one after another."""

from dataclasses import replace

import pytest
from tests.unit.lookup.zone import SERVFAIL, NameServer, resolver, serving
from tests.unit.net.scene import envelope, listening, relaying

from gatepost.engine.courier import Courier
from gatepost.lookup.destination import Destinations
from gatepost.mail.content import Content, Octets
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope
from gatepost.mail.reply import Reply

OK = Reply(250, "2.0.0", "ok")
DOWN = Reply(451, "4.4.1", "connection refused")
BODY = Octets(b"Subject: x\r\n\r\n")
TABLE = {
    "y.example MX": ["10 a.y.example.", "20 b.y.example.", "30 c.y.example.", "40 d.y.example."],
    **{f"{host}.y.example A": [f"192.0.2.{n}"] for n, host in enumerate("abcd", 1)},
    "_25._tcp.a.y.example TLSA": ["3 1 1 " + "ab" * 32],
    "other.example MX": ["10 mx.other.example."],
    "mx.other.example A": ["192.0.2.9"],
    "dead.example MX": SERVFAIL,
    "half.example MX": ["10 gone.half.example.", "20 lame.half.example."],
    "lame.half.example A": SERVFAIL,
    "lost.example MX": ["10 gone.lost.example."],
}
WORLD = NextHop("", mx=True)


class Sent:
    """A sender that answers by script: by host, else OK."""

    def __init__(self, **replies: Reply) -> None:
        self.replies = {name.replace("_", "."): reply for name, reply in replies.items()}
        self.hops: list[NextHop] = []
        self.to: list[str] = []

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        self.hops.append(hop)
        reply = self.replies.get(hop.host, OK)
        remote = "" if reply.status in {"4.4.1", "4.7.5"} else f"{hop.host}[192.0.2.1]:25"
        self.to += [f"{one}@{hop.host}" for one in envelope.recipients]
        return tuple(Attempt(one, reply, remote) for one in envelope.recipients)

    async def close(self) -> None:
        pass

    @property
    def hosts(self) -> list[str]:
        return [one.host for one in self.hops]


def courier(server: NameServer, sent: Sent) -> Courier:
    return Courier(sent, Destinations(resolver(server), bytes, "gate.example"))


async def tried(sent: Sent, hop: NextHop, mail: Envelope, *signed: str) -> list[str]:
    async with serving(TABLE, *signed) as server:
        attempts = await courier(server, sent).deliver(hop, mail, BODY)
    assert [one.recipient for one in attempts] == list(mail.recipients)
    return [f"{one.reply.code} {one.reply.status}" for one in attempts]


@pytest.mark.parametrize(
    ("replies", "hosts", "outcome"),
    [
        ({}, "a", "250 2.0.0"),
        ({"a_y_example": DOWN}, "ab", "250 2.0.0"),
        ({"a_y_example": Reply(451, "4.7.5", "TLS failed")}, "ab", "250 2.0.0"),
        ({"a_y_example": Reply(421, "4.3.2", "busy")}, "ab", "250 2.0.0"),
        ({"a_y_example": Reply(550, "5.1.1", "nobody")}, "a", "550 5.1.1"),
        ({"a_y_example": Reply(451, "4.7.1", "greylisted")}, "a", "451 4.7.1"),
        ({f"{one}_y_example": DOWN for one in "abcd"}, "abc", "451 4.4.1"),
    ],
)
async def test_next_host(replies: dict[str, Reply], hosts: str, outcome: str) -> None:
    """One dead host of three stops a partner's mail; or a refused one is tried everywhere."""
    sent = Sent(**replies)
    assert await tried(sent, replace(WORLD, host="y.example"), envelope()) == [outcome]
    assert sent.hosts == [f"{one}.y.example" for one in hosts]


@pytest.mark.parametrize(
    ("domain", "outcome"),
    [
        ("gone.example", "550 5.1.2"),
        ("dead.example", "451 4.4.3"),
        ("half.example", "451 4.4.3"),  # one host may be back
        ("lost.example", "550 5.4.4"),
    ],
)
async def test_nowhere_to_go(domain: str, outcome: str) -> None:
    """A DNS outage returns the mail of the day; a mistyped domain is tried for five days."""
    sent = Sent()
    assert await tried(sent, replace(WORLD, host=domain), envelope(f"b@{domain}")) == [outcome]
    assert sent.hosts == []


async def test_many_domains_in_one_item() -> None:
    """Mail queued before MX was configured goes to the first recipient's server only."""
    sent = Sent()
    mail = envelope("b@y.example", "c@gone.example", "d@other.example", "e@Y.example")
    assert await tried(sent, WORLD, mail) == ["250 2.0.0", "550 5.1.2", "250 2.0.0", "250 2.0.0"]
    assert sorted(sent.to) == ["b@y.example@a.y.example", "d@other.example@mx.other.example", "e@Y.example@a.y.example"]  # fmt: skip


async def test_a_configured_server_is_asked_for_nothing() -> None:
    """The company's own server cannot be reached while the DNS is down."""
    sent = Sent()
    assert await tried(sent, NextHop("mail.dead.example"), envelope()) == ["250 2.0.0"]


async def test_configured_dane() -> None:
    """`tls = "dane"` of a smart host means nothing, or mail leaves although it cannot hold."""
    sent = Sent()
    assert await tried(sent, NextHop("a.y.example", tls="dane"), envelope(), "y.example") == [
        "250 2.0.0"
    ]
    assert sent.hops[0].tlsa
    assert await tried(sent, NextHop("a.y.example", tls="dane"), envelope()) == ["451 4.7.10"]
    assert len(sent.hops) == 1


async def test_mail_that_needs_a_verified_server() -> None:
    """Clear text that policy allows over verified connections is offered over others."""
    sent = Sent()
    secure, promised = replace(envelope(), secure=True), replace(envelope(), requiretls=True)
    hop = replace(WORLD, host="y.example")
    assert await tried(sent, hop, secure, "y.example") == ["250 2.0.0"]
    assert sent.hops[-1].tls == "dane"
    assert await tried(sent, hop, secure) == ["250 2.0.0"]
    assert (sent.hops[-1].tls, sent.hops[-1].names) == ("verified", ("y.example", ".y.example"))
    off = replace(hop, tls="none")
    assert await tried(sent, off, secure) == ["451 4.7.10"]
    assert await tried(sent, off, promised) == ["550 5.7.30"]
    failing = Sent(
        **{f"{one}_y_example": Reply(451, "4.7.5", "wrong certificate") for one in "abcd"}
    )
    assert await tried(failing, hop, secure) == ["451 4.7.10"]  # the hop is not down for others
    assert await tried(failing, hop, envelope()) == ["451 4.7.5"]


async def test_domains_behind_one_server_share_its_connections() -> None:
    """A provider of a thousand domains gets a thousand connections."""
    table = {f"d{n}.example MX": ["10 mx.provider.example."] for n in range(20)}
    table["mx.provider.example A"] = ["127.0.0.1"]
    async with listening() as provider, relaying() as relay, serving(table) as server:
        made = Courier(relay, Destinations(resolver(server), bytes, "gate.example"))
        for n in range(60):
            hop = NextHop(f"d{n % 20}.example", provider.port, mx=True)
            (attempt,) = await made.deliver(hop, envelope(f"b@d{n % 20}.example"), BODY)
            assert attempt.reply.code == 250
        assert provider.connections == 1
        assert len(server.asked) == 22  # each domain's MX, the host's two kinds of addresses
