"""What would be done with a message: the gateway's own flow, with facts that are only read.

It begins at RCPT, as the session does, with a peer who may send for our people.
"""

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
from gatepost.engine.chase import chase
from gatepost.engine.drive import drive
from gatepost.engine.enrolment import identities
from gatepost.engine.federation import federation
from gatepost.engine.gather import Gatherer
from gatepost.engine.respond import challenges
from gatepost.engine.rulebook import Rulebook
from gatepost.engine.service import Stores, context, own_domains
from gatepost.engine.source import sources
from gatepost.engine.standing import standing
from gatepost.errors import ConfigError
from gatepost.flow import admit
from gatepost.flow.admit import Gate
from gatepost.flow.classify import sole_author
from gatepost.flow.context import Context
from gatepost.flow.course import decide
from gatepost.flow.decision import CertificateNote, Decision, Done, decisions
from gatepost.flow.explain import render
from gatepost.flow.fact import CertificateFor
from gatepost.flow.verdict import Defer, Discard, Hold, Outcome, Reject, Wait
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mime import canonical, split_header
from gatepost.pki.choose import Choice
from gatepost.policy.evaluate import evaluate


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
    modes: tuple[str, ...] = ()  # why all of this may not be done

    @property
    def good(self) -> bool:
        """Whether every recipient would get it."""
        return not any(
            isinstance(one.verdict, Reject | Defer | Hold | Wait | Discard)
            for _, one in self.outcomes
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One for each recipient."""
        return tuple(each for _, one in self.outcomes for each in decisions(one.message.findings))

    @property
    def text(self) -> str:
        """The decisions in words, and what the session would hear."""
        blocks = [*self.modes, *(render(one) for one in self.decisions)]
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
            "modes": list(self.modes),
        }


def explain(config: Path | None, request: Request, now: datetime) -> Explanation:
    """Run the flow; sources outside are asked, but nothing is stored, sent or issued."""
    with opened(config) as (settings, stores):
        return asyncio.run(_explained(settings, stores, request, now))


async def _explained(
    settings: Settings, stores: Stores, request: Request, now: datetime
) -> Explanation:
    def clock() -> datetime:
        return now

    ours = identities(settings, stores.directory, stores.vault, stores.authority)
    await ours.rules.refresh()
    paths = chase(settings, stores.directory, clock, keeps=False)
    stands = standing(settings, stores.directory.statuses, clock, keeps=False)
    gather = Gatherer(
        stores.directory,
        stores.vault,
        ours,
        domains=own_domains(settings),
        clock=clock,
        read_only=True,
        federation=federation(settings, stores.directory.register, own_domains(settings), clock),
        challenges=challenges(settings, stores.directory, clock, patience=0),
        sources=sources(settings, own_domains(settings), clock),
        chase=paths,
        standing=stands,
    )
    snapshot = context(settings, Rulebook(stores.directory), clock, stores.trace)()
    outcomes: list[tuple[Direction, Outcome]] = []
    gate = Gate(request.direction, trusted=True, domains=own_domains(settings))
    for message in _messages(gate, request, now):
        refused, admitted = await _admitted(gate, message, snapshot, gather)
        outcomes += [(message.direction, one) for one in refused]
        if admitted is not None:
            found = await drive(decide(admitted, snapshot), gather)
            outcomes += [(message.direction, one) for one in found]
    await paths.close()
    if stands is not None:
        await stands.close()
    issued = tuple(sorted(map(str, gather.rehearsed)))
    return Explanation(tuple(outcomes), issued, _modes(settings, {way for way, _ in outcomes}))


def _modes(settings: Settings, ways: set[Direction]) -> tuple[str, ...]:
    """What the configuration does otherwise than decided here, while somebody goes live."""
    said = [
        f"Monitor mode: listener {one.label} passes mail untouched; this is what would be done."
        for one in settings.monitored
        if one.direction == "both" or Direction(one.direction) in ways
    ]
    if settings.gateway.soft_bounce:
        said.append("soft_bounce: a refusal for good would be said as one for now (4xx).")
    return tuple(said)


def _messages(gate: Gate, request: Request, now: datetime) -> list[Message]:
    """One message per direction, as the gateway divides an envelope."""
    header, body = split_header(canonical.crlf(request.message))
    arrival = Arrival(f"EXPLAIN-{secrets.token_hex(3)}", now, listener="explain", peer="127.0.0.1")
    envelope = Envelope(request.return_path, tuple(map(Recipient, request.recipients)))
    return [
        Message(direction, part, arrival, header, Octets(body))
        for direction, part in admit.divided(gate, envelope)
    ]


async def _admitted(
    gate: Gate, message: Message, snapshot: Context, gather: Gatherer
) -> tuple[list[Outcome], Message | None]:
    """Who would be refused at RCPT, each by himself, and the message for everybody else."""
    refused, kept = [], []
    return_path = message.envelope.return_path
    for one in message.envelope.recipients:
        facts = admit.asks(gate, return_path, one.mailbox, snapshot)
        knowing = snapshot.knowing(await gather(facts))
        reply = admit.admit_recipient(gate, return_path, one.mailbox, knowing)
        if reply.is_positive:
            kept.append(one)
        else:
            author = sole_author(message.header)
            decision = Decision(
                str(one),
                str(author or ""),
                Done.REFUSED,
                "refused at RCPT, before the message is sent",
                evaluate(snapshot.policy, return_path, one.mailbox)
                if message.direction is Direction.OUTBOUND
                else None,
                rejected=_rejected(knowing.facts.get(CertificateFor(one.mailbox))),
            )
            part = message.to(one).noting(decision)
            refused.append(Outcome(part, Reject(reply, "refused at RCPT")))
    return refused, message.to(*kept) if kept else None


def _rejected(choice: object) -> tuple[CertificateNote, ...]:
    """The certificates that could not be used, from wherever they came."""
    found = choice.rejected if isinstance(choice, Choice) else ()
    return tuple(CertificateNote.of(one.certificate, one.reason, one.source) for one in found)


def _said(outcome: Outcome) -> str:
    match outcome.verdict:
        case Reject(reply, _) | Defer(reply, _):
            return f"The session would hear: {reply}"
        case Hold(reason, _) | Discard(reason):
            return f"It would be kept back: {reason}"
        case Wait(reply, _):
            return f"It would wait for a certificate, and its author would hear: {reply.text}"
    return ""
