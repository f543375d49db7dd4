"""The service extensions: what EHLO offers, and the parameters they bring to MAIL and RCPT.

SIZE RFC 1870, PIPELINING RFC 2920, ENHANCEDSTATUSCODES RFC 2034, STARTTLS RFC 3207,
DSN RFC 3461, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531; XFORWARD is Postfix's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Body, Envelope, Recipient
from gatepost.smtp import replies
from gatepost.smtp.grammar import decode_xtext, is_xtext
from gatepost.smtp.replies import Fault

_SIZE: Final = re.compile(r"[0-9]{1,20}\Z")  # RFC 1870 section 5
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+\Z")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
FORWARD_ATTRIBUTES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
_UNAVAILABLE: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})

Parameters = Mapping[str, str | None]


def offered(*, size_limit: int, starttls: bool, smtputf8: bool, forward: bool) -> tuple[str, ...]:
    """The keyword lines of an EHLO reply."""
    lines = ["PIPELINING", f"SIZE {size_limit}"]
    if starttls:
        lines.append("STARTTLS")
    lines += ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN"]
    if smtputf8:
        lines.append("SMTPUTF8")
    if forward:
        lines.append("XFORWARD " + " ".join(FORWARD_ATTRIBUTES))
    return tuple(lines)


def parse_offer(lines: tuple[str, ...]) -> dict[str, str]:
    """Read the keyword lines of an EHLO reply (the greeting line already taken off)."""
    found: dict[str, str] = {}
    for line in lines:
        # Some servers still write "SIZE=1000" and "AUTH=LOGIN".
        keyword, _, value = line.replace("=", " ", 1).strip().partition(" ")
        if keyword:
            found.setdefault(keyword.upper(), value.strip())
    return found


def open_envelope(
    return_path: Mailbox | None, given: Parameters, *, smtputf8: bool
) -> tuple[Envelope, int | None]:
    """The envelope MAIL opens and the size it declares; raises Fault."""
    if not given:
        return Envelope(return_path, ()), None
    unknown = (
        given.keys() - {"SIZE", "BODY", "RET", "ENVID"} - ({"SMTPUTF8"} if smtputf8 else set())
    )
    if unknown:
        raise Fault(replies.UNKNOWN_PARAMETER)
    if given.get("SMTPUTF8", None) is not None:
        raise Fault(replies.BAD_PARAMETER)
    envelope = Envelope(
        return_path,
        (),
        body=cast("Body | None", _one_of(given, "BODY", ("7BIT", "8BITMIME"))),
        smtputf8="SMTPUTF8" in given,
        ret=_one_of(given, "RET", ("FULL", "HDRS")),
        envid=_envid(given),
    )
    return envelope, _size(given)


def _one_of(given: Parameters, name: str, allowed: tuple[str, ...]) -> str | None:
    if name not in given:
        return None
    value = (given[name] or "").upper()
    if value not in allowed:
        raise Fault(replies.BAD_PARAMETER)
    return value


def _size(given: Parameters) -> int | None:
    if "SIZE" not in given:
        return None
    value = given["SIZE"] or ""
    if not _SIZE.match(value):
        raise Fault(replies.BAD_PARAMETER)
    return int(value)


def _envid(given: Parameters) -> str | None:
    """RFC 3461 section 4.4: xtext, at most 100 characters."""
    if "ENVID" not in given:
        return None
    value = given["ENVID"] or ""
    if not value or len(value) > 100 or not is_xtext(value):
        raise Fault(replies.BAD_PARAMETER)
    return value


def address(mailbox: Mailbox, given: Parameters) -> Recipient:
    """The recipient RCPT names; raises Fault."""
    if not given:
        return Recipient(mailbox)
    if given.keys() - {"NOTIFY", "ORCPT"}:
        raise Fault(replies.UNKNOWN_PARAMETER)
    return Recipient(mailbox, notify=_notify(given), orcpt=_orcpt(given))


def _notify(given: Parameters) -> str | None:
    """RFC 3461 section 4.1: NEVER alone, or a list of the other three."""
    if "NOTIFY" not in given:
        return None
    value = (given["NOTIFY"] or "").upper()
    words = value.split(",")
    if value != "NEVER" and (set(words) - _NOTIFY or len(set(words)) != len(words)):
        raise Fault(replies.BAD_PARAMETER)
    return value


def _orcpt(given: Parameters) -> str | None:
    """RFC 3461 section 4.2: addr-type ";" xtext, at most 500 characters."""
    if "ORCPT" not in given:
        return None
    value = given["ORCPT"] or ""
    kind, semicolon, text = value.partition(";")
    utf8 = kind.lower() == "utf-8" and text.isprintable()  # RFC 6533 section 3
    if not semicolon or len(value) > 500 or not _ADDRESS_TYPE.match(kind):
        raise Fault(replies.BAD_PARAMETER)
    if not text or not (utf8 or is_xtext(text)):
        raise Fault(replies.BAD_PARAMETER)
    return value


def forwarded(argument: str) -> dict[str, str]:
    """The attributes of an XFORWARD command, unavailable ones as empty text; raises Fault."""
    found: dict[str, str] = {}
    for word in argument.split():
        name, equals, value = word.partition("=")
        if not equals or name.upper() not in FORWARD_ATTRIBUTES or len(value) > 255:
            raise Fault(replies.BAD_PARAMETER)
        found[name.upper()] = "" if value.upper() in _UNAVAILABLE else _readable(value)
    if not found:
        raise Fault(replies.BAD_PARAMETER)
    return found


def _readable(value: str) -> str:
    """Decode a value and refuse what could forge a log line or a trace field."""
    try:
        text = decode_xtext(value)
    except Malformed:
        text = value
    if not text.isprintable():
        raise Fault(replies.BAD_PARAMETER)
    return text
