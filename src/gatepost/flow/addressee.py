"""Compare whom a signature was made for with who gets it: surreptitious forwarding (RFC 9788 4).

The reader of a signed mail can send it on to anybody, encrypted anew, as if its author had
written to him.  Signed To and Cc show it; a blind copy looks alike, and a list's mail too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Split, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Message
from gatepost.mime import headers
from gatepost.smime import report
from gatepost.smime.report import SignatureReport

GOOD = frozenset({report.Verdict.VALID, report.Verdict.VALID_UNTRUSTED})
# RFC 2369, RFC 2919; RFC 5322 section 3.6.6: somebody sent it on and says so.
PASSED_ON = ("List-Id", "List-Post", "List-Unsubscribe", "Resent-To", "Resent-From")
MAXIMUM_NAMED = 3


class Reach(Enum):
    """How a recipient stands to the signed addressees."""

    ADDRESSED = "addressed"
    COLLEAGUE = "colleague"  # somebody else of ours is: an alias, or a blind copy
    PASSED_ON = "passed-on"  # nobody of ours is, and a list or a redirection says why
    OTHERS = "others"  # nobody of ours is


REMARKS = {
    Reach.COLLEAGUE: "signed for {}, not for this recipient",
    Reach.PASSED_ON: "signed for {}, and sent on by a list or a reader",
    Reach.OTHERS: "signed for {}: passed on by a reader, or a blind copy",
}


@dataclass(frozen=True, slots=True)
class AddresseeReport:
    """Whom the signed header names, where that is not who gets the mail."""

    reach: Reach
    named: tuple[str, ...]

    @property
    def reason(self) -> str:
        """In words."""
        others = len(self.named) - MAXIMUM_NAMED
        more = f" and {others} more" if others > 0 else ""
        return REMARKS[self.reach].format(", ".join(self.named[:MAXIMUM_NAMED]) + more)

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"layer": "addressees", "reach": self.reach.value, "reasons": [self.reason]}


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing: the findings tell."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Note it for whom it concerns; recipients whom it does not go their own way."""
    readers = _signed_readers(message)
    if not readers:
        return message, Continue()
    groups: defaultdict[Reach, list[Recipient]] = defaultdict(list)
    for one in message.envelope.recipients:
        groups[_reach(one.mailbox, readers, message.header, context)].append(one)
    named = tuple(dict.fromkeys(map(str, readers)))
    parts = tuple(_noted(message.to(*members), reach, named) for reach, members in groups.items())
    return (parts[0], Continue()) if len(parts) == 1 else (message, Split(parts))


def _noted(part: Message, reach: Reach, named: tuple[str, ...]) -> Message:
    return part if reach is Reach.ADDRESSED else part.noting(AddresseeReport(reach, named))


def _signed_readers(message: Message) -> tuple[Mailbox, ...]:
    """Whom the innermost good signature names; an unsigned header is anybody's word."""
    for one in reversed(message.findings):
        if isinstance(one, SignatureReport) and one.verdict in GOOD and one.headers is not None:
            return one.headers.readers
    return ()


def _reach(
    recipient: Mailbox, readers: Sequence[Mailbox], header: bytes, context: Context
) -> Reach:
    if _person(recipient) in map(_person, readers):
        return Reach.ADDRESSED
    if any(one.domain_key in context.domains for one in readers):
        return Reach.COLLEAGUE
    if any(headers.first(header, name) is not None for name in PASSED_ON):
        return Reach.PASSED_ON
    return Reach.OTHERS


def _person(mailbox: Mailbox) -> str:
    """A mailbox without its detail (RFC 5233): alice+offers is Alice."""
    local, _, domain = mailbox.key.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"
