"""Opening arriving mail, when something inside is what no parser has ever seen."""

import pytest
from tests.world import (
    ANCHORS,
    OURS,
    THEIRS,
    World,
    arriving,
    drive,
    facts,
    only,
    outgoing,
    told,
)

from gatepost.flow import inbound, outbound, peel
from gatepost.flow.verdict import Continue
from gatepost.mail.message import Message

BOB, ALICE = f"bob@{THEIRS}", f"alice@{OURS}"
MAIL = f"From: Bob <{BOB}>\nTo: {ALICE}\nSubject: Figures\n\nThe secret figures.\n"


def sent() -> Message:
    """Bob's mail, signed and encrypted, as it arrives."""
    known = facts(modern=[ALICE], signers=[BOB])
    world = World.under("", known, domains=frozenset({THEIRS}), hostname="gate.partner.example")
    return arriving(only(world.drive(outgoing(MAIL, ALICE, sender=BOB), outbound.STAGES)))


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), RecursionError()])
@pytest.mark.parametrize(
    ("broken", "reasons"),
    [
        ("decrypt", ["no key of the recipient opens it unchanged"]),
        ("verify", ["it could not be read"]),
    ],
)
def test_a_parser_that_fails(
    monkeypatch: pytest.MonkeyPatch, broken: str, reasons: list[str], error: Exception
) -> None:
    """451 instead of 250 tells a stranger what only our key uncovers, and he sends it again."""

    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(peel, broken, failing)
    known = facts(openers=[ALICE], anchors={THEIRS: ANCHORS})
    outcome = only(drive(sent(), inbound.STAGES, known))
    assert outcome.verdict == Continue()
    assert told([outcome])[ALICE].layers[-1]["reasons"] == reasons
