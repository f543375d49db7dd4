"""Which header fields go inside a cryptographic layer and which stay outside.

RFC 8551 section 3.1: the MIME entity is secured, "not the message headers"; its own
fields are those named Content-*.  Everything else is the message's and stays outside.
"""

from __future__ import annotations

from collections.abc import Iterable

from gatepost.mail.content import Content, Octets, Rope, is_large, join
from gatepost.mime import canonical, entity, headers, recode
from gatepost.mime.headers import Field

MIME_VERSION = b"MIME-Version: 1.0\r\n"
_CARRIED = bytes.maketrans(b"\r\0", b"  ")


def enclosed(header: bytes, body: Content) -> tuple[bytes, Content]:
    """Split a message into (header fields that stay outside, the MIME entity that goes inside)."""
    outside, inside = divided(header)
    return outside, Rope((Octets((inside or default_fields(body)) + b"\r\n"), body))


def default_fields(body: Content) -> bytes:
    """What RFC 2045 section 5.2 reads into a message without Content-* fields, said aloud.

    A reader guesses the charset of 8-bit text, so none is claimed that would mislead it.
    """
    if all(chunk.isascii() for chunk in body.chunks()):
        return b"Content-Type: text/plain; charset=us-ascii\r\n"
    return b"Content-Type: text/plain\r\n"


def divided(header: bytes) -> tuple[bytes, bytes]:
    """The message's own fields and the entity's (Content-*); MIME-Version stays outside."""
    outside: list[bytes] = []
    inside: list[bytes] = []
    versioned = False
    for name, start, stop in headers.spans(header):
        if name.startswith(b"content-"):
            inside.append(header[start:stop])
        elif name != b"mime-version" or not versioned:
            outside.append(header[start:stop])
            versioned = versioned or name == b"mime-version"
    return b"".join(outside), b"".join(inside)


def wrapped(outside: bytes, *content: bytes) -> bytes:
    """The header of a message whose body is a new layer; MIME-Version stands in it once."""
    version = b"" if headers.first(outside, "MIME-Version") else MIME_VERSION
    return b"".join((outside, version, *content))


def disclosed(header: bytes, inner: bytes) -> bytes:
    """The header of a message after its outer layer was removed.

    The inner entity's Content-* fields replace the outer ones; without any, RFC 2045
    section 5.2 makes the body plain text.  Inner fields of another name do not come
    out: nobody has compared them with the outer ones (RFC 9788).
    """
    outside, _ = divided(header)
    return wrapped(outside, *(ended(one.raw) for one in headers.fields(inner) if _is_content(one)))


def unwrapped(header: bytes, whole: Content) -> tuple[bytes, Content]:
    """The message that remains when this inner entity replaces its body."""
    inner, body = entity.split(whole)
    return disclosed(header, inner), body


def transportable(header: bytes, body: Content) -> tuple[bytes, Content]:
    """The message with no octet SMTP cannot carry: lines end CRLF, binary parts are encoded.

    RFC 8551 section 3.1.2 allows binary inside an envelope; RFC 5321 section 2.3.8 allows no
    bare CR or LF on the wire.  Only for what no signature covers any more.
    """
    if canonical.are_lines(body.chunks()):
        return header, body
    outside, inside = divided(header)
    if is_large(body):
        fields, large = entity.split(recode.convert(Rope((Octets(inside + b"\r\n"), body)))[0])
        return wrapped(outside, fields), recode.lines(large)
    octets = join(body)
    made = canonical.to_seven_bit(inside + b"\r\n" + octets)
    fields, rest = entity.split_header(made)
    rest = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return wrapped(outside, fields), Octets(rest)


def foreign(inner: bytes) -> tuple[str, ...]:
    """Names of the inner entity's fields that are not its own (protected header fields)."""
    return _names(
        one for one in headers.fields(inner) if not (_is_content(one) or _is_version(one))
    )


def _names(fields: Iterable[Field]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.name.lower() for one in fields))


def _is_content(one: Field) -> bool:
    return one.name.lower().startswith("content-")


def _is_version(one: Field) -> bool:
    return one.name.lower() == "mime-version"


def ended(raw: bytes) -> bytes:
    """The field with CRLF line ends only (RFC 5322 section 2.1), and without NUL.

    One from inside may have anything; what SMTP cannot carry becomes a space.
    """
    lines = raw.replace(b"\r\n", b"\n").rstrip(b"\n").translate(_CARRIED)
    return lines.replace(b"\n", b"\r\n") + b"\r\n"
