"""Say what broke a clear signature: undo what relays and lists do, and check again.

A hit proves what the author signed, not what the reader sees: the verdict stays invalid.
Bounded by the size of the part, the number of trials and the octets digested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from gatepost.cms import attributes, identifier, signed
from gatepost.cms.capability import Digest
from gatepost.cms.digest import digest_of
from gatepost.cms.signed import SignedData
from gatepost.errors import GatepostError
from gatepost.mail.content import Octets
from gatepost.mime import canonical, entity, headers, transfer
from gatepost.mime.entity import Entity

MAXIMUM_SIZE = 1024 * 1024
MAXIMUM_TRIALS = 250
MAXIMUM_DIGESTED = 32 * 1024 * 1024  # some 50 milliseconds
MAXIMUM_LINES = 60  # of a footer or banner
MAXIMUM_LEAVES = 3

Trial = tuple[bytes, str]
_TRAILING = re.compile(rb"(?<![ \t])[ \t]+(?=\r\n|\Z)")
_CODED = frozenset({"quoted-printable", "base64"})
_CHARSETS = ("iso-8859-1", "windows-1252", "iso-8859-15")


def explained(found: SignedData, raw: bytes) -> str:
    """What made the signature over this part invalid; empty: it could not be found out."""
    wanted = _wanted(found)
    if not wanted or len(raw) > MAXIMUM_SIZE:
        return ""
    digested = 0
    for count, (octets, what) in enumerate(_trials(raw)):
        digested += len(octets) * len(wanted)
        if count >= MAXIMUM_TRIALS or digested > MAXIMUM_DIGESTED:
            return ""
        if any(digest_of(name, octets) in values for name, values in wanted.items()) and any(
            one.intact for one in signed.verify(found, Octets(octets))
        ):
            return f"valid before: {what}"
    return ""


def _wanted(found: SignedData) -> Mapping[Digest, frozenset[bytes]]:
    """The digests the signers saw; without signed attributes nobody can tell."""
    wanted: dict[Digest, frozenset[bytes]] = {}
    for one in found.signers:
        if one.signed_attributes is None:
            continue
        try:
            name = identifier.digest_name(one.digest_identifier)
            seen = attributes.parse(one.signed_attributes).message_digest
        except GatepostError:
            continue
        wanted[name] = wanted.get(name, frozenset()) | {seen}
    return wanted


def _trials(raw: bytes) -> Iterator[Trial]:
    """Octets as they may have been signed, and what then happened to them; likely ones first."""
    octets = canonical.crlf(raw)
    yield from _lines(octets)
    try:
        leaves = [one for one in entity.walk(entity.parse(octets, descend=False)) if _is_text(one)]
    except GatepostError:
        return
    for edit in (_decoded, _encoded, _transcoded, _cut_below, _cut_above):
        for one in leaves[:MAXIMUM_LEAVES]:
            yield from edit(one)
    yield from _everywhere(octets, leaves)


def _is_text(one: Entity) -> bool:
    return one.content_type.type == "text" and not one.children


def _lines(octets: bytes) -> Iterator[Trial]:
    """What happens to lines, whatever they say."""
    bare = octets.rstrip(b"\r\n")
    yield octets.replace(b"\r\n", b"\n"), "line ends were made CRLF"
    yield octets + b"\r\n", "the last line end was taken away"
    yield bare, "line ends were added after the text"
    yield bare + b"\r\n", "empty lines were added after the text"
    yield _TRAILING.sub(b"", octets), "white space was added at line ends"
    yield octets.replace(b"\r\n>From ", b"\r\nFrom "), "From lines were quoted"
    yield octets.replace(b"\r\n..", b"\r\n."), "dots at line starts were doubled"
    yield octets.replace(b"\r\n.", b"\r\n.."), "dots at line starts were taken away"


def _put(one: Entity, header: bytes, body: bytes) -> bytes:
    before = one.octets[: one.start]
    return b"".join((before, header, b"\r\n", body, one.octets[one.stop :]))


def _decoded(one: Entity) -> Iterator[Trial]:
    """A relay that wants 7 bits encodes what was signed wide."""
    if one.encoding not in _CODED:
        return
    plain = entity.decoded(one)
    what = f"8-bit text was encoded as {one.encoding}"
    for coding in ("8bit", "7bit", "binary"):
        fields = headers.replaced(one.header, "Content-Transfer-Encoding", coding)
        yield _put(one, fields, plain), what
    yield _put(one, headers.without(one.header, "Content-Transfer-Encoding"), plain), what


def _encoded(one: Entity) -> Iterator[Trial]:
    """A relay that takes 8 bits, or another encoder, undoes what was signed narrow."""
    plain = entity.decoded(one)
    writers: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
        ("quoted-printable", transfer.encode_quoted_printable),
        ("base64", transfer.encode_base64),
    )
    for coding, write in writers:
        if coding != one.encoding:
            fields = headers.replaced(one.header, "Content-Transfer-Encoding", coding)
            made = write(plain)
            what = f"{coding} text was decoded or encoded anew"
            yield _put(one, fields, made), what
            yield _put(one, fields, made.removesuffix(b"\r\n")), what


def _transcoded(one: Entity) -> Iterator[Trial]:
    """A relay turns everything into UTF-8."""
    if one.encoding in _CODED or one.octets.isascii():
        return
    for charset in _CHARSETS:
        try:
            body = one.body.decode("utf-8").encode(charset)
        except UnicodeError:
            continue
        what = f"text in {charset} was turned into UTF-8"
        yield _put(one, one.header, body), what
        for spelling in (charset, charset.upper()):
            fields = re.sub(rb"(?i)(charset=\"?)utf-8", rb"\1" + spelling.encode(), one.header)
            yield _put(one, fields, body), what


def _cut_below(one: Entity) -> Iterator[Trial]:
    """A list or a scanner appends its footer."""
    body, stop = one.body, len(one.body)
    for _ in range(MAXIMUM_LINES):
        stop = body.rfind(b"\r\n", 0, stop)
        if stop < 0:
            return
        size = len(body) - stop
        yield _put(one, one.header, body[:stop]), f"footer of {size} octets appended"
        yield _put(one, one.header, body[: stop + 2]), f"footer of {size - 2} octets appended"


def _cut_above(one: Entity) -> Iterator[Trial]:
    """Or puts its banner first."""
    body, start = one.body, 0
    for _ in range(MAXIMUM_LINES // 3):
        start = body.find(b"\r\n", start) + 2
        if start < 2:
            return
        yield _put(one, one.header, body[start:]), f"banner of {start} octets put before"


def _everywhere(octets: bytes, leaves: list[Entity]) -> Iterator[Trial]:
    """What happened to all text parts at once."""
    if len(leaves) < 2:
        return
    for coding in ("8bit", "7bit"):
        made, position = [], 0
        for one in leaves:
            fields = headers.replaced(one.header, "Content-Transfer-Encoding", coding)
            made += [octets[position : one.start], fields, b"\r\n", entity.decoded(one)]
            position = one.stop
        yield b"".join((*made, octets[position:])), "8-bit text was encoded"
