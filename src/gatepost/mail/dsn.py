"""Delivery status notifications (RFC 3464): tell an author what became of a message, and why.

A notification carries the original's header only when the original was to be protected:
what must not travel in clear text does not travel back in clear text either.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from gatepost.errors import Malformed
from gatepost.mail import content, word
from gatepost.mail.delivery import Attempt
from gatepost.mail.envelope import Recipient
from gatepost.mail.field import compose, date, first
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply

MAXIMUM_RETURNED = 64 * 1024  # a larger original goes back as its header only
_TRIES = 20

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\Z")
_FOREIGN = re.compile(r"[^ -~]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is reported: the Action of RFC 3464 section 2.3.3, and what a person is told."""

    event: str  # the NOTIFY word that asks for it (RFC 3461 section 4.1)
    action: str
    title: str
    lead: str
    advice: str  # may name the moment {until}


FAILED = Kind(
    "FAILURE",
    "failed",
    "Undeliverable",
    "Your message could not be delivered to",
    "Nobody will try again: correct what is named above and send the message again, "
    "or show this report to your postmaster.",
)
DELAYED = Kind(
    "DELAY",
    "delayed",
    "Delayed",
    "Your message has not been delivered yet to",
    "You need not do anything: delivery is tried again until {until}, "
    "and you will be told if it fails for good.",
)
WAITING = Kind(
    "DELAY",
    "delayed",
    "Waiting for a certificate",
    "Your message has not been sent yet to",
    "It is kept, encrypted, and sent by itself as soon as a certificate is known: ask the "
    "recipient for a signed message, or your postmaster to import the certificate.  "
    "If there is none by {until} the message is returned.",
)
DELIVERED = Kind(
    "SUCCESS",
    "delivered",
    "Delivered",
    "Your message was delivered to",
    "You asked for this report.",
)
RELAYED = Kind(
    "SUCCESS",
    "relayed",
    "Relayed",
    "Your message was passed on for",
    "The next mail server has accepted it, but does not report what becomes of it then: "
    "you will not hear again unless it fails.",
)


def report(
    kind: Kind,
    message: Message,
    attempts: Sequence[Attempt],
    *,
    hostname: str,
    names: Callable[[], str],
    now: datetime,
    protected: bool,
    until: datetime | None = None,
) -> tuple[bytes, bytes]:
    """The report about these recipients, as (header, body).

    `protected`: the original was to be encrypted, so only its header goes back.  Pass the
    message as it arrived, not what decryption made of its header.  `until`: how long it is
    tried.
    """
    return _Report(kind, message, attempts, hostname, names, now, protected, until).compose()


def wanted(recipient: Recipient, event: str) -> bool:
    """Whether a "FAILURE", "DELAY" or "SUCCESS" of this recipient is to be reported.

    RFC 3461 section 4.1: without NOTIFY failures are reported, and delays may be.
    """
    if recipient.notify is None:
        return event != "SUCCESS"
    return event in recipient.notify.upper().replace(" ", "").split(",")


def xtext(encoded: str) -> str:
    """Decode xtext (RFC 3461 section 4); what is not printable becomes "?"."""
    return _FOREIGN.sub("?", _XTEXT.sub(lambda match: chr(int(match[1], 16)), encoded))


