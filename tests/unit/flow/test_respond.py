"""Challenge mails of authorities: answered when an order waits for them, ordinary mail if not."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.world import (
    ANCHORS,
    NOW,
    World,
    drive,
    facts,
    incoming,
    only,
    person,
    recipients,
    told,
)

from gatepost.flow import challenge, inbound
from gatepost.flow.challenge import Answered, Challenge, ChallengeReport, Expected
from gatepost.flow.course import untouched
from gatepost.flow.decision import Done
from gatepost.flow.explain import render
from gatepost.flow.fact import Answer, ChallengeFor, Fact
from gatepost.flow.verdict import Continue, Defer, Discard, Outcome
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.mime import headers
from gatepost.mime.entity import split_header
from gatepost.smime.protection import Protection
from gatepost.smime.sign import sign

ALICE, ANNA, CA = "alice@xyz.example", "anna@xyz.example", "acme@ca.example"
FIRST, SECOND = "LgYemJLy3F1LDkiJrdIGbEzyFJyOyf6v", "DGyRejmCefe7v4NfDGDKfA"
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
MAIL = f"""From: ACME at CA <{CA}>
To: {ALICE}
Subject: ACME: {FIRST}
Date: Mon, 1 Jun 2026 12:00:00 +0000
Message-ID: <one@ca.example>
Auto-Submitted: auto-generated; type=acme
Content-Type: text/plain

This is an automatically generated challenge.
"""


def order(**more: object) -> Challenge:
    """Alice's pending order."""
    alice, authority = Mailbox.parse(ALICE), Mailbox.parse(CA)
    known = Challenge(alice, authority, SECOND, THUMBPRINT, "ca")
    return replace(known, **more)  # type: ignore[arg-type]  # fields by name


def waiting(**more: object) -> Mapping[Fact, Answer]:
    """The world in which Alice's order waits."""
    return {ChallengeFor(Mailbox.parse(ALICE)): Expected(order(**more))}


def received(
    mail: str | bytes = MAIL, *to: str, known: Mapping[Fact, Answer] | None = None
) -> tuple[Outcome, ...]:
    """What becomes of a challenge."""
    return drive(
        incoming(mail, *(to or (ALICE,))), inbound.STAGES, waiting() if known is None else known
    )


def answered(outcome: Outcome) -> Answered | None:
    """The response to be sent."""
    return next((one for one in outcome.message.findings if isinstance(one, Answered)), None)


def why(outcome: Outcome) -> str:
    """What is told of the challenge."""
    return only(
        [one for one in outcome.message.findings if isinstance(one, ChallengeReport)]
    ).reason


def passed(outcome: Outcome) -> bool:
    """Whether it is ordinary mail, unanswered."""
    return isinstance(outcome.verdict, Continue) and answered(outcome) is None


def test_a_challenge_is_answered_and_goes_no_further() -> None:
    """Somebody has to copy tokens from mail to mail for every certificate."""
    outcome = only(received())
    answer = answered(outcome)
    assert answer is not None
    assert isinstance(outcome.verdict, Discard)
    header, body = split_header(answer.content)
    assert str(answer.to) == CA
    assert headers.author(header) == Mailbox.parse(ALICE)
    said = {one.name: one.value.decode() for one in headers.fields(header)}
    assert said["To"] == f"<{CA}>"
    assert said["Subject"] == f"Re: ACME: {FIRST}"
    assert said["In-Reply-To"] == said["References"] == "<one@ca.example>"
    assert said["Auto-Submitted"] == "auto-replied"
    assert said["Content-Type"].startswith("text/plain")
    # RFC 8823 section 3: both parts, the thumbprint of the account's key, SHA-256, base64url
    authorization = f"{FIRST}{SECOND}.{THUMBPRINT}".encode()
    proof = base64.urlsafe_b64encode(hashlib.sha256(authorization).digest()).rstrip(b"=")
    assert body == (
        b"-----BEGIN ACME RESPONSE-----\r\n" + proof + b"\r\n-----END ACME RESPONSE-----\r\n"
    )
    decision = told([outcome])[ALICE]
    assert decision.done is Done.ANSWERED
    assert f"ACME challenge of {CA}: answered to {CA} for ca" in render(decision)


def test_no_secret_is_shown() -> None:
    """The log tells the half of the token that no mail may carry."""
    assert SECOND not in repr(order())
    assert SECOND not in repr(only(received()))


def test_without_an_order_it_is_ordinary_mail() -> None:
    """A mail that happens to begin like a challenge disappears."""
    assert passed(only(received(known=facts())))


