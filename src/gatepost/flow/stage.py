"""The runner: steps a message through stages, stopping whenever one lacks a fact.

A generator, so that the same code runs in the engine (which fetches), in `explain`
(which only reads) and in tests (which answer from a dict).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol, assert_never

from gatepost.errors import LimitExceeded
from gatepost.flow.context import Context
from gatepost.flow.fact import Answers, Fact
from gatepost.flow.verdict import (
    Again,
    Continue,
    Defer,
    Discard,
    Hold,
    Outcome,
    Reject,
    Split,
    Verdict,
    Wait,
)
from gatepost.mail.message import Message

MAXIMUM_ROUNDS = 64  # a hostile message may nest layers or chain issuers for ever


class Stage(Protocol):
    """A module with these two functions is a stage."""

    def asks(self, message: Message, context: Context) -> frozenset[Fact]:
        """Name the facts needed before `does` can run."""
        ...

    def does(self, message: Message, context: Context) -> tuple[Message, Verdict]:
        """Transform the message and say how to go on."""
        ...


Flow = Generator[frozenset[Fact], Answers, tuple[Outcome, ...]]


def run(message: Message, context: Context, stages: Sequence[Stage]) -> Flow:
    """Run the stages; yields the facts it lacks, returns one outcome per resulting message."""
    for position, stage in enumerate(stages, start=1):
        verdict: Verdict = Again()
        rounds = 0
        while isinstance(verdict, Again):
            while missing := _missing(stage.asks(message, context), context):
                rounds = _count(rounds)
                context = context.knowing((yield missing))  # the only door to the world
            rounds = _count(rounds)
            message, verdict = stage.does(message, context)
        match verdict:
            case Continue():
                continue
            case Split(parts, again):
                outcomes: tuple[Outcome, ...] = ()
                rest = stages[position - 1 if again else position :]
                for part in parts:
                    outcomes += yield from run(part, context, rest)
                return outcomes
            case Hold() | Wait() | Defer() | Reject() | Discard():
                return (Outcome(message, verdict),)
            case _:
                assert_never(verdict)
    return (Outcome(message, Continue()),)


def _missing(asked: frozenset[Fact], context: Context) -> frozenset[Fact]:
    """A difference of sets would ask the hash of everything that is known."""
    return frozenset([one for one in asked if one not in context.facts]) if asked else asked


def _count(rounds: int) -> int:
    if rounds >= MAXIMUM_ROUNDS:
        raise LimitExceeded(f"a stage did not finish within {MAXIMUM_ROUNDS} rounds")
    return rounds + 1
