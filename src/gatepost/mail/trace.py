"""Trace fields: Received (RFC 5321 section 4.4) and Authentication-Results (RFC 8601, RFC 7281).

What the peer said of itself is hostile: it is cut to the characters a field allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from gatepost.mail.envelope import Envelope
from gatepost.mail.field import Field, compose, cut, date, every
from gatepost.mail.mailbox_list import tokens
from gatepost.mail.message import Arrival

_RESULTS = "Authentication-Results"
_FOREIGN_NAME = re.compile(r"[^A-Za-z0-9.\-_:\[\]]+")
_FOREIGN_WORD = re.compile(r"[^A-Za-z0-9\-]+")
_FOREIGN_COMMENT = re.compile(r"[^ !-'*-\[\]-~]+")  # no parenthesis, backslash or control
_TOKEN = re.compile(
    r"[!#-'*+\-.0-9A-Z^-~]+\Z"
)  # RFC 2045 section 5.1, as RFC 8601 section 2.2 asks
_DOMAINED = re.compile(r"[!#-'*+\-./0-9A-Z^-~]*@[A-Za-z0-9.\-]+\Z")  # [local-part "@"] domain-name
_UNQUOTABLE = re.compile(r"[^ -~]+")


@dataclass(frozen=True, slots=True)
class Result:
    """One method's result: `Result("smime", "pass", "…", (("body.smime-part", "1.2"),))`."""

    method: str
    result: str
    comment: str = ""  # for people; stands in parentheses
    properties: tuple[tuple[str, str], ...] = ()  # ("body.smime-identifier", "alice@example.org")


def received(arrival: Arrival, envelope: Envelope, hostname: str, now: datetime) -> bytes:
    """The Received field of a message that came to us, to be put above all others."""
    clauses = [f"from {_from(arrival)}"]
    clauses.append(f"by {_name(hostname) or 'localhost'}")
    clauses.append(f"with {_FOREIGN_WORD.sub('', arrival.protocol[:64]) or 'ESMTP'}")
    if arrival.tls:
        clauses[-1] += f" ({_comment(arrival.tls)})"
    clauses.append(f"id {_FOREIGN_NAME.sub('', arrival.queue_id[:64]) or 'unknown'}")
    if len(envelope.recipients) == 1:  # naming one of several would disclose a Bcc
        mailbox = str(envelope.recipients[0])
        clauses.append(f"for <{mailbox}>")
    return compose("Received", (" ".join(clauses) + f"; {date(now)}").encode())


def count_received(header: bytes) -> int:
    """How many hops the message has made (RFC 5321 section 6.3: loops)."""
    return len(every(header, "Received"))


def authentication_results(authserv_id: str, results: Sequence[Result]) -> bytes:
    """The Authentication-Results field saying these (RFC 8601 section 2.2)."""
    said = [_said(result) for result in results] or ["none"]
    return compose(_RESULTS, "; ".join([_value(authserv_id), *said]))


def strip_authentication_results(header: bytes, authserv_id: str) -> bytes:
    """The header without the fields that claim to be ours.

    RFC 8601 section 5: a border MTA 'MUST delete any discovered instance of this header
    field that claims, by virtue of its authentication service identifier, to have been
    added within its trust boundary but that did not come directly from another trusted MTA'.
    """
    return cut(header, [(field.start, field.stop) for field in claimed(header, authserv_id)])


def claimed(header: bytes, authserv_id: str) -> tuple[Field, ...]:
    """The Authentication-Results fields that claim to be from there."""
    ours = _plain(authserv_id)
    return tuple(
        field
        for field in every(header, _RESULTS)
        if _claims(field.value.decode("utf-8", "replace"), ours)
    )


def _from(arrival: Arrival) -> str:
    literal = _literal(arrival.peer)
    name = _name(arrival.helo)
    if not literal:
        return name or "unknown"
    return f"{name or literal} ({literal})"


@lru_cache(maxsize=256)
def _literal(peer: str) -> str:
    try:
        address = ip_address(peer.split("%", 1)[0])
    except ValueError:
        return ""
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"


def _name(text: str) -> str:
    return _FOREIGN_NAME.sub("?", text[:255])


def _comment(text: str) -> str:
    return _FOREIGN_COMMENT.sub("?", " ".join(text.split()))[:500]


def _said(result: Result) -> str:
    words = [f"{_FOREIGN_WORD.sub('', result.method)}={_FOREIGN_WORD.sub('', result.result)}"]
    if result.comment:
        words.append(f"({_comment(result.comment)})")
    for name, value in result.properties:
        kind, _, item = name.partition(".")
        key = f"{_FOREIGN_WORD.sub('', kind)}.{_FOREIGN_WORD.sub('', item)}"
        words.append(f"{key}={_value(value)}")
    return " ".join(words)


def _value(text: str) -> str:
    """A token or address as it is, anything else as a quoted string without line breaks."""
    if _TOKEN.match(text) or _DOMAINED.match(text):
        return text
    quotable = _UNQUOTABLE.sub("?", text)[:500]
    escaped = quotable.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _claims(value: str, ours: str) -> bool:
    """Whether the field's authserv-id is ours; one that cannot be read but names us is too."""
    found = _plain("".join(_leading(value)))
    return found == ours or (not found and ours in value.lower())


def _leading(value: str) -> Iterator[str]:
    """The lexical tokens of the authserv-id: what stands before a version or semicolon."""
    begun = False
    for lexeme in tokens(value):
        if lexeme == ";" or (lexeme == " " and begun):
            return
        if lexeme != " ":
            begun = True
            yield lexeme


def _plain(authserv_id: str) -> str:
    """Without quotes, escapes, a "/1" version or a final dot; in lower case."""
    bare = authserv_id.strip().strip('"').replace("\\", "")
    return bare.partition("/")[0].strip().rstrip(".").lower()
