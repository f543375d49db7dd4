"""Encoded words: text other than ASCII in a header field (RFC 2047).

Reading never fails and never gives a control character: what cannot be decoded is
replaced, so that the result may be shown, logged or put into another field.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from encodings.aliases import aliases

# RFC 2047 section 2; the charset may carry a language (RFC 2231 section 5).
_WORD = re.compile(
    r"=\?([A-Za-z0-9][A-Za-z0-9_.:+\-]{0,39})(?:\*[A-Za-z0-9\-]{0,40})?"
    r"\?([bBqQ])\?([^?\s]{0,2000})\?="
)
_CHARSETS = frozenset(aliases) | frozenset(aliases.values())
# Not charsets of mail: costly, or interpreters of escapes.
_REFUSED = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})
# What begins anew with each word.  No mail should be in it (RFC 2152), and what a reader's
# program shows him must not pass us by: a subject tag of ours is one in any charset.
_APART = frozenset({"utf-7", "utf7", "unicode-1-1-utf-7"})
_CONTROLS = dict.fromkeys((*range(32), 127, 0x85, 0x2028, 0x2029), " ")
_PLAIN_Q = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")
_Q = [chr(one) if one in _PLAIN_Q else f"={one:02X}" for one in range(256)]
_Q[0x20] = "_"
_ROOM = 75 - len("=?utf-8?q??=")  # RFC 2047 section 2: an encoded word has at most 75 characters


def decode(value: bytes) -> str:
    """The text of a field's raw value, for people and comparisons."""
    text = raw_text(value)
    if "=?" in text:
        text = "".join(_decoded(text))
    return text if text.isprintable() else clean(text)


def raw_text(value: bytes) -> str:
    """Octets as text: UTF-8 (RFC 6532), else what a careless sender most likely meant."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def in_charset(octets: bytes, charset: str) -> str:
    """Decode octets in a named charset; an unknown one is read like `raw_text`."""
    name = charset.lower().replace("-", "_")
    if name not in _CHARSETS or name in _REFUSED:
        return raw_text(octets)
    try:
        return octets.decode(name, "replace")
    except (LookupError, ValueError):  # an alias of no text encoding ("hex", "rot13")
        return raw_text(octets)


def clean(text: str) -> str:
    """The text without control characters and lone surrogates."""
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode("utf-8")


def encode(text: str) -> str:
    """The text as encoded words separated by spaces."""
    return " ".join(f"=?utf-8?q?{piece}?=" for piece in _q_pieces(text))


def _decoded(text: str) -> Iterator[str]:
    """Plain stretches and decoded words; neighbours in most charsets are decoded together.

    RFC 2047 section 6.2: white space between two encoded words is not shown.  Many senders
    split a multi-octet character between two words, hence the joining.
    """
    position, charset, pending = 0, "", list[bytes]()
    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        joined = not between.strip(" \t") and position > 0
        if pending and (charset in _APART or not (joined and match[1].lower() == charset)):
            yield in_charset(b"".join(pending), charset)
            pending = []
        if not joined:
            yield between
        charset = match[1].lower()
        pending.append(_octets(match[2], match[3]))
        position = match.end()
    yield in_charset(b"".join(pending), charset) if pending else ""
    yield text[position:]


def _octets(encoding: str, payload: str) -> bytes:
    octets = payload.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(octets, header=True)
    try:
        return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))
    except binascii.Error:
        return octets


def _q_pieces(text: str) -> Iterator[str]:
    """Q-encoded pieces that never split a character (RFC 2047 section 5)."""
    piece = ""
    for character in text:
        coded = "".join([_Q[octet] for octet in character.encode("utf-8", "replace")])
        if len(piece) + len(coded) > _ROOM:
            yield piece
            piece = ""
        piece += coded
    if piece:
        yield piece
