"""Certificates by ACME for S/MIME, the challenge mails answered by ourselves (RFC 8555, RFC 8823).

An order waits until the authority's mail has come by and was answered (`flow.respond`); then
the authority is told, and what it issues is fetched.  For one address one order at a time:
a challenge does not say which order it belongs to.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from gatepost.certificate import Certificate
from gatepost.enrol import receipt
from gatepost.enrol.acme_account import Accounts
from gatepost.enrol.expectation import Expectation, Expectations
from gatepost.enrol.source import Advice, Issued, Pending, Wanted
from gatepost.errors import ConfigError, GatepostError, Malformed, Refused, Unavailable, Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mail.mailbox_list import mailboxes

if TYPE_CHECKING:
    from gatepost.enrol.acme_wire import Reply, Wire

LOOKED: Final = timedelta(seconds=15)  # whether the mail was answered: asks our directory only
SENT: Final = timedelta(seconds=30)  # the answer needs time to arrive before it is looked for
SOON: Final = timedelta(seconds=10)
TURN: Final = timedelta(minutes=1)
LATER: Final = timedelta(hours=1)
PATIENCE: Final = timedelta(days=2)  # with a challenge mail, where the order says nothing
LONGEST: Final = timedelta(days=30)
CHALLENGE: Final = "email-reply-00"
FAULTS: Final = 3  # after which others are not asked about
TRIES: Final = 3  # orders whose answer the authority does not accept
_STEPS: Final = 4  # of one order in one go


@dataclass(frozen=True, slots=True)
class Service:
    """An authority and what we are to it."""

    url: str  # of its directory
    contact: str = ""
    terms: str = ""  # of service, agreed to
    kid: str = ""  # of the external account binding
    hmac_key: Callable[[], str] = str  # read when it is needed
    anchors: Path | None = None  # PEM; None: those of the system


@dataclass(frozen=True, slots=True)
class _Order:
    """What is remembered of an order; without a URL it is still to be placed."""

    ticket: str = ""
    url: str = ""
    until: str = ""
    told: bool = False  # the authority knows that the mail was answered
    failed: int = 0  # earlier orders whose answer was not accepted


class _Lost(Refused):
    """The authority did not accept the answer, or never saw it: another order may do."""


@dataclass(frozen=True, slots=True)
class Acme:
    """One account at one authority."""

    name: str
    service: Service
    accounts: Accounts
    expectations: Expectations
    sent: timedelta = SENT

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        """Place an order."""
        return await asyncio.to_thread(self._requested, wanted, _Order(), now)

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        """Go on with an order, or place one where none could be placed yet."""
        order = _Order(**json.loads(state))
        step = self._collected if order.url else self._requested
        return await asyncio.to_thread(step, wanted, order, now)

    async def answers(self, now: datetime) -> str:
        """Fetch the directory and look whether an account could be made; none is."""
        del now
        return await asyncio.to_thread(self._state)

    async def identities(self, now: datetime) -> tuple[str, ...]:
        """As its directory says."""
        del now
        return await asyncio.to_thread(self._identities)

    async def advice(
        self, certificates: Sequence[Certificate], now: datetime
    ) -> Mapping[Certificate, Advice | GatepostError]:
        """As RFC 9773 has it, as far as one conversation goes."""
        del now
        return await asyncio.to_thread(self._advice, certificates)

    def _advice(
        self, certificates: Sequence[Certificate]
    ) -> Mapping[Certificate, Advice | GatepostError]:
        found: dict[Certificate, Advice | GatepostError] = {}
        faults = 0  # one after the other: it is in trouble, and the others wait
        with self._visited() as wire:
            for one in certificates if wire.advises else ():
                if wire.is_spent or faults >= FAULTS:
                    break
                try:
                    found[one], faults = wire.advice(one), 0
                except Refused as error:
                    found[one], faults = error, 0
                except Unavailable as error:
                    found[one], faults = error, faults + 1
        return found

    def _state(self) -> str:
        is_known = self.accounts.is_known(self.name, self.service.url)
        with self._visited() as wire:
            if not is_known:
                self._check_terms(wire)
            account = "our account is there" if is_known else "our account is made with an order"
            advises = ", and says when to renew" if wire.advises else ""
            return f"{wire.host} speaks ACME{advises}; {account}"

    def _identities(self) -> tuple[str, ...]:
        with self._visited() as wire:
            return wire.identities

    @contextmanager
    def _visited(self) -> Iterator[Wire]:
        """Speak in nobody's name."""
        from gatepost.enrol.acme_wire import Wire  # noqa: PLC0415  as below

        wire = Wire(self.service.url, ec.generate_private_key(ec.SECP256R1()), self.service.anchors)
        try:
            yield wire
        finally:
            wire.close()

    def _requested(self, wanted: Wanted, last: _Order, now: datetime) -> Issued | Pending:
        mailbox, ticket = _mailbox(wanted), secrets.token_hex(16)
        if not self.expectations.begin(mailbox, ticket, self.name, now, self._alive(mailbox)):
            return _pending(last, TURN, f"another order for {mailbox} to end")
        try:
            with self._connected(now) as wire:
                return self._placed(wire, wanted, replace(last, ticket=ticket), now)
        except BaseException as error:
            self.expectations.end(mailbox, ticket)
            if (later := _limited(error)) is not None:
                return _pending(last, later, str(error))
            raise

    def _alive(self, mailbox: Mailbox) -> Callable[[str], bool]:
        """Whether a request is under way whose order this is."""
        found = self.accounts.directory.requests.of(mailbox)
        states = [one.state for one in found if one.state and not one.ended]
        return lambda ticket: any(ticket in state for state in states)

    def _collected(self, wanted: Wanted, order: _Order, now: datetime) -> Issued | Pending:
        mailbox = _mailbox(wanted)
        if now >= datetime.fromisoformat(order.until):
            self.expectations.end(mailbox, order.ticket)
            why = f"an hour to pass: no challenge mail to {mailbox} came in time"
            return _pending(_Order(failed=order.failed), LATER, why)
        expected = self.expectations.of(mailbox, now)
        if expected is not None and expected.ticket == order.ticket and not order.told:
            if not expected.answered:
                return self._waiting(wanted, order, expected)
            if (left := self.sent - _since(expected, now)) > timedelta(0):
                return _pending(order, left, f"the answer to arrive at {expected.sender}")
        try:
            with self._connected(now) as wire:
                return self._advanced(wire, wanted, order, wire.look(order.url), now)
        except Refused as error:
            self.expectations.end(mailbox, order.ticket)
            failed = order.failed + 1
            if not isinstance(error, _Lost) or failed >= TRIES:
                raise
            again = LATER * failed
            return _pending(_Order(failed=failed), again, f"another order to be placed: {error}")
        except Unavailable as error:
            if (later := _limited(error)) is not None:
                return _pending(order, later, str(error))
            raise

    def _waiting(self, wanted: Wanted, order: _Order, expected: Expectation) -> Pending:
        return _pending(
            order, LOOKED, f"the challenge mail of {expected.sender} to {wanted.address}"
        )

    def _placed(self, wire: Wire, wanted: Wanted, last: _Order, now: datetime) -> Issued | Pending:
        reply = _ordered(wire, wanted)
        if not reply.place:
            raise Unavailable(f"{wire.host} does not say where its order is")
        until = min(_moment(reply.data.get("expires")) or now + PATIENCE, now + LONGEST)
        order = replace(last, url=reply.place, until=until.isoformat())
        return self._advanced(wire, wanted, order, reply, now)

    def _advanced(
        self, wire: Wire, wanted: Wanted, order: _Order, reply: Reply, now: datetime
    ) -> Issued | Pending:
        """As far as it goes without waiting (RFC 8555 section 7.1.6)."""
        for _ in range(_STEPS):
            match reply.data.get("status"):
                case "pending":
                    return self._authorized(wire, wanted, order, reply.data, now)
                case "ready":
                    reply = wire.finalize(_url(reply.data, "finalize"), wanted.request)
                case "valid":
                    return self._issued(wire, wanted, order, reply.data, now)
                case "processing":
                    break
                case "invalid":
                    raise _given_up(wire, reply.data)
                case status:
                    raise Unavailable(f"{wire.host}: an order is {str(status)[:40]!r}")
        return _pending(order, reply.retry_after or SOON, f"{wire.host} to issue the certificate")

    def _authorized(
        self, wire: Wire, wanted: Wanted, order: _Order, data: dict[str, Any], now: datetime
    ) -> Pending:
        """See to the authorization that the order waits for."""
        urls = data.get("authorizations")
        if not isinstance(urls, list) or len(urls) != 1:
            raise Unavailable(f"{wire.host}: an order for one address has not one authorization")
        reply = wire.look(urls[0])
        if reply.data.get("status") == "valid":  # the order will follow
            return _pending(order, SOON, f"{wire.host} to go on")
        found = [one for one in _challenges(reply.data) if one.get("type") == CHALLENGE]
        if reply.data.get("status") != "pending" or any(map(_is_lost, found)):
            raise _given_up(wire, data)
        if not found:
            raise Refused(f"{wire.host} offers no challenge by mail ({CHALLENGE})")
        return self._challenged(wire, wanted, order, found[0], now)

    def _challenged(
        self, wire: Wire, wanted: Wanted, order: _Order, data: dict[str, Any], now: datetime
    ) -> Pending:
        mailbox = _mailbox(wanted)
        expected = self.expectations.of(mailbox, now)
        if expected is None or expected.ticket != order.ticket:
            raise Refused(f"the order for {mailbox} was overtaken by another one")
        if not expected.is_settled:
            return self._waiting(wanted, order, self._settled(wire, mailbox, order, data))
        if data.get("status") == "pending" and expected.answered:
            reply = wire.respond(_url(data, "url"))
            told = replace(order, told=True)
            again = reply.retry_after or (TURN if order.told else SOON)
            return _pending(told, again, f"{wire.host} to read the answer")
        if data.get("status") == "processing":
            return _pending(order, SOON, f"{wire.host} to read the answer")
        return self._waiting(wanted, order, expected)

    def _settled(
        self, wire: Wire, mailbox: Mailbox, order: _Order, data: dict[str, Any]
    ) -> Expectation:
        """Say what mail is to be answered, and how."""
        known = wire.challenge(data)
        sender = _parsed(known.sender) if known else None
        if known is None or sender is None:
            raise Unavailable(f"{wire.host}: its challenge does not say who will write")
        until = datetime.fromisoformat(order.until)
        self.expectations.settle(
            mailbox,
            order.ticket,
            sender=str(sender),
            token=known.token,
            thumbprint=wire.thumbprint,
            until=until,
        )
        return Expectation(order.ticket, self.name, 0, sender=str(sender))

    def _issued(
        self, wire: Wire, wanted: Wanted, order: _Order, data: dict[str, Any], now: datetime
    ) -> Issued:
        pem = wire.chain(_url(data, "certificate"))
        try:
            found = Certificate.from_pem(pem)
        except Malformed as error:
            raise Unavailable(f"{wire.host} sends no certificate: {error}") from error
        self.expectations.end(_mailbox(wanted), order.ticket)
        try:
            return receipt.issued(wanted, found, now)
        except Refused as error:
            raise Refused(f"{wire.host}: {error}") from error

    @contextmanager
    def _connected(self, now: datetime) -> Iterator[Wire]:
        """Speak in the name of our account, made now if there is none."""
        from gatepost.enrol.acme_wire import AccountUnknown, Wire  # noqa: PLC0415  0.3 s

        account = self.accounts.of(self.name, self.service.url, now)
        wire = Wire(self.service.url, account.key, self.service.anchors)
        try:
            url = account.url or self._registered(wire)
            if not account.url:
                self.accounts.confirm(self.name, account, url)
            wire.use(url)
            yield wire
        except AccountUnknown:
            self.accounts.forget(self.name)  # the next time it is made anew
            raise
        finally:
            wire.close()

    def _check_terms(self, wire: Wire) -> None:
        """Raise Refused for what an administrator has to decide first."""
        service = self.service
        if wire.terms and service.terms != wire.terms:
            raise Refused(
                f"{wire.host} has terms of service: read {wire.terms} and, if you agree, "
                "write this URL into the setting terms"
            )
        if wire.wants_binding and not service.kid:
            raise Refused(f"{wire.host} makes accounts for its customers only: set eab_kid")

    def _registered(self, wire: Wire) -> str:
        service = self.service
        self._check_terms(wire)
        try:
            secret = service.hmac_key() if service.kid else ""
        except ConfigError as error:
            raise Unavailable(str(error)) from error
        agreed = bool(service.terms)
        url = wire.register(service.contact, agreed=agreed, kid=service.kid, hmac_key=secret)
        if not url:
            raise Unavailable(f"{wire.host} does not say where our account is")
        return url


