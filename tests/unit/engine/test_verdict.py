"""One reply for all outcomes of a transaction, and what is stored before it is said."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.conftest import ROOT

from gatepost.config import parse
from gatepost.engine.routing import Routes
from gatepost.engine.verdict import records, resolve
from gatepost.events import Name
from gatepost.flow.decision import Decision, Done, decisions
from gatepost.flow.verdict import Continue, Defer, Final, Hold, Outcome, Reject
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply

SETTINGS = """
[gateway]
hostname = "gw.example.com"
domains = ["example.com"]
[[listener]]
bind = "127.0.0.1:0"
direction = "both"
[next_hop]
inbound = "127.0.0.1:10026"
outbound = "127.0.0.1:10027"
[[route]]
domain = "partner.example"
host = "mx.partner.example"
tls = "required"
[vault]
key_environment = "KEY"
"""
NO = Reply(550, "5.7.1", "bob@other.example: no certificate")
LATER = Reply(451, "4.3.0", "later")


@pytest.fixture
def routes() -> Routes:
    """Two ordinary hops and one exception."""
    return Routes(parse(SETTINGS, ROOT / "gatepost.toml"))


def outcome(
    verdict: Final,
    *addresses: str,
    done: Done = Done.CLEAR,
    author: str | None = "alice@example.com",
) -> Outcome:
    """A message for these recipients with this end."""
    recipients = tuple(Recipient(Mailbox.parse(one)) for one in addresses)
    decided = tuple(Decision(str(one), "alice@example.com", done) for one in recipients)
    message = Message(
        Direction.OUTBOUND,
        Envelope(Mailbox.parse(author) if author else None, recipients),
        Arrival("Q1", datetime(2026, 6, 1, tzinfo=UTC)),
        b"From: alice@example.com\r\n",
        Octets(b"hello\r\n"),
        decided,
    )
    return Outcome(message, verdict)


def test_quarantine_is_a_state_of_its_own(routes: Routes) -> None:
    """Quarantined mail goes when somebody releases all that is held."""
    found = resolve("Q1", [outcome(Hold("odd", quarantine=True), "bob@example.com")], routes)
    assert [(one.state, one.reason) for one in found.items] == [("quarantine", "odd")]
    assert found.reply.code == 250


def test_deliverable_mail_is_accepted(routes: Routes) -> None:
    """An administrator greps for the queue id in the reply."""
    found = resolve("Q1", [outcome(Continue(), "bob@other.example")], routes)
    assert str(found.reply) == "250 2.0.0 Ok: queued as Q1"
    assert [(one.hop, one.state) for one in found.items] == [("outbound", "active")]


def test_each_next_hop_gets_its_own_item(routes: Routes) -> None:
    """A partner's route must not carry other people's mail."""
    mixed = outcome(Continue(), "bob@other.example", "eve@partner.example")
    found = resolve("Q1", [mixed], routes)
    assert {one.hop: [str(r) for r in one.envelope.recipients] for one in found.items} == {
        "outbound": ["bob@other.example"],
        "partner.example": ["eve@partner.example"],
    }
    assert routes.hop("partner.example").tls == "required"
    assert routes.hop("gone.example") == routes.hop("outbound")


def test_any_doubt_defers_everything(routes: Routes) -> None:
    """Half a message accepted and half asked for again would arrive twice."""
    outcomes = [
        outcome(Continue(), "bob@other.example"),
        outcome(Defer(LATER, "vault"), "carol@other.example"),
    ]
    found = resolve("Q1", outcomes, routes)
    assert (found.reply, found.items, found.event) == (LATER, (), Name.MESSAGE_DEFERRED)


def test_nothing_deliverable_is_refused_in_the_session(routes: Routes) -> None:
    """The author's server shows the reason at once, for every recipient."""
    other = Reply(550, "5.7.1", "carol@other.example: no certificate")
    outcomes = [
        outcome(Reject(NO, "no"), "bob@other.example"),
        outcome(Reject(other, "no"), "carol@other.example"),
    ]
    found = resolve("Q1", outcomes, routes)
    assert found.reply.code == 550
    assert "bob@" in found.reply.text
    assert "carol@" in found.reply.text
    assert found.items == ()
    assert found.refused == ()


def test_refusal_beside_delivery_owes_a_notice(routes: Routes) -> None:
    """One reply cannot say two things, so the refused recipient is reported by DSN."""
    outcomes = [
        outcome(Continue(), "bob@other.example"),
        outcome(Reject(NO, "no"), "carol@other.example"),
    ]
    found = resolve("Q1", outcomes, routes)
    assert found.reply.code == 250
    assert [str(one.recipient) for one in found.refused] == ["carol@other.example"]


def test_held_mail_is_stored_on_hold(routes: Routes) -> None:
    """Held mail that is delivered, or lost, was not held."""
    found = resolve("Q1", [outcome(Hold("broken"), "bob@other.example")], routes)
    assert [(one.state, one.reason) for one in found.items] == [("hold", "broken")]
    assert found.event is Name.MESSAGE_HELD
    assert found.reply.code == 250


@pytest.mark.parametrize(
    ("done", "protected"),
    [(Done.SIGNED_ENCRYPTED, True), (Done.ENCRYPTED, True), (Done.SIGNED, False)],
)
def test_encrypted_mail_is_never_quoted(routes: Routes, done: Done, *, protected: bool) -> None:
    """A failure notice would carry out what was encrypted."""
    found = resolve("Q1", [outcome(Continue(), "bob@other.example", done=done)], routes)
    assert [one.protected for one in found.items] == [protected]


def test_records_have_a_limit() -> None:
    """One small mail with thousands of names in it would fill the disk for a month."""
    layer = {
        "layer": "enveloped-data",
        "inner_fields": [f"x-{number}-{'z' * 60}" for number in range(9000)],
        "signers": [{"signer": "n" * 10_000}] * 100,
    }
    seen = outcome(Continue(), *(f"a{number}@example.com" for number in range(10)))
    (known, *_) = decisions(seen.message.findings)
    noted = replace(seen.message, findings=(replace(known, layers=(layer,)),))
    (record,) = records("Q1", datetime(2026, 6, 1, tzinfo=UTC), [Outcome(noted, Continue())])
    assert len(record.data) < 32 * 1024
    kept = Decision.from_data(json.loads(record.data)).layers[0]
    assert isinstance(kept["inner_fields"], list)
    assert kept["inner_fields"][-1] == "and 8968 more"


def test_refusal_under_the_null_path_refuses_all(routes: Routes) -> None:
    """No notice may be sent about a notice, so a refused recipient would vanish silently."""
    outcomes = [
        outcome(Continue(), "bob@other.example", author=None),
        outcome(Reject(NO, "no"), "carol@other.example", author=None),
    ]
    found = resolve("Q1", outcomes, routes)
    assert (found.reply, found.items) == (NO, ())
