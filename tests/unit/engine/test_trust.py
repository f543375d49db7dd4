"""Who may send our people's mail, and what an LMTP peer and a next hop are told."""

from dataclasses import replace

import pytest
from tests.conftest import ROOT
from tests.unit.engine.test_verdict import SETTINGS

from gatepost.config import Endpoint, Listener
from gatepost.config.load import parse
from gatepost.engine.gateway import is_trusted, origin
from gatepost.engine.routing import Routes
from gatepost.engine.verdict import resolve
from gatepost.flow.verdict import Continue, Defer, Outcome, Reject
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo
from gatepost.net.peer import PeerCertificate

STRANGER = SessionInfo("out", "192.0.2.1", 4711, helo="x.example", is_extended=True)
CERTIFICATE = PeerCertificate("x", ("mail.example.com",), "ab" * 32)


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (STRANGER, False),
        (replace(STRANGER, peer="127.0.0.1"), True),
        (replace(STRANGER, peer=""), False),
        (replace(STRANGER, authenticated_as="alice"), True),
        (replace(STRANGER, certificate=CERTIFICATE), True),
        (replace(STRANGER, certificate=replace(CERTIFICATE, names=("x.example",))), False),
    ],
)
def test_trust(session: SessionInfo, expected: bool) -> None:
    """A stranger relays through us, or our own connector is refused."""
    listener = Listener(
        bind=Endpoint("127.0.0.1", 0),
        direction="outbound",
        tls="offer",
        trusted_certificates=("mail.example.com",),
    )
    assert is_trusted(listener, session) is expected


def test_whose_mail_it_was() -> None:
    """The mail server behind us sees our address, or one that nobody vouched for."""
    assert dict(origin(STRANGER)) == {
        "ADDR": "192.0.2.1", "HELO": "x.example", "PORT": "4711", "PROTO": "ESMTP"
    }  # fmt: skip
    assert dict(origin(replace(STRANGER, peer="2001:db8::1")))["ADDR"] == "IPV6:2001:db8::1"
    forwarded = replace(STRANGER, forwarded={"NAME": "spike.example", "HELO": ""})
    assert origin(forwarded) == (("NAME", "spike.example"),)


def test_each_recipient_hears_its_own(now: object) -> None:
    """One recipient that has to wait holds the mail of all, or is told it was delivered."""
    routes = Routes(parse(SETTINGS, ROOT / "gatepost.toml"))
    people = tuple(Recipient(Mailbox.parse(f"{name}@y.example")) for name in "abc")
    whole = Envelope(Mailbox.parse("x@example.com"), people)
    later, never = Reply(451, "4.3.0", "later"), Reply(550, "5.7.1", "never")

    def outcome(index: int, verdict: Continue | Defer | Reject) -> Outcome:
        arrival = Arrival("Q", now)  # type: ignore[arg-type]  # a fixture
        envelope = whole.to(people[index])
        message = Message(Direction.OUTBOUND, envelope, arrival, b"A: b\r\n", Octets(b""))
        return Outcome(message, verdict)

    parts = [outcome(0, Continue()), outcome(1, Defer(later, "")), outcome(2, Reject(never, ""))]
    seen = resolve("Q", parts, routes, for_each=True)
    assert [reply.code for reply in seen.replies(whole)] == [250, 451, 550]
    assert [str(r) for item in seen.items for r in item.envelope.recipients] == ["a@y.example"]
    refused = resolve("Q", parts[1:], routes, for_each=True)
    assert [reply.code for reply in refused.replies(whole.to(*people[1:]))] == [451, 550]
    assert refused.items == ()
    assert resolve("Q", parts, routes).reply == later
