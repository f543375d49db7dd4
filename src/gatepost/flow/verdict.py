"""What a stage answers.  Hold, Defer, Reject and Discard are Postfix's access(5) actions."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.mail.message import Message
from gatepost.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on to the next stage."""


@dataclass(frozen=True, slots=True)
class Again:
    """Run this stage again on its own result (one cryptographic layer at a time)."""


@dataclass(frozen=True, slots=True)
class Split:
    """Each part goes on alone from the next stage; together they have every recipient once.

    `again`: they go on from this same stage; each part has fewer recipients, so it ends.
    """

    parts: tuple[Message, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the message until somebody decides; under `quarantine` with a recorded reason."""

    reason: str
    quarantine: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep the message as it came, until it can be encrypted; `reply` says to whom it cannot."""

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now: the peer is asked to try again."""

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Not at all: the peer is told so in the session."""

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Accept and drop: on an administrator's explicit rule, or what was meant for us alone."""

    reason: str


Verdict = Continue | Again | Split | Hold | Wait | Defer | Reject | Discard
Final = Continue | Hold | Wait | Defer | Reject | Discard


@dataclass(frozen=True, slots=True)
class Outcome:
    """A message at the end of the flow and what is to become of it; Continue means deliver."""

    message: Message
    verdict: Final
