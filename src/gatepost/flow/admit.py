"""Decide while the envelope is spoken: relay rights, direction, hopeless recipients (RFC 5321 3.3).

Never an open relay: outbound needs a trusted peer, inbound needs a domain of ours, and
the listener must allow the direction.  A mandatory recipient without certificate is
refused at RCPT, so that author and other recipients lose nothing (decision 0002).
"""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.flow.context import Context
from gatepost.flow.fact import CertificateFor, Fact
from gatepost.flow.refusal import unencryptable
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope
from gatepost.mail.message import Direction
from gatepost.mail.reply import Reply
from gatepost.policy.evaluate import certainly_mandatory, evaluate
from gatepost.policy.treatment import RefuseAt, Treatment, Unencryptable

SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
NOT_HERE = Reply(550, "5.7.1", "Relaying denied: this service is for other peers")
NOT_OURS = Reply(550, "5.7.1", "Relaying denied: no such domain here")
FOREIGN = Reply(550, "5.7.1", "Relaying denied: the return path is not in a domain of ours")


@dataclass(frozen=True, slots=True)
class Gate:
    """A listener's rights and the peer before it."""

    only: Direction | None  # None: both directions
    trusted: bool  # the peer lies in a network trusted with outbound mail
    domains: frozenset[str]  # our own, as `domain_key`s
    foreign_senders: bool = False  # forwarders: outbound mail may have a stranger's return path
    monitors: bool = False  # policy refuses nobody: mail is decided about and passed untouched

    def owns(self, mailbox: Mailbox) -> bool:
        """Whether the mailbox is in a domain of ours."""
        return mailbox.domain_key in self.domains


def direction(gate: Gate, recipient: Mailbox) -> Direction:
    """Which way mail for this recipient goes; the listener says it or, if both, the domain."""
    if gate.only is not None:
        return gate.only
    return Direction.INBOUND if gate.owns(recipient) else Direction.OUTBOUND


def admit_sender(gate: Gate, return_path: Mailbox | None) -> Reply:
    """The reply to MAIL.  A listener for both directions waits for RCPT to judge."""
    if gate.only is Direction.OUTBOUND:
        return _outbound_rights(gate, return_path) or SENDER_OK
    return SENDER_OK


def asks(
    gate: Gate, return_path: Mailbox | None, recipient: Mailbox, context: Context
) -> frozenset[Fact]:
    """The facts `admit_recipient` needs: a certificate, where only that decides."""
    if _decided_at_rcpt(gate, return_path, recipient, context):
        return frozenset({CertificateFor(recipient)})
    return frozenset()


def admit_recipient(
    gate: Gate, return_path: Mailbox | None, recipient: Mailbox, context: Context
) -> Reply:
    """The reply to RCPT; `context.facts` answers what `asks` asked."""
    if direction(gate, recipient) is Direction.INBOUND:
        return RECIPIENT_OK if gate.owns(recipient) else NOT_OURS
    if refused := _outbound_rights(gate, return_path):
        return refused
    if _decided_at_rcpt(gate, return_path, recipient, context):
        choice = context.certificate_for(CertificateFor(recipient))
        if choice.chosen is None:
            treatment = evaluate(context.policy, return_path, recipient)
            return unencryptable({recipient: choice}, {recipient: treatment})
    return RECIPIENT_OK


def divided(gate: Gate, envelope: Envelope) -> tuple[tuple[Direction, Envelope], ...]:
    """One envelope per direction; together they have every recipient once, in order."""
    found: list[tuple[Direction, Envelope]] = []
    for way in Direction:
        recipients = tuple(
            one for one in envelope.recipients if direction(gate, one.mailbox) is way
        )
        if recipients:
            found.append((way, envelope.to(*recipients)))
    return tuple(found)


def _outbound_rights(gate: Gate, return_path: Mailbox | None) -> Reply | None:
    if not gate.trusted:
        return NOT_HERE if gate.only is Direction.OUTBOUND else NOT_OURS
    if return_path is None or gate.foreign_senders or gate.owns(return_path):
        return None
    return FOREIGN


def _decided_at_rcpt(
    gate: Gate, return_path: Mailbox | None, recipient: Mailbox, context: Context
) -> bool:
    return (
        gate.trusted
        and not gate.monitors
        and direction(gate, recipient) is Direction.OUTBOUND
        and certainly_mandatory(context.policy, recipient)
        and _refuses_at_rcpt(evaluate(context.policy, return_path, recipient), return_path)
    )


def _refuses_at_rcpt(treatment: Treatment, return_path: Mailbox | None) -> bool:
    if treatment.unencryptable is Unencryptable.WAIT and return_path is not None:
        return False
    if treatment.unencryptable is Unencryptable.TLS:
        return False
    return treatment.refuse_at is RefuseAt.RCPT
