"""Mail that comes round again: known by a field that nobody else can make, and only as it left."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.world import (
    ANCHORS,
    NOW,
    OURS,
    THEIRS,
    World,
    arriving,
    facts,
    incoming,
    octets,
    only,
    outgoing,
    recipients,
    told,
)

from gatepost.flow import course, outbound
from gatepost.flow.decision import Done
from gatepost.flow.verdict import Continue, Outcome, Reject
from gatepost.mail import voucher
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Direction, Message
from gatepost.mime import headers

BOB, CAROL = f"bob@{THEIRS}", f"carol@{THEIRS}"
ALICE, ANNA = f"alice@{OURS}", f"anna@{OURS}"
MAIL = f"From: {ALICE}\nTo: {BOB}, {CAROL}\nSubject: Offer\n\nThe price.\n"
TRACE = voucher.NAME


def mac(data: bytes) -> bytes:
    """A code under the vault's key."""
    return hmac.digest(b"vault", data, hashlib.sha256)


def gate(policy: str = "", **more: object) -> World:
    """Our gateway."""
    known = facts(modern=[BOB, CAROL], signers=[ALICE], openers=[ALICE], anchors={THEIRS: ANCHORS})
    return World.under(policy, known, mac=mac, **more)


def again(outcome: Outcome, *to: str) -> Message:
    """An outcome as it comes back to the same gateway, a hop later."""
    sent = outcome.message
    members = tuple(Recipient(Mailbox.parse(one)) for one in to) or sent.envelope.recipients
    hop = b"Received: from us by mail.xyz.example; Mon, 1 Jun 2026 12:00:01 +0000\r\n"
    return replace(sent, envelope=sent.envelope.to(*members), header=hop + sent.header, findings=())


def first_pass(policy: str = "", mail: str = MAIL) -> Outcome:
    """What leaves for Bob and Carol in one message."""
    return only(gate(policy).decide(outgoing(mail, BOB, CAROL)))


def opened() -> Outcome:
    """Bob's signed and encrypted mail as we hand it to Alice's server."""
    theirs = World.under(
        "", facts(modern=[ALICE], signers=[BOB]), domains=frozenset({THEIRS}), hostname="gate.them"
    )
    mail = f"From: {BOB}\nTo: {ALICE}\nSubject: Figures\n\nSecret.\n"
    sent = only(theirs.drive(outgoing(mail, ALICE, sender=BOB), outbound.STAGES))
    return only(gate().decide(arriving(sent)))


def test_arriving_mail_keeps_its_result() -> None:
    """A content filter in a ring, or a second node, strips the proof that Bob signed it."""
    once = opened()
    assert "smime=pass" in octets(once).decode()
    twice = only(gate(hostname="other.xyz.example").decide(again(once)))
    assert twice.verdict == Continue()
    assert join(twice.message.body) == join(once.message.body)
    assert "smime=pass" in octets(twice).decode()
    assert octets(twice).endswith(join(again(once).content))
    assert told([twice])[ALICE].done is Done.UNCHANGED
    assert course.is_known(twice.message)
    assert not course.is_known(once.message)


def test_leaving_mail_is_not_treated_again() -> None:
    """Clear mail that comes round after the policy changed must not hang between two minds."""
    once = first_pass('[defaults]\nencrypt = "never"\nsign = "never"')
    twice = only(gate().decide(again(once)))
    assert octets(twice).endswith(join(again(once).content))
    assert "already" in told([twice])[BOB].reason


def test_everybody_who_was_added_is_served_anew() -> None:
    """An alias behind us adds Carol: she gets Bob's clear mail although hers must be encrypted."""
    once = only(gate('[defaults]\nencrypt = "never"').decide(outgoing(MAIL, BOB)))
    parts = gate('[defaults]\nencrypt = "mandatory"').decide(again(once, BOB, CAROL))
    assert [recipients(one) for one in parts] == [(BOB,), (CAROL,)]
    assert course.is_known(parts[0].message)
    assert told(parts)[CAROL].done is Done.ENCRYPTED
    assert b"The price" not in octets(parts[1])


def forged(change: Callable[[Message], Message]) -> Done:
    """What becomes of Bob's clear mail, changed on its way, where policy wants encryption."""
    once = first_pass('[defaults]\nencrypt = "never"')
    changed = change(again(once))
    outcomes = gate('[defaults]\nencrypt = "mandatory"').decide(changed)
    return told(outcomes)[str(changed.envelope.recipients[0])].done