def test_ordinary_mail_costs_no_question() -> None:
    """Every mail asks the database for orders."""
    world = World()
    for subject in ("Hello", "About ACME: it is a protocol", "ACME:"):
        mail = MAIL.replace(f"ACME: {FIRST}", subject)
        world.drive(incoming(mail, ALICE), inbound.STAGES)
    assert not any(isinstance(one, ChallengeFor) for one in world.asked)


def test_a_mail_for_another_is_not_asked_about() -> None:
    """A stranger learns who orders certificates by whom he writes to in the To field."""
    outcome = only(received(MAIL, ANNA))
    assert passed(outcome)
    foreign = MAIL.replace(ALICE, "alice@elsewhere.example")
    assert passed(only(received(foreign, "alice@elsewhere.example")))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f"<{CA}>", "<acme@evil.example>", "not from acme@ca.example"),
        (f"ACME at CA <{CA}>", f"{CA} <acme@evil.example>", "not from"),
        (f"ACME at CA <{CA}>", f"{CA}, acme@evil.example", "not from"),
        ("From:", f"From: {CA}\nFrom:", "2 From fields"),
        ("Subject:", "Subject: ACME: x\nSubject:", ""),
        ("Date:", "Reply-To: a@b.example\nReply-To: c@d.example\nDate:", "more than one Reply-To"),
        ("auto-generated;", "auto-replied;", "Auto-Submitted"),
        ("auto-generated;", "no;", "Auto-Submitted"),
        ("Date:", "List-Id: <all.xyz.example>\nDate:", "mailing list"),
    ],
)
def test_what_is_not_as_it_must_be_is_not_answered(old: str, new: str, reason: str) -> None:
    """Anybody has us write to anybody in Alice's name, or a loop begins."""
    outcome = only(received(MAIL.replace(old, new, 1)))
    assert passed(outcome)
    if reason:
        assert reason in why(outcome)
        assert reason in render(told([outcome])[ALICE])


@pytest.mark.parametrize(
    "token",
    ["LgYemJLy3F1LDkiJrdIGb", "", "LgYemJLy3F1LDki/rdIGbEzyFJyOyf6v", "a" * 513, "ö" * 40],
)
def test_a_token_too_short_or_malformed_is_no_challenge(token: str) -> None:
    """A token is guessed: 128 bits are the least (RFC 8823 section 3.1)."""
    assert challenge.token(f"Subject: ACME: {token}\r\n".encode()) is None


@pytest.mark.parametrize(
    "subject",
    [
        f"ACME: {FIRST}",
        f"ACME: {FIRST}==",
        f"ACME:\r\n {FIRST[:10]}\r\n {FIRST[10:]}",
        f"=?us-ascii?q?ACME:_{FIRST[:9]}?=\r\n =?us-ascii?q?{FIRST[9:]}?=",
        f"=?utf-8?b?{base64.b64encode(f'ACME: {FIRST}'.encode()).decode()}?=",
    ],
)
def test_a_subject_may_be_folded_and_coded(subject: str) -> None:
    """An authority that folds its subjects is never answered (RFC 8823 section 3.1)."""
    assert challenge.token(f"Subject: {subject}\r\n".encode()) == FIRST


def test_an_answer_goes_where_replies_are_wanted() -> None:
    """The authority waits in another mailbox (RFC 8823 section 3.2)."""
    mail = MAIL.replace("Date:", "Reply-To: Robot <robot@ca.example>\nDate:")
    answer = answered(only(received(mail)))
    assert answer is not None
    assert str(answer.to) == "robot@ca.example"
    assert b"\r\nTo: <robot@ca.example>\r\n" in answer.content


def test_one_challenge_is_answered_once() -> None:
    """Whoever repeats a challenge has us write a mail each time (RFC 8823 section 3)."""
    answer = answered(only(received()))
    assert answer is not None
    outcome = only(received(known=waiting(answered=(answer.mark,))))
    assert answered(outcome) is None
    assert "answered before" in why(outcome)


def test_a_forged_challenge_does_not_use_up_the_answer() -> None:
    """One mail by anybody keeps Alice from ever getting a certificate."""
    outcome = only(received(known=waiting(answered=("another",))))
    assert answered(outcome) is not None


def test_forged_challenges_are_answered_a_few_times_at_most() -> None:
    """An order makes of us a source of as many mails as anybody wants."""
    marks = tuple(map(str, range(challenge.MAXIMUM_ANSWERS)))
    assert answered(only(received(known=waiting(answered=marks)))) is None


def test_other_recipients_get_the_mail() -> None:
    """A mail is lost for whoever was to get a copy."""
    found = received(MAIL, ALICE, ANNA)
    assert {recipients(one): type(one.verdict) for one in found} == {
        (ALICE,): Discard,
        (ANNA,): Continue,
    }
    assert len([one for one in found if answered(one)]) == 1


