"""The service extensions: what EHLO offers, and the parameters they bring to MAIL and RCPT.

SIZE RFC 1870, PIPELINING RFC 2920, ENHANCEDSTATUSCODES RFC 2034, CHUNKING RFC 3030,
STARTTLS RFC 3207, DSN RFC 3461, AUTH RFC 4954, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531,
REQUIRETLS RFC 8689; XFORWARD and XCLIENT are Postfix's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, cast

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Body, Envelope, Recipient
from gatepost.smtp import replies
from gatepost.smtp.grammar import decode_xtext, is_xtext
from gatepost.smtp.replies import Fault
from gatepost.smtp.settings import ServerSettings

_SIZE: Final = re.compile(r"[0-9]{1,20}\Z")  # RFC 1870 section 5
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+\Z")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
FORWARD_ATTRIBUTES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
CLIENT_ATTRIBUTES: Final = (
    "NAME",
    "ADDR",
    "PORT",
    "PROTO",
    "HELO",
    "LOGIN",
    "DESTADDR",
    "DESTPORT",
)
_UNAVAILABLE: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_UNPREFIXED: Final = re.compile("^IPV6:", re.IGNORECASE)

_MAIL_PARAMETERS: Final = frozenset({"SIZE", "BODY", "RET", "ENVID"})

Parameters = Mapping[str, str | None]


def offered(settings: ServerSettings, *, is_tls: bool) -> tuple[str, ...]:
    """The keyword lines of an EHLO reply."""
    lines = ["PIPELINING", f"SIZE {settings.size_limit}"]
    if settings.starttls and not is_tls:
        lines.append("STARTTLS")
    if settings.mechanisms and (is_tls or settings.auth_in_clear):
        lines.append("AUTH " + " ".join(settings.mechanisms))
    lines += ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "CHUNKING"]
    if settings.smtputf8:
        lines.append("SMTPUTF8")
    if is_tls:  # RFC 8689 section 2: never offered in clear text
        lines.append("REQUIRETLS")
    if settings.forward:
        lines.append("XFORWARD " + " ".join(FORWARD_ATTRIBUTES))
    if settings.substitute:
        lines.append("XCLIENT " + " ".join(CLIENT_ATTRIBUTES))
    return tuple(lines)


def parse_offer(lines: tuple[str, ...]) -> dict[str, str]:
    """Read the keyword lines of an EHLO reply (the greeting line already taken off)."""
    found: dict[str, str] = {}
    for line in lines:
        # Some servers still write "SIZE=1000", and "AUTH=LOGIN" beside "AUTH PLAIN".
        keyword, _, value = line.replace("=", " ", 1).strip().partition(" ")
        name = keyword.upper()
        if name == "AUTH" and name in found:
            found[name] += f" {value.strip()}"
        elif keyword:
            found.setdefault(name, value.strip())
    return found


def open_envelope(
    return_path: Mailbox | None,
    given: Parameters,
    *,
    smtputf8: bool,
    requiretls: bool = False,
    auth: bool = False,
) -> tuple[Envelope, int | None]:
    """The envelope MAIL opens and the size it declares; raises Fault."""
    if not given:
        return Envelope(return_path, ()), None
    extensions = {"SMTPUTF8": smtputf8, "REQUIRETLS": requiretls, "AUTH": auth}
    known = _MAIL_PARAMETERS | {name for name, is_offered in extensions.items() if is_offered}
    if given.keys() - known:
        raise Fault(replies.UNKNOWN_PARAMETER)
    if any(given.get(name) is not None for name in ("SMTPUTF8", "REQUIRETLS")):
        raise Fault(replies.BAD_PARAMETER)
    if "AUTH" in given and not is_xtext(given["AUTH"] or " "):
        # RFC 4954 section 5: whom the client vouches for; read, believed of nobody.
        raise Fault(replies.BAD_PARAMETER)
    envelope = Envelope(
        return_path,
        (),
        body=cast("Body | None", _one_of(given, "BODY", ("7BIT", "8BITMIME"))),
        smtputf8="SMTPUTF8" in given,
        ret=_one_of(given, "RET", ("FULL", "HDRS")),
        envid=_envid(given),
        requiretls="REQUIRETLS" in given,
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
    return _attributes(argument, FORWARD_ATTRIBUTES)


def substituted(argument: str) -> dict[str, str]:
    """The attributes of an XCLIENT command; raises Fault."""
    found = _attributes(argument, CLIENT_ATTRIBUTES)
    if address := found.get("ADDR"):
        try:
            found["ADDR"] = str(ip_address(_UNPREFIXED.sub("", address)))
        except ValueError:
            raise Fault(replies.BAD_PARAMETER) from None
        if "%" in found["ADDR"]:  # a zone (RFC 4007) may be any text
            raise Fault(replies.BAD_PARAMETER)
    return found


def _attributes(argument: str, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in argument.split():
        name, equals, value = word.partition("=")
        if not equals or name.upper() not in known or len(value) > 255:
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
