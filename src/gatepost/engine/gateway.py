"""Decides a mail transaction while the peer waits for its reply (laws 1 to 3 of the design).

250 is said when everything that became of the message is durable, in one transaction:
what goes out, the decisions, the failure notices.  Whatever goes wrong before that is a
4yz, so the peer keeps the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from gatepost.config import Listener
from gatepost.engine import evidence
from gatepost.engine.bounce import Bouncer
from gatepost.engine.delivery import Delivery
from gatepost.engine.drive import drive
from gatepost.engine.evidence import Testimony
from gatepost.engine.gather import Gatherer
from gatepost.engine.intake import split
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.respond import Respondent
from gatepost.engine.routing import Routes
from gatepost.engine.suspicion import PACE, Suspicion, has_failed, was_encrypted
from gatepost.engine.verdict import Resolution, held, records, resolve
from gatepost.errors import GatepostError
from gatepost.events import Name
from gatepost.flow import admit
from gatepost.flow.admit import Gate
from gatepost.flow.context import Context
from gatepost.flow.course import decide, is_untouched, undecided, untouched
from gatepost.flow.harvest import Learned, learned
from gatepost.flow.plan import Met, met
from gatepost.flow.retry import Schedule
from gatepost.flow.verdict import Outcome
from gatepost.mail.content import Content
from gatepost.mail.delivery import Attempt
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo, Sink
from gatepost.store.contract import MailQueue
from gatepost.store.directory import Directory
from gatepost.store.evidence import Seal
from gatepost.store.queue_item import Item, NewItem

LONG_BODY = 256 * 1024  # octets from which the work is worth a thread
LONG_HEADER = 32 * 1024  # a hostile one of 1 MiB takes a second to read
MANY_RECIPIENTS = 20  # their public-key operations would stall the loop for milliseconds
NO_ROOM = Reply(452, "4.3.1", "Insufficient system storage, try again later")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gateway works with; built once by `engine.service`."""

    listeners: Mapping[str, Listener]
    domains: frozenset[str]  # our own, as `domain_key`s
    context: Callable[[], Context]  # a fresh snapshot: time and policy of this moment
    queue: MailQueue
    delivery: Delivery
    directory: Directory
    gather: Gatherer
    routes: Routes
    bouncer: Bouncer
    journal: Journal
    identify: Callable[[datetime], str]
    monitored: frozenset[str] = frozenset()  # listeners whose mail passes untouched
    soft_bounce: bool = False  # say 4xx where 5xx is due
    maximum_age: timedelta = Schedule().maximum_age  # how long mail waits for a key
    evidence_seal: Seal | None = None  # None: no evidence is kept
    respondent: Respondent | None = None  # None: nobody answers challenge mails


@dataclass(frozen=True, slots=True)
class Transaction:
    """One finished mail transaction and the snapshot it is decided by."""

    queue_id: str
    session: SessionInfo
    envelope: Envelope
    content: Content
    context: Context

    @property
    def arrival(self) -> Arrival:
        """How the message came, for its trace."""
        return Arrival(
            queue_id=self.queue_id,
            received_at=self.context.now,
            listener=self.session.listener,
            peer=self.session.peer,
            helo=self.session.helo,
            tls=self.session.tls,
            authenticated_as=self.session.authenticated_as or None,
            protocol=self.session.keyword(smtputf8=self.envelope.smtputf8),
        )


def is_trusted(listener: Listener, session: SessionInfo) -> bool:
    """Whether our people's mail may come from this peer: by address, log-in or certificate."""
    if session.authenticated_as or listener.trusts(session.peer):
        return True
    certificate = session.certificate
    return certificate is not None and any(map(certificate.matches, listener.trusted_certificates))


def origin(session: SessionInfo) -> tuple[tuple[str, str], ...]:
    """Whose mail this is, as XFORWARD tells a next hop that may know: whom our peer speaks for."""
    known = session.forwarded or {
        "ADDR": f"IPV6:{session.peer}" if ":" in session.peer else session.peer,
        "HELO": session.helo,
        "PORT": str(session.port or ""),
        "PROTO": "ESMTP" if session.is_extended else "SMTP",
    }
    return tuple((name, value) for name, value in known.items() if value)


