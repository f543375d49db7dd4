"""Protect header fields: copies inside the Cryptographic Payload (RFC 9788 section 5.2).

Protected are the fields an author writes and a reader sees or answers by.  Trace and
X- fields are not copied: what a later relay takes out on purpose must not travel inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gatepost.errors import Malformed
from gatepost.mail.content import Content, Octets, Rope, join
from gatepost.mime import entity, headers
from gatepost.mime.headers import Field
from gatepost.smime import legacy_display, parameter, payload

CLEAR, CIPHER = "clear", "cipher"
OUTER = "HP-Outer"
OBSCURED = b"[...]"  # RFC 9788 section 3.2.1
MAXIMUM_DISPLAYED = 16 * 1024 * 1024  # octets of a message that is rewritten for old readers

# What people read, and what decides where their answer goes.
VISIBLE = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "subject", "comments", "keywords"}
    | {"followup-to", "mail-followup-to", "mail-reply-to", "disposition-notification-to"}
)
AUTHORED = VISIBLE | frozenset(
    {"date", "message-id", "in-reply-to", "references", "thread-topic", "organization"}
    | {"importance", "priority", "x-priority", "sensitivity", "auto-submitted"}
)
# hcp_baseline, and Outlook's copy of the Subject.
REMOVED = frozenset({"comments", "keywords", "thread-topic"})
_DISPLAYED = ("subject", "comments", "keywords")  # user-facing and hidden


@dataclass(frozen=True, slots=True)
class Protection:
    """What is wanted: `encrypted` if any layer will be, `hides` the Subject from the outside."""

    encrypted: bool
    hides: bool = False


def enclosed(header: bytes, body: Content, protection: Protection | None) -> tuple[bytes, Content]:
    """Split a message into (header fields that stay outside, the entity that goes inside)."""
    if protection is None:
        return payload.enclosed(header, body)
    outside, inside = payload.divided(header)
    if not headers.first(inside, "Content-Type"):
        inside += payload.default_fields(body) if not inside else b"Content-Type: text/plain\r\n"
    copies = tuple(_copies(outside))
    exposed, shown = outside, copies
    if protection.encrypted and protection.hides:
        exposed = _hidden(outside)
        shown = tuple(_copies(exposed))
        inside, body = _displayed(inside, body, outside)
    records = _records(shown) if protection.encrypted else b""
    marked = parameter.added(inside, "hp", CIPHER if protection.encrypted else CLEAR)
    return exposed, Rope((Octets(b"".join((marked, *copies, records, b"\r\n"))), body))


def is_authored(field: Field) -> bool:
    """Whether the field is one of those that are protected."""
    return field.name.lower() in AUTHORED


def _copies(outside: bytes) -> Iterator[bytes]:
    for one in headers.fields(outside):
        if is_authored(one) and (copied := copy(one)):
            yield copied


def copy(field: Field) -> bytes:
    """The field as ASCII lines of fair length; empty where that cannot be."""
    if _is_plain(field):
        return field.raw
    rest = payload.ended(field.raw[field.raw.index(b":") + 1 :])
    raw = field.name.encode("ascii") + (b":" if rest[:1] in b" \t\r" else b": ") + rest
    if raw.isascii() and b"\0" not in raw and max(map(len, raw.split(b"\r\n"))) <= 900:
        return raw
    try:
        return headers.compose(
            field.name, field.value.replace(b"\0", b"").decode("utf-8", "replace")
        )
    except Malformed:
        return b""


def _is_plain(field: Field) -> bool:
    """The usual case: "Name: value" on one short line."""
    raw, size = field.raw, len(field.name)
    return (
        len(raw) <= 900
        and raw.isascii()
        and raw.endswith(b"\r\n")
        and raw[size : size + 2] == b": "
        and raw.count(b"\r") == raw.count(b"\n") == 1
        and b"\0" not in raw
    )


def _hidden(outside: bytes) -> bytes:
    """RFC 9788 section 3.2.1: hcp_baseline."""
    exposed = headers.without(outside, *REMOVED)
    return headers.replaced(exposed, "Subject", OBSCURED) if _has(exposed, "Subject") else exposed


def _has(header: bytes, name: str) -> bool:
    return headers.first(header, name) is not None


def _records(shown: Iterable[bytes]) -> bytes:
    """RFC 9788 section 2.2: every protected field as it stands outside."""
    prefix = OUTER.encode("ascii") + b": "
    return b"".join([prefix + one for one in shown])


def _displayed(inside: bytes, body: Content, outside: bytes) -> tuple[bytes, Content]:
    """RFC 9788 section 5.2.1 step 2: old readers see the hidden fields in the text."""
    lines = [
        f"{one.name}: {' '.join(one.text.split())}"
        for one in headers.fields(outside)
        if one.name.lower() in _DISPLAYED
    ]
    if not lines or body.size > MAXIMUM_DISPLAYED:
        return inside, body
    whole = legacy_display.inserted(inside + b"\r\n" + join(body), lines)
    fields, rest = entity.split_header(whole)
    return fields, Octets(rest)
