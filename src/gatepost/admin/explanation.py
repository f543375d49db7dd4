"""What would be done with a message: the gateway's own flow, with facts that are only read."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin.access import opened
from gatepost.config import Settings
from gatepost.engine.drive import drive
from gatepost.engine.gateway import STAGES
from gatepost.engine.gather import Gatherer
from gatepost.engine.rulebook import Rulebook
from gatepost.engine.service import Stores, context, own_domains
from gatepost.errors import ConfigError
from gatepost.flow.decision import Decision, decisions
from gatepost.flow.explain import render
from gatepost.flow.stage import run
from gatepost.flow.verdict import Defer, Discard, Hold, Outcome, Reject
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mime import canonical, split_header


@dataclass(frozen=True, slots=True)
class Request:
    """A message and its envelope."""

    message: bytes
    return_path: Mailbox | None
    recipients: tuple[Mailbox, ...]
    direction: Direction | None = None  # None: by domain, as a listener for both does

    @classmethod
    def parse(
        cls, message: bytes, sender: str, recipients: Sequence[str], direction: str = ""
    ) -> Request:
        """From what a person wrote; raises Malformed for an address that is none."""
        if not recipients:
            raise ConfigError("explain for whom?", hint="--to ADDRESS")
        return cls(
            message,
            Mailbox.parse(sender) if sender not in {"", "<>"} else None,
            tuple(Mailbox.parse(one) for one in recipients),
            Direction(direction) if direction else None,
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of the message."""

    outcomes: tuple[tuple[Direction, Outcome], ...]
    to_be_issued: tuple[str, ...] = ()  # addresses whose certificates the mail itself would bring

    @property
    def good(self) -> bool:
        """Whether every recipient would get it."""
        return not any(
            isinstance(one.verdict, Reject | Defer | Hold | Discard) for _, one in self.outcomes
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One for each recipient."""
        return tuple(each for _, one in self.outcomes for each in decisions(one.message.findings))

    @property
    def text(self) -> str:
        """The decisions in words, and what the session would hear."""
        blocks = [render(one) for one in self.decisions]
        blocks += [_said(one) for _, one in self.outcomes if _said(one)]
        blocks += [
            f"{one} has no certificate yet: it would be issued at this mail."
            for one in self.to_be_issued
        ]
        return "\n\n".join(dict.fromkeys(blocks))

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "outcomes": [
                {
                    "direction": direction.value,
                    "verdict": type(one.verdict).__name__.lower(),
                    "reason": getattr(one.verdict, "reason", ""),
                    "reply": str(getattr(one.verdict, "reply", "")),
                    "recipients": [str(who) for who in one.message.envelope.recipients],
                    "decisions": [each.as_data() for each in decisions(one.message.findings)],
                }
                for direction, one in self.outcomes
            ],
            "to_be_issued": list(self.to_be_issued),
        }


def explain(config: Path | None, request: Request, now: datetime) -> Explanation:
    """Run the flow; nothing is stored, sent or issued."""
    with opened(config) as (settings, stores):
        return asyncio.run(_explained(settings, stores, request, now))


async def _explained(
    settings: Settings, stores: Stores, request: Request, now: datetime
) -> Explanation:
    def clock() -> datetime:
        return now

    gather = Gatherer(
        stores.directory,
        stores.vault,
        stores.authority,
        domains=own_domains(settings),
        clock=clock,
        read_only=True,
    )
    snapshot = context(settings, Rulebook(stores.directory), clock)()
    outcomes: list[tuple[Direction, Outcome]] = []
    for message in _messages(settings, request, now):
        flow = run(message, snapshot, STAGES[message.direction])
        outcomes += [(message.direction, one) for one in await drive(flow, gather)]
    return Explanation(tuple(outcomes), tuple(sorted(map(str, gather.rehearsed))))


def _messages(settings: Settings, request: Request, now: datetime) -> list[Message]:
    """One message per direction, as the gateway divides an envelope."""
    header, body = split_header(canonical.crlf(request.message))
    own = own_domains(settings)
    arrival = Arrival(f"EXPLAIN-{secrets.token_hex(3)}", now, listener="explain", peer="127.0.0.1")
    found: list[Message] = []
    for direction in Direction:
        recipients = tuple(
            Recipient(one)
            for one in request.recipients
            if (request.direction or _direction(one, own)) is direction
        )
        if recipients:
            envelope = Envelope(request.return_path, recipients)
            found.append(Message(direction, envelope, arrival, header, Octets(body)))
    return found


def _direction(recipient: Mailbox, own: frozenset[str]) -> Direction:
    return Direction.INBOUND if recipient.domain_key in own else Direction.OUTBOUND


def _said(outcome: Outcome) -> str:
    match outcome.verdict:
        case Reject(reply, _) | Defer(reply, _):
            return f"The session would hear: {reply}"
        case Hold(reason) | Discard(reason):
            return f"It would be kept back: {reason}"
    return ""
