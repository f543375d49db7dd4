"""Content transfer encodings (RFC 2045 section 6): strict writers, tolerant readers."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import pybase64

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content

LINE = 57  # octets that make 76 columns of base64 (RFC 2045 section 6.8)
_PIECE = LINE * 1024
MAXIMUM_LINE = 1024 * 1024  # of quoted-printable that is decoded while it is read

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_FOREIGN = bytes(octet for octet in range(256) if octet not in ALPHABET)

_SPARE = (*range(128, 256), *range(1, 9), *range(14, 32))  # octets b2a_qp always encodes
_TRAILING = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n|\Z)")
_FROM_SHORT = re.compile(rb"(?m)^From (?=[^\n]{0,69}$)")
_FROM = re.compile(rb"(?m)^From ")
_DASHES_SHORT = re.compile(rb"(?m)(?<==\r\n)--(?=[^\r\n]{0,72}\r?$)")
_DASHES = re.compile(rb"(?<==\r\n)--")
_DOT = re.compile(rb"(?m)^\.(?=\r?$)")
_WIDE = re.compile(
    rb"(?m)^([^\n]{74})(=(?:09|20)\r?)$"
)  # trailing white space b2a_qp lets overhang


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
        return encoded_base64(self.content.chunks())


def encode_base64(octets: bytes | memoryview) -> bytes:
    """Base64 in lines of 76 columns, every line with CRLF."""
    return pybase64.encodebytes(octets).replace(b"\n", b"\r\n")


def decode_base64(octets: bytes) -> bytes:
    """Decode what a mail carries: foreign characters ignored, padding optional.

    RFC 2045 section 6.8: other characters 'must be ignored by decoding software', and
    "=" shows 'that the end of the data has been reached'.
    """
    try:  # nearly always nothing but line ends stands between: three times as fast
        return pybase64.b64decode(octets.translate(None, b"\r\n"), validate=True)
    except binascii.Error:
        letters = octets.translate(None, _FOREIGN)
    end = letters.find(b"=")
    if end >= 0:
        letters = letters[:end]
    if len(letters) % 4 == 1:  # six bits of nothing
        letters = letters[:-1]
    return pybase64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)


def encode_quoted_printable(octets: bytes) -> bytes:
    """Quoted-printable (RFC 2045 section 6.7); CRLF is a line end, a bare CR or LF is data.

    Beyond the rules: no line begins with "From " and none is a lone dot, because relays
    and mailbox files alter such lines; and none that goes on after a soft break begins with
    two hyphens, for they may be the boundary of a multipart around it.
    """
    lines = octets.count(b"\r\n")
    if octets.count(b"\r") != lines or octets.count(b"\n") != lines:
        return _with_bare_breaks(octets)
    # b2a_qp breaks its lines as the first line of the data ends: give it one.
    return _protected(binascii.b2a_qp(b"\r\n" + octets, quotetabs=False, istext=True)[2:])


def _protected(out: bytes) -> bytes:
    """What b2a_qp leaves undone: From lines, dots and hyphens after a break, 77th columns."""
    if b"From " in out:
        out = _FROM_SHORT.sub(b"=46rom ", out)
        out = _FROM.sub(b"=46=\r\nrom ", out)
    if b"=\r\n--" in out:
        out = _DASHES_SHORT.sub(b"=2D-", out)
        if b"=\r\n--" in out:
            out = _DASHES_SHORT.sub(b"=2D-", _DASHES.sub(b"=2D=2D=\r\n", out))
    if b"\n." in out:
        out = _DOT.sub(b"=2E", out)
    if b"=09" in out or b"=20" in out:
        out = _WIDE.sub(rb"\1=\r\n\2", out)
    return out


def _with_bare_breaks(octets: bytes) -> bytes:
    """Let octets that do not occur stand for bare CR and LF while the rest is encoded."""
    spare = [octet for octet in _SPARE if octet not in octets][:3]
    if len(spare) < 3:  # nearly every octet value occurs: no text, so line ends are data too
        start = len(b"=0D=0A")
        return _protected(binascii.b2a_qp(b"\r\n" + octets, quotetabs=True, istext=False)[start:])
    end, cr, lf = (bytes([octet]) for octet in spare)
    marked = octets.replace(b"\r\n", end).replace(b"\r", cr).replace(b"\n", lf)
    out = encode_quoted_printable(marked.replace(end, b"\r\n"))
    return out.replace(b"=%02X" % spare[1], b"=0D").replace(b"=%02X" % spare[2], b"=0A")


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


class Decoded:
    """Another content with its transfer encoding undone.  Decodes while iterated."""

    __slots__ = ("_size", "encoded", "encoding")

    def __init__(self, encoded: Content, encoding: str) -> None:
        self.encoded = encoded
        self.encoding = encoding
        self._size: int | None = None

    @property
    def size(self) -> int:
        """Exact; asked for the first time, it costs a pass over everything."""
        if self._size is None:
            is_base64 = self.encoding == "base64"
            self._size = _base64_size(self.encoded) if is_base64 else sum(map(len, self.chunks()))
        return self._size

    def chunks(self) -> Iterator[bytes]:
        """Yield what `decode` gives for the whole, in pieces."""
        return _DECODERS[self.encoding](self.encoded.chunks())


def decoded(content: Content, encoding: str) -> Content:
    """Undo a transfer encoding lazily; one we do not know leaves the content as it is."""
    return Decoded(content, encoding) if encoding in _DECODERS else content


def encoded_base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """As `Base64`, of chunks that come once."""
    pending = b""
    for chunk in chunks:
        view = memoryview(pending + chunk if pending else chunk)
        whole = len(view) // LINE * LINE
        for start in range(0, whole, _PIECE):
            yield encode_base64(view[start : min(start + _PIECE, whole)])
        pending = bytes(view[whole:])
    if pending:
        yield encode_base64(pending)


def decoded_chunks(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """As `decoded`, of chunks that come once."""
    return _DECODERS[encoding](chunks) if encoding in _DECODERS else iter(chunks)


def _letters(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The base64 letters up to the first "=", as `decode_base64` sees them."""
    for chunk in chunks:
        letters = chunk.translate(None, _FOREIGN)
        end = letters.find(b"=")
        yield letters if end < 0 else letters[:end]
        if end >= 0:
            return


