"""The runner: steps, splits, and an end to everything."""

from dataclasses import dataclass, field

import pytest
from tests.world import World, outgoing, recipients

from gatepost.errors import LimitExceeded
from gatepost.flow.context import Context
from gatepost.flow.fact import AnchorsFor, Fact
from gatepost.flow.verdict import Again, Continue, Discard, Split, Verdict
from gatepost.mail.message import Message

MAIL = "From: alice@xyz.example\n\nHello\n"
THREE = ("a@b.example", "c@d.example", "e@f.example")


@dataclass
class Scripted:
    """A stage that answers the same to everybody."""

    verdict: Verdict = field(default_factory=Continue)
    wants: frozenset[Fact] = frozenset()
    seen: list[tuple[str, ...]] = field(default_factory=list)

    def asks(self, message: Message, context: Context) -> frozenset[Fact]:
        """What the script wants."""
        return self.wants

    def does(self, message: Message, context: Context) -> tuple[Message, Verdict]:
        """What the script says."""
        self.seen.append(tuple(map(str, message.envelope.recipients)))
        return message, self.verdict


class Halving(Scripted):
    """Splits until everybody is alone."""

    def does(self, message: Message, context: Context) -> tuple[Message, Verdict]:
        """Cut in two."""
        super().does(message, context)
        members = message.envelope.recipients
        if len(members) == 1:
            return message, Continue()
        half = len(members) // 2
        return message, Split(
            (message.to(*members[:half]), message.to(*members[half:])), again=True
        )


def test_parts_of_a_split_go_on_alone_from_the_next_stage() -> None:
    """A part is treated twice by one stage, or skips one."""
    message = outgoing(MAIL, *THREE)
    parts = tuple(message.to(one) for one in message.envelope.recipients)
    first, last = Scripted(Split(parts)), Scripted()
    outcomes = World().drive(message, (first, last))
    assert first.seen == [THREE]
    assert last.seen == [(one,) for one in THREE]
    assert [recipients(one) for one in outcomes] == last.seen


def test_parts_may_go_through_the_same_stage_again() -> None:
    """A second layer is not opened for recipients who were told apart at the first."""
    halving, last = Halving(), Scripted()
    World().drive(outgoing(MAIL, *THREE), (halving, last))
    assert halving.seen == [THREE, THREE[:1], THREE[1:], THREE[1:2], THREE[2:]]
    assert last.seen == [(one,) for one in THREE]


def test_a_final_verdict_ends_the_stages() -> None:
    """A discarded mail is delivered after all."""
    last = Scripted()
    (outcome,) = World().drive(outgoing(MAIL, *THREE), (Scripted(Discard("rule")), last))
    assert outcome.verdict == Discard("rule")
    assert last.seen == []


def test_a_stage_that_never_ends_is_stopped() -> None:
    """A hostile message occupies the gateway for ever."""
    with pytest.raises(LimitExceeded):
        World().drive(outgoing(MAIL, *THREE), (Scripted(Again()),))


def test_a_fact_is_asked_for_once() -> None:
    """Every stage costs the same look-up again."""
    wanted = frozenset({AnchorsFor("b.example")})
    world = World()
    world.drive(outgoing(MAIL, *THREE), (Scripted(wants=wanted), Scripted(wants=wanted)))
    assert world.asked == [AnchorsFor("b.example")]
