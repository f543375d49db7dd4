"""A signer whose certificate was revoked: heard, weighed by its date, and written down."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.lookup.test_revocation import BOB, NO_GRACE, START, World
from tests.world import incoming

from gatepost.cms.capability import Signer
from gatepost.engine.drive import drive
from gatepost.flow import inbound
from gatepost.flow.decision import decisions
from gatepost.flow.fact import AnchorsFor, Answers, Fact, RevocationOf
from gatepost.flow.revocation import RevocationReport
from gatepost.flow.stage import run
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.pki.validate import Anchors
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import sign

LATER = timedelta(days=10)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.theirs.close()
    made.ours.close()


async def arrived(world: World, signer: Signer, *, asks: bool = True) -> Message:
    """Bob's mail, signed at the start, verified now."""
    from tests.world import World as Surroundings  # noqa: PLC0415  two worlds, one name

    header = f"From: Bob <{BOB}>\r\nTo: a@xyz.example\r\nSubject: Hi\r\n\r\n".encode()
    header, body = sign(header, Octets(b"Hello\r\n"), signer, now=START, names=lambda: "token")
    mail = incoming(header + join(body), "a@xyz.example")
    context = replace(Surroundings().context(), now=world.now, asks_revocation=asks)
    plain = Anchors(frozenset({world.ca.root}), frozenset({world.ca.issuing}))

    async def gather(facts: frozenset[Fact]) -> Answers:
        answers: dict[Fact, Anchors | tuple[()] | object] = {}
        for one in facts:
            if isinstance(one, RevocationOf):
                answers[one] = await world.revocations.evidence(
                    one.chain, required=True, grace=NO_GRACE
                )
            else:
                answers[one] = plain if isinstance(one, AnchorsFor) else ()
        return answers  # type: ignore[return-value]  # each of its fact's kind

    (outcome,) = await drive(run(mail, context, inbound.STAGES), gather)
    return outcome.message


def verdict(message: Message) -> Verdict:
    (found,) = [one for one in message.findings if isinstance(one, SignatureReport)]
    return found.verdict


@pytest.mark.parametrize(
    ("reason", "after", "expected"),
    [
        (None, LATER, Verdict.VALID),
        ("keyCompromise", LATER, Verdict.VALID_UNTRUSTED),
        ("keyCompromise", -timedelta(minutes=30), Verdict.VALID_UNTRUSTED),
        ("superseded", LATER, Verdict.VALID),
        ("superseded", -timedelta(minutes=30), Verdict.VALID_UNTRUSTED),
        ("unspecified", LATER, Verdict.VALID_UNTRUSTED),
    ],
)
async def test_a_revoked_signer_by_date_and_reason(
    world: World, reason: str | None, after: timedelta, expected: Verdict
) -> None:
    """A stolen key would sign on; or every letter of somebody who left would turn bad."""
    signer = world.ca.ensure(BOB, START).signer
    world.now = START + LATER + timedelta(hours=1)
    if reason is not None:
        world.ca.revoke(signer.certificate, reason, START + after)
    world.ca.revocations(world.ca.issuing, world.now)
    message = await arrived(world, signer)
    assert verdict(message) is expected
    (note,) = [one for one in message.findings if isinstance(one, RevocationReport)]
    assert note.findings[0].status == ("revoked" if reason else "good")
    (decision,) = decisions(message.findings)
    told = [one for one in decision.layers if one["layer"] == "revocation"]
    assert str(told).count("this_update") >= 1


async def test_nobody_is_asked_where_it_is_off(world: World) -> None:
    """An installation without a way to the web would wait for every mail."""
    assert (
        verdict(await arrived(world, world.ca.ensure(BOB, START).signer, asks=False))
        is Verdict.VALID
    )
    assert world.asked == []


async def test_unknown_is_an_answer_and_is_told(world: World) -> None:
    """A signature would pass as checked though nobody could be asked."""
    world.dead.add("/")
    message = await arrived(world, world.ca.ensure(BOB, START).signer)
    assert verdict(message) is Verdict.VALID_UNTRUSTED  # strict
    (note,) = [one for one in message.findings if isinstance(one, RevocationReport)]
    assert {one.status for one in note.findings} == {"unknown"}