def _base64_size(content: Content) -> int:
    whole, rest = divmod(sum(map(len, _letters(content.chunks()))), 4)
    return whole * 3 + max(rest - 1, 0)


def _decoded_base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    source = iter(chunks)
    for chunk in source:
        letters = held + chunk.translate(None, b"\r\n")
        whole = len(letters) & ~3
        plain = _strict(letters[:whole])
        if plain is None:  # foreign characters, or the end
            yield from _decoded_slowly(chain((held + chunk,), source))
            return
        yield plain
        held = letters[whole:]
    if len(held) > 1:
        yield decode_base64(held)


def _decoded_slowly(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in _letters(chunks):
        letters = held + piece if held else piece
        whole = len(letters) & ~3
        if whole:
            yield pybase64.b64decode(letters[:whole], validate=True)
        held = letters[whole:]
    if len(held) > 1:
        yield decode_base64(held)


def _strict(letters: bytes) -> bytes | None:
    """What whole groups of base64 say; None where other characters or padding stand in them."""
    if b"=" in letters:
        return None
    try:
        return pybase64.b64decode(letters, validate=True)
    except binascii.Error:
        return None


def _decoded_quoted_printable(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        lines, end, rest = (held + chunk).rpartition(b"\n")
        if end:
            yield decode_quoted_printable(lines + end)
        held = rest
        if len(held) > MAXIMUM_LINE:
            raise LimitExceeded(f"a quoted-printable line of more than {MAXIMUM_LINE} octets")
    yield decode_quoted_printable(held)


_DECODERS = {"base64": _decoded_base64, "quoted-printable": _decoded_quoted_printable}