def test_a_challenge_may_be_delivered_besides() -> None:
    """An administrator who wants to see challenges in mailboxes cannot."""
    outcome = only(received(MAIL, ALICE, ANNA, known=waiting(delivers=True)))
    assert answered(outcome) is not None
    assert isinstance(outcome.verdict, Continue)
    assert recipients(outcome) == (ALICE, ANNA)
    assert told([outcome])[ALICE].done is Done.DELIVERED
    assert "answered to" in render(told([outcome])[ALICE])


def test_while_the_order_is_placed_the_mail_waits() -> None:
    """A challenge that is faster than the answer that tells of it is never answered."""
    known = {**facts(), ChallengeFor(Mailbox.parse(ALICE)): Expected(unsettled=True)}
    outcome = only(received(known=known))
    assert isinstance(outcome.verdict, Defer)
    assert outcome.verdict.reply.is_transient


def test_an_authority_that_forgets_auto_submitted_is_answered() -> None:
    """acme2certifier 0.46 sends none, and its challenges are never answered."""
    mail = MAIL.replace("Auto-Submitted: auto-generated; type=acme\n", "")
    assert answered(only(received(mail))) is not None


PROVEN = {"proof": True, "boundary": "mx.xyz.example"}


@pytest.mark.parametrize(
    ("results", "believed"),
    [
        ("mx.xyz.example; spf=pass; dkim=pass (2048 bit) header.d=ca.example header.s=a", True),
        (
            "mx.xyz.example 1; dkim=pass header.i=@mail.ca.example; dkim=pass header.d=ca.example",
            True,
        ),
        ('mx.xyz.example; dkim=pass header.i="robot@ca.example"', True),
        ("mx.xyz.example; dkim=fail header.d=ca.example", False),
        ("mx.xyz.example; dkim=pass header.d=evil.example", False),
        ("mx.xyz.example; dkim=pass header.d=example", False),
        ("mx.xyz.example; dkim=pass (header.d=ca.example)", False),
        ('mx.xyz.example; spf=pass reason="; dkim=pass header.d=ca.example"', False),
        ("mx.evil.example; dkim=pass header.d=ca.example", False),
        ("mx.xyz.example; none", False),
    ],
)
def test_dkim_counts_where_our_own_boundary_found_it(results: str, believed: bool) -> None:
    """A forged challenge is answered though the administrator wants proof."""
    mail = f"Authentication-Results: {results}\n{MAIL}"
    outcome = only(received(mail, known=waiting(**PROVEN)))
    assert (answered(outcome) is not None) is believed
    if not believed:
        assert "neither DKIM nor S/MIME" in why(outcome)


def test_only_the_newest_results_count() -> None:
    """Results that came along from outside are believed."""
    mail = (
        "Authentication-Results: mx.xyz.example; dkim=none\n"
        "Authentication-Results: mx.xyz.example; dkim=pass header.d=ca.example\n" + MAIL
    )
    assert passed(only(received(mail, known=waiting(**PROVEN))))


def _signed(signer: str, protect: Protection | None) -> bytes:
    mail = incoming(MAIL, ALICE)
    header, body = sign(
        mail.header,
        mail.body,
        person(signer).signer,
        now=NOW,
        names=lambda: "boundary",
        protect=protect,
    )
    return header + b"\r\n" + join(body)


@pytest.mark.parametrize(
    ("signer", "protect", "believed"),
    [
        (CA, Protection(encrypted=False), True),
        (CA, None, False),  # anybody can put another Subject around what it signed once
        ("eve@evil.example", Protection(encrypted=False), False),
    ],
)
def test_smime_counts_where_the_sender_signed_the_subject(
    signer: str, protect: Protection | None, believed: bool
) -> None:
    """An authority that signs by S/MIME is not believed, or somebody else's signature is."""
    trusted = {"ca.example": ANCHORS, "evil.example": ANCHORS}
    known = {**facts(anchors=trusted), **waiting(**PROVEN)}
    outcome = only(received(_signed(signer, protect), known=known))
    assert (answered(outcome) is not None) is believed


def test_monitor_mode_answers_and_passes_the_mail() -> None:
    """In monitor mode a challenge disappears, or an order that was placed is never fulfilled."""
    world = World(facts=waiting())
    message = incoming(MAIL, ALICE)
    outcome = only(untouched(message, world.context(), world.drive(message, inbound.STAGES)))
    assert isinstance(outcome.verdict, Continue)
    assert answered(outcome) is not None
    assert re.search("monitor mode", render(told([outcome])[ALICE]))


