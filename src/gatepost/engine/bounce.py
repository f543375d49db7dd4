"""Tells the return path what became of mail (RFC 3461, RFC 3464, RFC 5321 section 6.1).

Of protected content only the fields that name the message go back: what we decrypted,
or owe encryption, must not leave in a notification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gatepost.engine.intake import split
from gatepost.engine.notice import changed, digest
from gatepost.errors import GatepostError
from gatepost.flow.plan import Met
from gatepost.mail import dsn
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.delivery import Attempt
from gatepost.mail.dsn import Kind
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply
from gatepost.mime import headers
from gatepost.store.notice import Notice
from gatepost.store.queue_item import Item, NewItem

_NAMING = frozenset({"date", "from", "to", "message-id"})


@dataclass(frozen=True, slots=True)
class Bouncer:
    """Composes notifications.  `identify` gives queue ids, `names` tokens for boundaries."""

    hostname: str
    back: Callable[[Mailbox], str]  # the hop towards a return path
    identify: Callable[[datetime], str]
    names: Callable[[], str]
    postmaster: Mailbox | None = None

    def alarm(self, found: Met, now: datetime) -> NewItem | None:
        """Tell the postmaster that a correspondent's certificate changed."""
        to = self.postmaster
        if to is None:
            return None
        return self._told(to, changed(found, to, self.hostname, self._message_id(), now), now)

    def letter(self, told: Sequence[Notice], now: datetime) -> NewItem | None:
        """Tell the postmaster what certificates need."""
        to = self.postmaster
        if to is None:
            return None
        return self._told(to, digest(told, to, self.hostname, self._message_id(), now), now)

    def _message_id(self) -> str:
        return f"<{self.names()}@{self.hostname}>"

    def _told(self, to: Mailbox, content: bytes, now: datetime) -> NewItem:
        """Under the null path, about which nothing is ever said in turn."""
        envelope = Envelope(None, (Recipient(to),), body="8BITMIME", smtputf8=not str(to).isascii())
        return NewItem(self.identify(now), envelope, self.back(to), Octets(content))

    def failure(self, item: Item, attempts: Sequence[Attempt], now: datetime) -> NewItem | None:
        """The notification of final failure, if anybody wants it."""
        return self._notice(dsn.FAILED, item, attempts, now)

    def delay(
        self, item: Item, attempts: Sequence[Attempt], now: datetime, until: datetime
    ) -> NewItem | None:
        """The notification that delivery is delayed, if anybody wants it."""
        return self._notice(dsn.DELAYED, item, attempts, now, until)

    def waiting(
        self, item: Item, attempts: Sequence[Attempt], now: datetime, until: datetime
    ) -> NewItem | None:
        """The notification that mail waits for a certificate, if anybody wants it."""
        return self._notice(dsn.WAITING, item, attempts, now, until)

    def success(self, item: Item, attempts: Sequence[Attempt], now: datetime) -> NewItem | None:
        """The notification asked for, where nobody behind us will send it.

        RFC 3461 section 5.2.2: "relayed" to a server that knows no reports, "delivered" by
        one that answers for mailboxes (section 5.2.3).
        """
        unreported = [one for one in attempts if not one.reports]
        if not unreported:
            return None
        kind = dsn.DELIVERED if unreported[0].is_final else dsn.RELAYED
        return self._notice(kind, item, unreported, now)

    def _notice(
        self,
        kind: Kind,
        item: Item,
        attempts: Sequence[Attempt],
        now: datetime,
        until: datetime | None = None,
    ) -> NewItem | None:
        wanted = self._wanted(item, attempts, kind.event)
        if not wanted:
            return None
        header, body = dsn.report(
            kind,
            self._original(item),
            wanted,
            hostname=self.hostname,
            names=self.names,
            now=now,
            protected=item.protected,
            until=until,
        )
        return self._queued(item, header, body, now)

    def _wanted(self, item: Item, attempts: Sequence[Attempt], event: str) -> tuple[Attempt, ...]:
        # RFC 5321 section 6.1: a notification has the null path, and none is sent about it.
        if item.envelope.return_path is None:
            return ()
        wanted = tuple(one for one in attempts if dsn.wanted(one.recipient, event))
        if item.protected and self.back(item.envelope.return_path) != Direction.INBOUND.value:
            return tuple(replace(one, reply=_silenced(one.reply)) for one in wanted)
        return wanted

    @staticmethod
    def _original(item: Item) -> Message:
        try:
            header, body = split(item.content)
        except GatepostError:  # gone or damaged: the notification matters more than the copy
            header, body = b"", Octets(b"")
        if item.protected:
            header = b"".join(
                field.raw for field in headers.fields(header) if field.name.lower() in _NAMING
            )
        arrival = Arrival(item.queue_id, item.created)
        return Message(Direction.OUTBOUND, item.envelope, arrival, header, body)

    def _queued(self, item: Item, header: bytes, body: bytes, now: datetime) -> NewItem:
        to = item.envelope.return_path
        assert to is not None
        content = header + b"\r\n" + body
        envelope = Envelope(
            None,
            (Recipient(to),),
            body="7BIT" if content.isascii() else "8BITMIME",
            smtputf8=not str(to).isascii(),
        )
        return NewItem(self.identify(now), envelope, self.back(to), Octets(content))


def _silenced(reply: Reply) -> Reply:
    """What a stranger may hear: our own server's words may tell what stands in decrypted mail."""
    said = "accepted" if reply.is_positive else "did not accept"
    return Reply(reply.code, reply.status, f"The recipient's mail server {said} the message")