@dataclass(frozen=True, slots=True)
class _Report:
    """One notification in the making."""

    kind: Kind
    message: Message
    attempts: Sequence[Attempt]
    hostname: str
    names: Callable[[], str]
    now: datetime
    protected: bool
    until: datetime | None

    def __post_init__(self) -> None:
        if self.message.envelope.return_path is None:
            raise Malformed("there is no return path to report to (RFC 5321 section 6.1)")

    def compose(self) -> tuple[bytes, bytes]:
        """Header and body of the multipart/report."""
        entities = [self._human(), self._status(), self._returned()]
        boundary = self._boundary(entities)
        delimiter = b"--" + boundary
        wide = not all(entity.isascii() for entity in entities)
        header = self._header(boundary.decode("ascii"), "8bit" if wide else "7bit")
        body = b"".join(delimiter + b"\r\n" + entity + b"\r\n" for entity in entities)
        return header, body + delimiter + b"--\r\n"

    def _boundary(self, entities: Sequence[bytes]) -> bytes:
        for _ in range(_TRIES):
            boundary = b"=_" + self.names().encode("ascii", "replace")
            if not any(boundary in entity for entity in entities):
                return boundary
        raise Malformed("the original holds every boundary tried")

    def _header(self, boundary: str, encoding: str) -> bytes:
        subject = first(self.message.header, "Subject")
        original = f": {subject.text}" if subject and subject.text else ""
        references = first(self.message.header, "Message-ID")
        fields = [
            compose("Date", date(self.now)),
            compose("From", f"Mail Delivery System <MAILER-DAEMON@{self.hostname}>"),
            compose("To", f"<{self.message.envelope.return_path}>".encode()),
            compose("Subject", f"{self.kind.title}{original[:200]}"),
            compose("Message-ID", f"<{self.names()}@{self.hostname}>"),
        ]
        if references and len(references.value) < 500 and references.value.isascii():
            fields.append(compose("References", word.clean(references.value.decode("ascii"))))
        fields += [
            compose("Auto-Submitted", "auto-replied"),  # RFC 3834 section 5
            compose("MIME-Version", "1.0"),
            compose(
                "Content-Type",
                f'multipart/report; report-type=delivery-status; boundary="{boundary}"',
            ),
            compose("Content-Transfer-Encoding", encoding),
        ]
        return b"".join(fields)

    def _human(self) -> bytes:
        advice = self.kind.advice.format(until=date(self.until) if self.until else "")
        lines = [self.kind.lead, ""]
        for attempt in self.attempts:
            lines += [f"    {attempt.recipient}", f"        {_reason(attempt)}", ""]
        lines += [
            *textwrap.wrap(advice, 76),
            "",
            f"Reported by {self.hostname}, queue ID {self._queue_id()}.",
        ]
        text = "\r\n".join(lines) + "\r\n"
        charset, encoding = ("us-ascii", "7bit") if text.isascii() else ("utf-8", "8bit")
        return (
            f"Content-Type: text/plain; charset={charset}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n{text}"
        ).encode()

    def _status(self) -> bytes:
        """The message/delivery-status part (RFC 3464 section 2)."""
        group = [("Reporting-MTA", f"dns; {self.hostname}")]
        if self.message.envelope.envid:
            group.insert(0, ("Original-Envelope-Id", xtext(self.message.envelope.envid)))
        group.append(("Arrival-Date", date(self.message.arrival.received_at)))
        groups = [group]
        groups += [[*self._recipient(attempt)] for attempt in self.attempts]
        return b"Content-Type: message/delivery-status\r\n\r\n" + b"\r\n".join(
            b"".join(compose(name, value) for name, value in fields) for fields in groups
        )

    def _recipient(self, attempt: Attempt) -> Iterator[tuple[str, str]]:
        if attempt.recipient.orcpt:
            kind, _, address = attempt.recipient.orcpt.partition(";")
            yield "Original-Recipient", f"{_FOREIGN.sub('?', kind)}; {xtext(address)}"
        yield "Final-Recipient", _typed(str(attempt.recipient))
        yield "Action", self.kind.action
        yield "Status", _status(attempt.reply, self.kind.action)
        if attempt.remote:
            yield "Remote-MTA", f"dns; {_FOREIGN.sub('?', attempt.remote)}"
            yield "Diagnostic-Code", f"smtp; {_line(str(attempt.reply))}"
        else:
            yield "Diagnostic-Code", f"X-Gatepost; {_line(attempt.reply.text)}"
        yield "Last-Attempt-Date", date(self.now)
        if self.until:
            yield "Will-Retry-Until", date(self.until)

    def _returned(self) -> bytes:
        """The original, or its header (RFC 3461 section 4.3, RFC 6522 section 4).

        RET=FULL speaks of failures only: "only the headers of the message should be returned"
        in any other report.
        """
        full = self.kind is FAILED and (self.message.envelope.ret or "").upper() == "FULL"
        if full and not self.protected and self.message.size <= MAXIMUM_RETURNED:
            kind, octets = b"message/rfc822", content.join(self.message.content)
        else:
            kind, octets = b"text/rfc822-headers", _shortened(self.message.header)
        encoding = b"7bit" if octets.isascii() else b"8bit"
        return (
            b"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (kind, encoding) + octets
        )

    def _queue_id(self) -> str:
        return _FOREIGN.sub("?", self.message.arrival.queue_id)


def _reason(attempt: Attempt) -> str:
    said = _line(str(attempt.reply))
    remote = _FOREIGN.sub("?", attempt.remote[:255])
    return f"{remote} said: {said}" if remote else _line(attempt.reply.text)


def _line(text: str) -> str:
    """A reply's text in one line of ASCII, short enough for a folded field."""
    return _FOREIGN.sub("?", " ".join(text.split()))[:900]


def _status(reply: Reply, action: str) -> str:
    """The enhanced status code; "x.0.0" where none was given or it contradicts the action.

    RFC 3464 section 2.3.4: a failed recipient has a 5 or a 4 (given up), a delayed one a 4.
    """
    fitting = {"failed": "54", "delayed": "4"}.get(action, "2")
    if _STATUS.match(reply.status) and reply.status[0] in fitting:
        return reply.status
    return f"{fitting[0]}.0.0"


def _typed(address: str) -> str:
    """An address with its type; beyond ASCII as utf-8-addr-xtext (RFC 6533 section 3)."""
    if address.isascii():
        return f"rfc822; {address}"
    coded = "".join(
        c if "!" <= c <= "~" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in address
    )
    return f"utf-8; {coded}"


def _shortened(header: bytes) -> bytes:
    """The header, cut after a whole line where it is very long."""
    if len(header) <= MAXIMUM_RETURNED:
        return header
    return header[: header.rfind(b"\n", 0, MAXIMUM_RETURNED) + 1]
