"""Which orders wait for a mail: at most one per person, for a mail does not say whose it answers.

Named texts of the directory, changed only by whoever knows the text before: the node that
places an order and the one that the mail comes to need not be the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox
from gatepost.store.register import Register

PLACING: Final = timedelta(minutes=2)  # longer than it takes to place an order
_BEGINNING: Final = "acme.expected."
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Expectation:
    """An order under way; without a sender it is being placed."""

    ticket: str  # which order this is
    source: str
    until: int  # seconds since 1970
    begun: int = 0
    sender: str = ""
    token: str = field(default="", repr=False)  # the second part
    thumbprint: str = ""
    answered: tuple[str, ...] = ()  # marks of the challenges answered
    answered_at: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether it is known who will write."""
        return bool(self.sender)


@dataclass(frozen=True, slots=True)
class Expectations:
    """Those of one directory."""

    register: Register

    def of(self, mailbox: Mailbox, now: datetime) -> Expectation | None:
        """What is expected for somebody now."""
        found = self._read(mailbox)[1]
        return found if found is not None and _seconds(now) < found.until else None

    def begin(
        self,
        mailbox: Mailbox,
        ticket: str,
        source: str,
        now: datetime,
        is_alive: Callable[[str], bool] = lambda _: True,
    ) -> bool:
        """Say that an order is being placed; false while another one waits.

        One that nobody goes on with (`is_alive` knows its ticket no more) is overtaken.
        """
        known, found = self._read(mailbox)
        if found is not None and _seconds(now) < found.until:
            is_fresh = _seconds(now - PLACING) < found.begun
            if is_fresh or is_alive(found.ticket):
                return False
        made = Expectation(ticket, source, _seconds(now + PLACING), _seconds(now))
        return self.register.swap(_name(mailbox), known, _text(made))

    def settle(
        self,
        mailbox: Mailbox,
        ticket: str,
        *,
        sender: str,
        token: str,
        thumbprint: str,
        until: datetime,
    ) -> None:
        """Say who will write, and what a mail of his is to be answered with."""
        self._change(
            mailbox,
            ticket,
            lambda one: replace(
                one, sender=sender, token=token, thumbprint=thumbprint, until=_seconds(until)
            ),
        )

    def claim(self, mailbox: Mailbox, ticket: str, mark: str, now: datetime) -> bool:
        """Whether a challenge is to be answered; whoever gets true answers it."""
        return self._change(
            mailbox,
            ticket,
            lambda one: (
                None
                if mark in one.answered
                else replace(one, answered=(*one.answered, mark), answered_at=_seconds(now))
            ),
        )

    def disclaim(self, mailbox: Mailbox, ticket: str, mark: str) -> None:
        """Say that the answer could not be sent after all."""
        self._change(
            mailbox,
            ticket,
            lambda one: replace(
                one, answered=tuple(other for other in one.answered if other != mark)
            ),
        )

    def end(self, mailbox: Mailbox, ticket: str) -> None:
        """Forget an order; nothing where it is another one meanwhile."""
        for _ in range(_ATTEMPTS):
            known, found = self._read(mailbox)
            if found is None or found.ticket != ticket:
                return
            if self.register.swap(_name(mailbox), known, None):
                return

    def _change(
        self,
        mailbox: Mailbox,
        ticket: str,
        change: Callable[[Expectation], Expectation | None],
    ) -> bool:
        """Put a changed one in the place of this order's; false when nothing is to be changed."""
        for _ in range(_ATTEMPTS):
            known, found = self._read(mailbox)
            changed = change(found) if found is not None and found.ticket == ticket else None
            if changed is None:
                return False
            if self.register.swap(_name(mailbox), known, _text(changed)):
                return True
        raise Unavailable(f"the order for {mailbox} is being changed by others")

    def _read(self, mailbox: Mailbox) -> tuple[str | None, Expectation | None]:
        known = self.register.read(_name(mailbox))
        if known is None:
            return None, None
        data = json.loads(known)
        return known, Expectation(**{**data, "answered": tuple(data["answered"])})


def _name(mailbox: Mailbox) -> str:
    return _BEGINNING + mailbox.key


def _text(one: Expectation) -> str:
    return json.dumps(asdict(one))


def _seconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())