def _mailbox(wanted: Wanted) -> Mailbox:
    """RFC 8823 section 3: mailboxes only, and in ASCII."""
    if wanted.address.startswith("@"):
        raise Unsupported(f"ACME certifies mailboxes, not a whole domain such as {wanted.address}")
    if not wanted.address.isascii():
        raise Unsupported(f"{wanted.address}: ACME certifies addresses in ASCII only")
    return Mailbox.parse(wanted.address)


def _ordered(wire: Wire, wanted: Wanted) -> Reply:
    """RFC 9773 section 5: what it will not have replaced is ordered as anything new."""
    if wire.advises and wanted.replacing is not None:
        with suppress(Refused):  # another authority's, or replaced before
            return wire.place(wanted.address, wanted.replacing)
    return wire.place(wanted.address)


def _pending(order: _Order, again: timedelta, waits_for: str) -> Pending:
    return Pending(json.dumps(asdict(order)), again, waits_for)


def _since(expected: Expectation, now: datetime) -> timedelta:
    return now - datetime.fromtimestamp(expected.answered_at, UTC)


def _limited(error: BaseException) -> timedelta | None:
    """How long an authority that limits its customers wants us to wait."""
    again = getattr(error, "again", None)
    return again if isinstance(error, GatepostError) and isinstance(again, timedelta) else None