@pytest.mark.parametrize(
    "tag",
    [
        "[EXTERNAL] ",
        "[EXTERNAL]",
        "[Ext] [Please be careful with links!] ",
        "(extern) {CA} [EXT]\r\n ",
        "=?utf-8?q?[Externe=20Absender=C3=A4nderung]?= ",
    ],
)
def test_a_tag_before_the_subject_hides_nothing(tag: str) -> None:
    """Whoever has strangers' mail marked never gets a certificate, and does not know why."""
    assert challenge.token(f"Subject: {tag}ACME: {FIRST}\r\n".encode()) == FIRST
    outcome = only(received(MAIL.replace("ACME: ", f"{tag}ACME: ".replace("\r", ""))))
    answer = answered(outcome)
    assert answer is not None
    assert isinstance(outcome.verdict, Discard)
    assert f"Subject: Re: ACME: {FIRST}\r\n".encode() in answer.content


@pytest.mark.parametrize(
    "subject",
    [
        f"Re: ACME: {FIRST}",
        f"Fwd: [EXTERNAL] ACME: {FIRST}",
        f"EXTERNAL: ACME: {FIRST}",
        f"[a] [b] [c] [d] ACME: {FIRST}",
        f"[{'a' * 61}] ACME: {FIRST}",
        f"[[EXTERNAL]] ACME: {FIRST}",
        f"[] ACME: {FIRST}",
        f"ACME: {FIRST} [EXTERNAL]",
        f"[EXTERNAL] ACME: {FIRST}, or so",
    ],
)
def test_nothing_else_is_taken_for_a_challenge(subject: str) -> None:
    """A reply is answered, and a loop begins; or half of what somebody wrote counts as a token."""
    mail = MAIL.replace(f"ACME: {FIRST}", subject)
    assert challenge.token(f"Subject: {subject}\r\n".encode()) is None
    outcome = only(received(mail))
    assert passed(outcome)
    assert "something was written into its Subject" in why(outcome)
    assert "something was written into its Subject" in render(told([outcome])[ALICE])


def test_only_of_the_mail_that_is_waited_for() -> None:
    """A trace tells of an order that a mail has nothing to do with."""
    mail = MAIL.replace("ACME:", "Re: ACME:")
    for other in (mail.replace(CA, "acme@evil.example"), mail.replace("To:", "Cc:")):
        outcome = only(received(other))
        assert passed(outcome)
        assert not any(isinstance(one, ChallengeReport) for one in outcome.message.findings)
    known = {**facts(), ChallengeFor(Mailbox.parse(ALICE)): Expected(unsettled=True)}
    assert passed(only(received(mail, known=known)))


def test_a_subject_is_read_in_linear_time() -> None:
    """A stranger's Subject keeps the gateway busy."""
    for subject in (
        "[" * 1900,
        "[a] " * 480,
        "(" + "a" * 1900,
        "ACME: " * 330,
        " " * 1900 + "ACME",
    ):
        assert challenge.token(f"Subject: {subject}\r\n".encode()) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "<one@ca.example>"),
        ("References: <zero@ca.example>\n", "<zero@ca.example> <one@ca.example>"),
        ("In-Reply-To: <zero@ca.example>\n", "<zero@ca.example> <one@ca.example>"),
        ("References: what <a@b>\n <c@d>\n", "<a@b> <c@d> <one@ca.example>"),
        (
            f"References: {' '.join(f'<{n}@b>' for n in range(9))}\n",
            "<4@b> <5@b> <6@b> <7@b> <8@b> <one@ca.example>",
        ),
    ],
)
def test_the_answer_says_what_it_answers(before: str, after: str) -> None:
    """RFC 8823 section 3.2 item 5: the authority cannot tell which challenge was answered."""
    answer = answered(only(received(MAIL.replace("Date:", f"{before}Date:"))))
    assert answer is not None
    header, _ = split_header(answer.content)
    said = {one.name: " ".join(one.value.decode().split()) for one in headers.fields(header)}
    assert said["In-Reply-To"] == "<one@ca.example>"
    assert said["References"] == after


def test_the_answer_is_what_the_rfc_allows() -> None:
    """RFC 8823 section 3.2: an answer is refused for a signature, a list's field or its coding."""
    answer = answered(only(received()))
    assert answer is not None
    header, body = split_header(answer.content)
    said = {one.name: one.value.decode() for one in headers.fields(header)}
    assert len(said) == len(tuple(headers.fields(header)))  # each once
    assert said["Content-Type"].partition(";")[0] == "text/plain"
    assert said["Content-Transfer-Encoding"] == "7bit"
    assert not [one for one in said if one.lower().startswith("list-")]
    assert not {"Cc", "Sender", "Reply-To"} & set(said)
    assert body.isascii()
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert b"\r" not in body.replace(b"\r\n", b"")
