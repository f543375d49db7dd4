"""Content transfer encodings (RFC 2045 section 6): strict writers, tolerant readers."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pybase64

from gatepost.mail.content import Content

LINE = 57  # octets that make 76 columns of base64 (RFC 2045 section 6.8)
_PIECE = LINE * 1024

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_FOREIGN = bytes(octet for octet in range(256) if octet not in _ALPHABET)

_TRAILING = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_FROM_SHORT = re.compile(rb"(?m)^From (?=[^\n]{0,69}$)")
_FROM = re.compile(rb"(?m)^From ")


@dataclass(frozen=True, slots=True)
class Base64:
    """Another content in base64: lines of 76 columns, each with CRLF.  Encodes while iterated."""

    content: Content

    @property
    def size(self) -> int:
        """Exact, without encoding anything."""
        lines, rest = divmod(self.content.size, LINE)
        return lines * 78 + ((rest + 2) // 3 * 4 + 2 if rest else 0)

    def chunks(self) -> Iterator[bytes]:
        """Yield whole lines; holds back what does not fill one."""
        pending = b""
        for chunk in self.content.chunks():
            view = memoryview(pending + chunk if pending else chunk)
            whole = len(view) // LINE * LINE
            for start in range(0, whole, _PIECE):
                yield encode_base64(view[start : min(start + _PIECE, whole)])
            pending = bytes(view[whole:])
        if pending:
            yield encode_base64(pending)


def encode_base64(octets: bytes | memoryview) -> bytes:
    """Base64 in lines of 76 columns, every line with CRLF."""
    return pybase64.encodebytes(octets).replace(b"\n", b"\r\n")


def decode_base64(octets: bytes) -> bytes:
    """Decode what a mail carries: foreign characters ignored, padding optional.

    RFC 2045 section 6.8: other characters 'must be ignored by decoding software', and
    "=" shows 'that the end of the data has been reached'.
    """
    letters = octets.translate(None, _FOREIGN)
    end = letters.find(b"=")
    if end >= 0:
        letters = letters[:end]
    if len(letters) % 4 == 1:  # six bits of nothing
        letters = letters[:-1]
    return pybase64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)


def encode_quoted_printable(octets: bytes) -> bytes:
    """Quoted-printable of text whose lines end CRLF (RFC 2045 section 6.7).

    Beyond the rules: no line begins with "From " and none is a lone dot, because relays
    and mailbox files alter such lines.  A bare CR is data here and becomes =0D.
    """
    if b"\r" in octets and octets.count(b"\r") != octets.count(b"\r\n"):
        pieces = _BARE_CR.split(octets)
        return b"=\r\n=0D=\r\n".join(encode_quoted_printable(piece) for piece in pieces)
    # b2a_qp breaks its lines as the first line of the data ends: give it one.
    out = binascii.b2a_qp(b"\r\n" + octets, quotetabs=False, istext=True)[2:]
    if b"From " in out:
        out = _FROM_SHORT.sub(b"=46rom ", out)
        out = _FROM.sub(b"=46=\r\nrom ", out)
    return out


def decode_quoted_printable(octets: bytes) -> bytes:
    """Decode; white space at line ends is transport padding and goes (section 6.7 rule 3)."""
    return binascii.a2b_qp(_TRAILING.sub(b"", octets))


def decode(octets: bytes, encoding: str) -> bytes:
    """Undo a content transfer encoding; one we do not know leaves the octets as they are."""
    if encoding == "base64":
        return decode_base64(octets)
    if encoding == "quoted-printable":
        return decode_quoted_printable(octets)
    return octets