def _challenges(data: dict[str, Any]) -> list[dict[str, Any]]:
    found = data.get("challenges")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is_lost(challenge: dict[str, Any]) -> bool:
    return challenge.get("status") == "invalid"


def _given_up(wire: Wire, data: dict[str, Any]) -> Refused:
    """What the authority says of an order that failed: of itself, or of its challenge."""
    said = f"{wire.host} gave the order up: "
    if why := _told(data.get("error")):
        return Refused(said + why)
    urls = data.get("authorizations")
    found = wire.look(urls[0]).data if isinstance(urls, list) and urls else {}
    told = [text for one in _challenges(found) if (text := _told(one.get("error")))]
    return _Lost(said + ("; ".join(told) or "it does not say why"))


def _told(problem: object) -> str:
    from gatepost.enrol.acme_wire import plain  # noqa: PLC0415  as above

    if not isinstance(problem, dict):
        return ""
    return plain(str(problem.get("detail") or problem.get("type") or ""))


def _url(data: dict[str, Any], name: str) -> str:
    found = data.get(name)
    if not isinstance(found, str):
        raise Unavailable(f"the authority does not say where to {name}")
    return found


def _parsed(address: str) -> Mailbox | None:
    found = mailboxes(address.encode()) if address.isprintable() else ()  # no lone surrogates
    return found[0] if len(found) == 1 else None


def _moment(text: object) -> datetime | None:
    """RFC 3339."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
        return found.astimezone(UTC) if found is not None and found.tzinfo else None
    except (ValueError, OverflowError):  # beyond the calendar in our zone
        return None
