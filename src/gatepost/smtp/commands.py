"""From a command line to a verb and what its argument means (RFC 5321 section 4.1.1).

A line reaches this module without its CRLF; every fault is a `replies.Fault` that
names the reply it earns.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.smtp import extensions, grammar, replies
from gatepost.smtp.replies import Fault
from gatepost.smtp.state import Verb

VERBS: Final[dict[str, Verb]] = {verb.value: verb for verb in Verb}
# Words of SMTP this server knows and does not serve: 502 rather than 500 (section 4.2.4).
NOT_SERVED: Final = frozenset({"EXPN", "TURN", "ETRN", "SEND", "SOML", "SAML"})
# Words no SMTP client says: a browser was talked into connecting to this port.
FOREIGN: Final = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "HOST:"})
WITHOUT_ARGUMENT: Final = frozenset({Verb.DATA, Verb.RSET, Verb.QUIT, Verb.STARTTLS})


# RFC 3030 section 2: bdat-cmd = "BDAT" SP chunk-size [SP end-marker].
_CHUNK: Final = re.compile(r" *([0-9]{1,20})(?: +(LAST))? *\Z", re.IGNORECASE)


class LineReader:
    """Cuts command lines off a buffer without ever holding more than the limit."""

    __slots__ = ("_is_skipping", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit - 2  # without the CRLF
        self._is_skipping = False

    def read(self, buffer: bytes, at: int) -> tuple[bytes | None, int]:
        """One line (None: more octets are needed) and how far the buffer is used up.

        Of an overlong line only the first octets past the limit are returned, and the
        rest is skipped as it comes: `split` names the fault.
        """
        stop = buffer.find(b"\r\n", at)
        if self._is_skipping:
            if stop < 0:
                return None, len(buffer) - buffer.endswith(b"\r", at)
            self._is_skipping, at = False, stop + 2
            stop = buffer.find(b"\r\n", at)
        if stop >= 0:
            return buffer[at : min(stop, at + self._limit + 1)], stop + 2
        known = len(buffer) - buffer.endswith(b"\r", at)
        if known - at > self._limit:
            self._is_skipping = True
            return buffer[at : at + self._limit + 1], known
        if b"\n" in buffer[at:]:  # a bare LF already: do not wait for a CRLF
            return buffer[at:known], known
        return None, at


def split(line: bytes, limit: int) -> tuple[Verb, str]:
    """The verb and its argument text; raises Fault."""
    head = line if len(line) <= limit - 2 else line[: limit - 2]
    if b"\r" in head or b"\n" in head:
        raise Fault(replies.BARE_IN_COMMAND)
    if head is not line:
        raise Fault(replies.TOO_LONG)
    if b"\0" in line:
        raise Fault(replies.UNREADABLE)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(replies.UNREADABLE) from None
    word, _, argument = text.partition(" ")
    word = word.upper()
    verb = VERBS.get(word)
    if verb is None:
        raise Fault(_unknown(word))
    if argument and verb in WITHOUT_ARGUMENT and argument.strip():
        raise Fault(replies.NO_ARGUMENT)
    return verb, argument


def _unknown(word: str) -> Reply:
    if word in FOREIGN:
        return replies.NOT_SMTP
    return replies.NOT_IMPLEMENTED if word in NOT_SERVED else replies.UNKNOWN


def hello(argument: str) -> str:
    """EHLO and HELO: the name the client gives itself."""
    try:
        return grammar.domain(argument)
    except Malformed:
        raise Fault(replies.BAD_NAME) from None


def chunk(argument: str) -> tuple[int, bool]:
    """BDAT: how many octets follow, and whether they are the last."""
    found = _CHUNK.match(argument)
    if found is None:
        raise Fault(replies.BAD_CHUNK)
    return int(found[1]), found[2] is not None


def mail(
    argument: str, *, smtputf8: bool, requiretls: bool = False, auth: bool = False
) -> tuple[Envelope, int | None]:
    """MAIL FROM: the envelope it opens and the declared size; the flags say what was offered."""
    inside, rest = _path(argument, "FROM:", replies.BAD_SENDER)
    try:
        return_path = grammar.mailbox(inside) if inside else None
    except Malformed:
        raise Fault(replies.BAD_SENDER) from None
    envelope, size = extensions.open_envelope(
        return_path, _parameters(rest), smtputf8=smtputf8, requiretls=requiretls, auth=auth
    )
    if return_path is not None and not envelope.smtputf8:
        _ascii_only(return_path)
    return envelope, size


def rcpt(argument: str, *, smtputf8: bool, postmaster_domain: str) -> Recipient:
    """RCPT TO: the recipient."""
    inside, rest = _path(argument, "TO:", replies.BAD_RECIPIENT)
    if inside.lower() == "postmaster":
        # RFC 5321 section 4.5.1: "<Postmaster>" without a domain MUST be accepted.
        inside = f"{inside}@{postmaster_domain}"
    try:
        mailbox = grammar.mailbox(inside)
    except Malformed:
        raise Fault(replies.BAD_RECIPIENT) from None
    if not smtputf8:
        _ascii_only(mailbox)
    return extensions.address(mailbox, _parameters(rest))


def _path(argument: str, keyword: str, fault: Reply) -> tuple[str, str]:
    argument = argument.lstrip(" ")
    if argument[: len(keyword)].upper() != keyword:
        raise Fault(fault)
    try:
        return grammar.split_path(argument[len(keyword) :])
    except Malformed:
        raise Fault(fault) from None


def _parameters(rest: str) -> dict[str, str | None]:
    if not rest:
        return {}
    try:
        return grammar.parameters(rest)
    except Malformed:
        raise Fault(replies.BAD_PARAMETER) from None


def _ascii_only(mailbox: Mailbox) -> None:
    """RFC 6531 section 3.5: 553 and X.6.7 for an address that needs SMTPUTF8."""
    if not (mailbox.local.isascii() and mailbox.domain.isascii()):
        raise Fault(replies.NOT_ASCII)
