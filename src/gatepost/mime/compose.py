"""Build small entities: a text, a multipart, an attachment (RFC 2045, 2046, 2183).

Every function gives (header, body): the MIME fields of the entity and its content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gatepost.errors import Malformed
from gatepost.mail.content import Content, Octets, Rope
from gatepost.mail.field import compose
from gatepost.mime.content_type import ContentType
from gatepost.mime.transfer import Base64, encode_quoted_printable

Part = tuple[bytes, Content]


def entity(header: bytes, body: Content) -> Content:
    """The exact octets of an entity with this header and body."""
    return Rope((Octets(header + b"\r\n"), body))


def text(words: str, subtype: str = "plain") -> Part:
    """A text entity in 7 bits: as it is, or UTF-8 in quoted-printable."""
    lines = "\r\n".join(words.splitlines())
    octets = (lines + "\r\n" if lines else "").encode("utf-8", "replace")
    if octets.isascii() and all(len(line) <= 76 for line in lines.split("\r\n")):
        kind, coding = ContentType("text", subtype, {"charset": "us-ascii"}), "7bit"
    else:
        kind, coding = ContentType("text", subtype, {"charset": "utf-8"}), "quoted-printable"
        octets = encode_quoted_printable(octets)
    return fields(kind, coding), Octets(octets)


def attachment(content: Content, kind: ContentType, filename: str) -> Part:
    """A file in base64, encoded while it is read."""
    disposition = ContentType("attachment", "", {"filename": filename}).compose()
    header = fields(kind, "base64") + compose(
        "Content-Disposition", disposition.replace("attachment/", "attachment", 1).encode("ascii")
    )
    return header, Base64(content)


def multipart(
    subtype: str,
    parts: Sequence[Content],
    boundary: bytes,
    parameters: Mapping[str, str] | None = None,
    preamble: bytes = b"",
) -> Part:
    """A multipart of whole entities; each part's octets appear in it unchanged."""
    if not parts:
        raise Malformed("a multipart needs at least one part")
    kind = ContentType(
        "multipart", subtype, {**(parameters or {}), "boundary": boundary.decode("ascii")}
    )
    delimiter = b"--" + boundary + b"\r\n"
    pieces: list[Content] = [Octets(preamble + b"\r\n" + delimiter if preamble else delimiter)]
    for number, part in enumerate(parts):
        pieces += [Octets(b"\r\n" + delimiter)] * bool(number) + [part]
    pieces.append(Octets(b"\r\n--" + boundary + b"--\r\n"))
    return compose("Content-Type", kind.compose().encode("ascii")), Rope(tuple(pieces))


def fields(kind: ContentType, encoding: str) -> bytes:
    """The Content-Type and Content-Transfer-Encoding fields of an entity."""
    return compose("Content-Type", kind.compose().encode("ascii")) + compose(
        "Content-Transfer-Encoding", encoding
    )
