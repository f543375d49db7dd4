"""S/MIME that Exchange has packed into TNEF comes out again (MS-OXOSMIME section 2.1).

Only where the stream holds nothing else: one attachment, no text, and nothing readable
beside it in the mail; otherwise a signature would be shown for what it does not cover.
"""

from __future__ import annotations

import re

from gatepost.errors import Malformed
from gatepost.mail.content import Content, Octets, Slice, join
from gatepost.mime import canonical, entity, headers
from gatepost.mime.entity import Entity
from gatepost.mime.transfer import encode_base64
from gatepost.smime import payload
from gatepost.tnef import container
from gatepost.tnef.container import Attachment

MAXIMUM_SIZE = 32 * 1024 * 1024
_TYPES = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
_NEAR = 64 * 1024  # in a multipart without text the stream's label stands close to the top
_LABEL = re.compile(rb"(?i)application/(?:vnd\.)?ms-tnef|winmail\.dat")
_OPAQUE = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_FIELDS = (
    b'Content-Type: application/pkcs7-mime; name="smime.p7m"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7m"\r\n'
)


def unwrapped(header: bytes, body: Content) -> tuple[bytes, Content] | None:
    """The message as it was before Exchange packed it; None where it is no such message."""
    if body.size > MAXIMUM_SIZE or not _may_hold(header, body):
        return None
    try:
        stream = _stream(entity.parse(_own_fields(header) + b"\r\n" + join(body), descend=False))
        found = None if stream is None else container.read(entity.decoded(stream))
    except Malformed:
        return None
    if found is None or found.has_body or len(found.attachments) != 1:
        return None
    inside = _inside(found.attachments[0])
    return None if inside is None else payload.unwrapped(header, Octets(inside))


def _may_hold(header: bytes, body: Content) -> bool:
    kind = headers.content_type(header)
    if kind.type == "application":
        return kind.essence in _TYPES or headers.filename(header).lower() == "winmail.dat"
    if kind.essence != "multipart/mixed":
        return False
    return bool(_LABEL.search(join(Slice(body, 0, min(body.size, _NEAR)))))


def _own_fields(header: bytes) -> bytes:
    return payload.divided(header)[1]


def _stream(root: Entity) -> Entity | None:
    """The part with the stream, if no other part says anything."""
    leaves = [one for one in entity.walk(root) if not one.children]
    streams = [one for one in leaves if _is_stream(one)]
    others = [one for one in leaves if not _is_stream(one)]
    if len(streams) != 1 or any(entity.decoded(one).strip() for one in others):
        return None
    return streams[0]


def _is_stream(one: Entity) -> bool:
    return one.content_type.essence in _TYPES or (
        one.content_type.type == "application"
        and headers.filename(one.header).lower() == "winmail.dat"
    )


def _inside(one: Attachment) -> bytes | None:
    """A CMS object for opaque and encrypted mail, a whole entity for clear-signed mail."""
    if one.data[:1] == b"\x30" and (
        one.media_type in _OPAQUE or one.name.lower().endswith((".p7m", ".p7s"))
    ):
        return _FIELDS + b"\r\n" + encode_base64(one.data)
    octets = canonical.crlf(one.data)
    if octets.count(b"\r") != octets.count(b"\n") or b"\0" in octets:
        return None  # RFC 5321 section 2.3.8: no relay could carry it
    kind = headers.content_type(entity.split_header(octets)[0])
    return octets if kind.essence == "multipart/signed" or kind.essence in _OPAQUE else None