def _header(message: Message, old: bytes, new: bytes) -> Message:
    assert old in message.header
    return replace(message, header=message.header.replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, body=Octets(b"Another price.\r\n")),
        lambda one: _header(one, b"Subject: Offer", b"Subject: Offers"),
        lambda one: replace(one, header=b"Reply-To: eve@evil.example\r\n" + one.header),
        lambda one: _header(one, b"way=outbound", b"way=inbound"),
        lambda one: _header(one, b"done=", b"done=x"),
        lambda one: _header(one, b"id=1A2B3C", b"id=1A2B3D"),
        lambda one: _header(one, b"by=gate.xyz", b"by=gate.abc"),
        lambda one: one.to(Recipient(Mailbox.parse(f"dora@{THEIRS}"))),
        lambda one: replace(
            one, envelope=replace(one.envelope, return_path=Mailbox.parse(f"eve@{OURS}"))
        ),
    ],
    ids=["body", "subject", "reply-to", "way", "done", "id", "by", "recipient", "return path"],
)
def test_a_captured_field_fits_nothing_else(change: Callable[[Message], Message]) -> None:
    """Whoever has seen one field could send anything past the encryption with it."""
    known = [f"dora@{THEIRS}"]
    done = forged(change)
    assert done in {Done.SIGNED_ENCRYPTED, Done.ENCRYPTED, Done.REFUSED}, known


def test_the_unchanged_mail_would_have_passed() -> None:
    """Without this the test above would prove nothing."""
    assert forged(lambda one: one) is Done.UNCHANGED


@pytest.mark.parametrize(
    ("later", "known"),
    [
        (timedelta(days=5), True),
        (timedelta(days=5, seconds=1), False),
        (-timedelta(minutes=5), True),
        (-timedelta(minutes=6), False),
    ],
)
def test_a_field_counts_for_days_only(later: timedelta, *, known: bool) -> None:
    """A field from an old backup would be good for ever."""
    (once, *_) = gate(now=NOW + later).decide(again(first_pass()))
    assert course.is_known(once.message) is known


def test_another_key_knows_nothing() -> None:
    """Somebody else's Gatepost could vouch for mail to us."""
    theirs = gate()
    theirs.mac = lambda data: hmac.digest(b"theirs", data, hashlib.sha256)
    once = only(theirs.decide(outgoing(MAIL, BOB, CAROL)))
    (twice,) = gate().decide(again(once))
    assert not course.is_known(twice.message)
    assert octets(twice).count(TRACE.encode()) == 1


def test_results_cannot_be_added_to_what_we_vouch_for() -> None:
    """A second, better result in our name beside the true one is what people's clients show."""
    once = opened()
    lie = b"Authentication-Results: gate.xyz.example; smime=pass (by the pope)\r\n"
    changed = again(once)
    twice = only(gate().decide(replace(changed, header=lie + changed.header)))
    assert not course.is_known(twice.message)
    assert b"pope" not in twice.message.header
    other = b"Authentication-Results: other.xyz.example; smime=pass (by the pope)\r\n"
    node = gate(hostname="other.xyz.example")
    thrice = only(node.decide(replace(changed, header=other + changed.header)))
    assert course.is_known(thrice.message)
    assert b"pope" not in thrice.message.header


@pytest.mark.parametrize("at", [1780315200, 999999999999])  # in the year 33658
@pytest.mark.parametrize("way", list(Direction))
def test_foreign_fields_are_taken_out(way: Direction, at: int) -> None:
    """A field a neighbour would believe, or a treasury of fields for later, passes us."""
    mail = f"{TRACE}: 1; way={way.value}; done=clear; at={at}; id=A; by=b; for=\n" + MAIL
    message = outgoing(mail, BOB) if way is Direction.OUTBOUND else incoming(mail, ALICE)
    (outcome,) = gate().decide(message)
    fields = headers.every(outcome.message.header, TRACE)
    assert [b"by=gate.xyz.example" in one.value for one in fields] == [True]


def test_how_many_are_blind_does_not_show() -> None:
    """Each reader could count the recipients who are not named."""
    counts = set()
    for more in ((), (CAROL,), (CAROL, f"dora@{THEIRS}")):
        policy = '[defaults]\nencrypt = "never"\nsign = "never"'
        outcome = only(gate(policy).decide(outgoing(MAIL, BOB, *more)))
        field = headers.first(outcome.message.header, TRACE)
        assert field is not None
        counts.add(len(field.value.partition(b"for=")[2].split()))
    assert counts == {8}


def test_a_crowd_is_not_vouched_for() -> None:
    """A thousand recipients make a header that the next server refuses."""
    crowd = [f"b{n}@{THEIRS}" for n in range(voucher.MAXIMUM_RECIPIENTS + 1)]
    policy = '[defaults]\nencrypt = "never"\nsign = "never"'
    once = only(gate(policy).decide(outgoing(MAIL, *crowd)))
    field = headers.first(once.message.header, TRACE)
    assert field is not None
    assert field.value.endswith(b"for=")
    assert not course.is_known(only(gate(policy).decide(again(once))).message)


def test_known_mail_in_a_ring_ends() -> None:
    """Two servers that send it to each other would do so for ever."""
    outcome = first_pass()
    for _ in range(100):
        outcome = only(gate().decide(again(outcome)))
        if isinstance(outcome.verdict, Reject):
            break
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reply.status == "5.4.6"