class Gateway:
    """The `net.application.Application` behind every listener."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._learning: set[asyncio.Task[None]] = set()
        self._suspicion = Suspicion()

    def admit(self, _session: SessionInfo) -> None:
        """Let anybody speak; what they may do is decided at MAIL and RCPT."""

    def sender(self, session: SessionInfo, envelope: Envelope) -> Reply:
        """Answer MAIL."""
        if not self._parts.queue.has_room():
            return NO_ROOM
        reply = admit.admit_sender(self._gate(session), envelope.return_path)
        return self._noted(session, reply, envelope)

    def recipient(
        self, session: SessionInfo, envelope: Envelope, recipient: Recipient
    ) -> Reply | Awaitable[Reply]:
        """Answer RCPT, at once unless a certificate has to be looked up."""
        gate, context = self._gate(session), self._parts.context()
        facts = admit.asks(gate, envelope.return_path, recipient.mailbox, context)
        known = self._parts.gather.at_hand(facts, context.generation) if facts else {}
        if known is None:
            return self._recipient(session, gate, context, envelope, recipient)
        context = context.knowing(known) if known else context
        reply = admit.admit_recipient(gate, envelope.return_path, recipient.mailbox, context)
        return self._noted(session, reply, envelope, recipient)

    async def message(
        self, session: SessionInfo, envelope: Envelope, content: Content
    ) -> Reply | Sequence[Reply]:
        """Decide, store, and only then say 250; in LMTP to each recipient (RFC 2033)."""
        context = self._parts.context()
        envelope = replace(envelope, origin=origin(session))
        queue_id = self._parts.identify(context.now)
        try:
            return await self._message(Transaction(queue_id, session, envelope, content, context))
        except GatepostError as error:
            reply = self._softened(Reply.for_error(error))
            name = Name.MESSAGE_DEFERRED if reply.is_transient else Name.MESSAGE_REFUSED
            self._parts.journal.note(name, queue_id, reply=str(reply), reason=str(error))
            return reply

    def sink(self) -> Sink:
        """A sealed file for a message too large for memory."""
        return self._parts.queue.spool.sink()

    async def settle(self) -> None:
        """Wait until everything learned from past messages is written."""
        while self._learning:
            await asyncio.gather(*self._learning, return_exceptions=True)

    async def _message(self, transaction: Transaction) -> Reply | Sequence[Reply]:
        parts, context = self._parts, transaction.context
        started = asyncio.get_running_loop().time()
        header, body = split(transaction.content)
        outcomes: tuple[Outcome, ...] = ()
        gate = self._gate(transaction.session)
        for direction, part in admit.divided(gate, transaction.envelope):
            message = Message(direction, part, transaction.arrival, header, body)
            outcomes += await self._decided(transaction, message)
        is_lmtp = transaction.session.is_lmtp
        resolution = resolve(
            transaction.queue_id,
            outcomes,
            parts.routes,
            for_each=is_lmtp,
            soft=parts.soft_bounce,
            original=transaction.content,
        )
        items = (*resolution.items, *self._notices(transaction, resolution))
        noted = records(transaction.queue_id, context.now, outcomes)
        async with self._responses(resolution, outcomes, context.now) as responses:
            stored = await parts.queue.accept((*items, *responses), noted)
        parts.delivery.submit(stored)
        if resolution.reply.is_positive:
            self._learn(outcomes, context.now)
            await self._keep(transaction, outcomes)
        self._report(transaction, resolution)
        for address, note in held(outcomes):
            remedy = f"gatepost cert accept {address} lets it go"
            fields = {"fingerprint": note.fingerprint, "reason": note.reason, "remedy": remedy}
            parts.journal.note(
                Name.CERTIFICATE_HELD, transaction.queue_id, address=address, **fields
            )
        await self._paced(transaction, outcomes, started)
        return resolution.replies(transaction.envelope) if is_lmtp else resolution.reply

    def _responses(
        self, resolution: Resolution, outcomes: tuple[Outcome, ...], now: datetime
    ) -> AbstractAsyncContextManager[tuple[NewItem, ...]]:
        """What answers a challenge mail that is accepted."""
        respondent = self._parts.respondent
        if respondent is None or not resolution.reply.is_positive:
            return nullcontext(())
        return respondent.responses(outcomes, now)

    async def _paced(
        self, transaction: Transaction, outcomes: tuple[Outcome, ...], started: float
    ) -> None:
        """Wait, where the time of the reply could tell what our keys made of the mail."""
        if not was_encrypted(outcomes):
            return
        peer, now = transaction.session.peer, transaction.context.now
        limited = self._suspicion.is_limited(peer, now)  # before this mail has its say
        if has_failed(outcomes) and self._suspicion.note(peer, now):
            self._parts.journal.note(Name.SENDER_SLOWED, transaction.queue_id, peer=peer)
        if limited:
            await asyncio.sleep(max(0.0, started + PACE - asyncio.get_running_loop().time()))

    async def _decided(self, transaction: Transaction, message: Message) -> tuple[Outcome, ...]:
        flow = decide(message, transaction.context)
        gather = partial(self._parts.gather, generation=transaction.context.generation)
        in_thread = _is_long(message)
        if transaction.session.listener not in self._parts.monitored:
            return await drive(flow, gather, in_thread=in_thread)
        try:
            found = await drive(flow, gather, in_thread=in_thread)
        except Exception as error:  # noqa: BLE001 - what only watches must not stop mail
            found = undecided(message, reason_of(error))
        return untouched(message, transaction.context, found)

    def _notices(self, transaction: Transaction, resolution: Resolution) -> tuple[NewItem, ...]:
        """What the author is told of recipients refused beside others, and of those who wait."""
        bouncer, now = self._parts.bouncer, transaction.context.now
        notices: list[NewItem | None] = []
        if resolution.refused and not transaction.session.is_lmtp:  # told in the session
            item = _original(transaction, resolution.refused)
            notices.append(bouncer.failure(item, resolution.refused, now))
        if resolution.waiting:
            item = _original(transaction, resolution.waiting)
            until = now + self._parts.maximum_age
            notices.append(bouncer.waiting(item, resolution.waiting, now, until))
        return tuple(one for one in notices if one is not None)

    def _learn(self, outcomes: tuple[Outcome, ...], now: datetime) -> None:
        """Remember correspondents' certificates after the reply; nobody waits for that."""
        found = dict.fromkeys(one for each in outcomes for one in learned(each.message.findings))
        keys = dict.fromkeys(one for each in outcomes for one in _met(each))
        work = [self._remember(one, now) for one in found]
        work += [self._recognise(one, now) for one in keys]
        for each in work:
            task = asyncio.get_running_loop().create_task(each)
            self._learning.add(task)
            task.add_done_callback(self._learning.discard)

    async def _remember(self, found: Learned, now: datetime) -> None:
        try:
            await asyncio.to_thread(self._parts.directory.note, found.lesson, now=now)
            await self._file(found, now)
        except Exception as error:  # noqa: BLE001 - the next mail teaches it again
            self._parts.journal.note(Name.SERVICE_ERROR, service="harvest", reason=reason_of(error))

    async def _keep(self, transaction: Transaction, outcomes: tuple[Outcome, ...]) -> None:
        """Keep what proves a signature, where policy wants it; the mail itself is on its way."""
        seal = self._parts.evidence_seal
        if seal is None or not transaction.context.policy.inbound.keep_evidence:
            return
        content = transaction.content
        make = partial(evidence.testimony, transaction.queue_id, content, outcomes)
        try:  # before the reply: after it the content may be gone
            is_long = content.size > LONG_BODY
            found = await asyncio.to_thread(make) if is_long else make()
        except Exception as error:  # noqa: BLE001 - or it would be sent, and delivered, again
            self._not_kept(transaction, error)
            return
        if found is not None:
            task = asyncio.get_running_loop().create_task(self._kept(found, transaction, seal))
            self._learning.add(task)
            task.add_done_callback(self._learning.discard)

    async def _kept(self, found: Testimony, transaction: Transaction, seal: Seal) -> None:
        keep, now = self._parts.directory.evidence.keep, transaction.context.now
        try:
            await asyncio.to_thread(keep, found.record, seal, now=now, proofs=found.proofs)
        except Exception as error:  # noqa: BLE001 - nothing depends on it
            self._not_kept(transaction, error)

    def _not_kept(self, transaction: Transaction, error: Exception) -> None:
        id_, reason = transaction.queue_id, reason_of(error)
        self._parts.journal.note(Name.SERVICE_ERROR, id_, service="evidence", reason=reason)

    async def _recognise(self, found: Met, now: datetime) -> None:
        """Remember whose key is which; the postmaster hears of a change once."""
        parts = self._parts
        try:
            new = await asyncio.to_thread(
                parts.directory.known_keys.remember, found.mailbox, found.known, now=now
            )
            if not (new and found.changes):
                return
            reason = "; ".join(found.changes)
            parts.journal.note(Name.CERTIFICATE_CHANGED, address=str(found.mailbox), reason=reason)
            notice = parts.bouncer.alarm(found, now) if found.warns else None
            if notice is not None:
                parts.delivery.submit(await parts.queue.accept((notice,), ()))
        except Exception as error:  # noqa: BLE001 - the next mail to him tells it again
            parts.journal.note(Name.SERVICE_ERROR, service="keys", reason=reason_of(error))

    async def _file(self, found: Learned, now: datetime) -> None:
        for certificate in found.certificates:
            new = await asyncio.to_thread(
                self._parts.directory.learn,
                certificate,
                found.mailbox,
                issuers=found.issuers,
                now=now,
            )
            if new:
                self._parts.journal.note(
                    Name.CERTIFICATE_HARVESTED,
                    address=str(found.mailbox),
                    fingerprint=certificate.fingerprint,
                )

    async def _recipient(
        self,
        session: SessionInfo,
        gate: Gate,
        context: Context,
        envelope: Envelope,
        recipient: Recipient,
    ) -> Reply:
        facts = admit.asks(gate, envelope.return_path, recipient.mailbox, context)
        context = context.knowing(await self._parts.gather(facts, context.generation))
        reply = admit.admit_recipient(gate, envelope.return_path, recipient.mailbox, context)
        return self._noted(session, reply, envelope, recipient)

    def _gate(self, session: SessionInfo) -> Gate:
        listener = self._parts.listeners[session.listener]
        only = None if listener.direction == "both" else Direction(listener.direction)
        return Gate(
            only,
            is_trusted(listener, session),
            self._parts.domains,
            foreign_senders=listener.forwards,
            monitors=session.listener in self._parts.monitored,
        )

    def _noted(
        self,
        session: SessionInfo,
        reply: Reply,
        envelope: Envelope,
        recipient: Recipient | None = None,
    ) -> Reply:
        reply = self._softened(reply)
        if not reply.is_positive:
            self._parts.journal.note(
                Name.SESSION_REFUSED,
                listener=session.listener,
                peer=session.peer,
                sender=str(envelope.return_path or "<>"),
                to=str(recipient or ""),
                reply=str(reply),
            )
        return reply

    def _softened(self, reply: Reply) -> Reply:
        return reply.softened() if self._parts.soft_bounce else reply

    def _report(self, transaction: Transaction, resolution: Resolution) -> None:
        self._parts.journal.note(
            resolution.event,
            transaction.queue_id,
            listener=transaction.session.listener,
            peer=transaction.session.peer,
            sender=str(transaction.envelope.return_path or "<>"),
            recipients=len(transaction.envelope.recipients),
            size=transaction.content.size,
            reply=str(resolution.reply)[:300],
            reason=resolution.reason,
            mode="monitor" if transaction.session.listener in self._parts.monitored else None,
        )


def _met(outcome: Outcome) -> tuple[Met, ...]:
    """Whose keys the mail uses; none in monitor mode, where it leaves as it came."""
    return () if is_untouched(outcome.message) else met(outcome.message.findings)


def _original(transaction: Transaction, attempts: Sequence[Attempt]) -> Item:
    """The message as it came, for these recipients, as something to report about."""
    return Item(
        number=0,
        id=transaction.queue_id,
        queue_id=transaction.queue_id,
        hop="",
        envelope=transaction.envelope.to(*(one.recipient for one in attempts)),
        content=transaction.content,
        created=transaction.context.now,
        due=transaction.context.now,
        last=tuple(one.reply for one in attempts),
        protected=True,
    )


def _is_long(message: Message) -> bool:
    """Whether deciding about the message would stall everybody else's."""
    return (
        message.body.size > LONG_BODY
        or len(message.header) > LONG_HEADER
        or len(message.envelope.recipients) > MANY_RECIPIENTS
    )
