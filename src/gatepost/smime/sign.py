"""Sign a message: multipart/signed or application/pkcs7-mime (RFC 8551 section 3.5, RFC 1847).

The entity is made canonical and 7-bit first; from then on its octets are holy: hashed
in one pass, sent in the next, never rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from gatepost.certificate import Certificate
from gatepost.cms import signed
from gatepost.cms.algorithms import CAPABILITIES
from gatepost.cms.capability import Digest, SignatureScheme, Signer
from gatepost.cms.enclosure import Enclosed
from gatepost.cms.signer import fitting
from gatepost.mail.content import Content, Octets, Rope, is_large, join
from gatepost.mime import canonical, headers, recode
from gatepost.mime.boundary import boundary
from gatepost.mime.transfer import Base64
from gatepost.smime import payload, protection
from gatepost.smime.protection import Protection

Form = Literal["clear", "opaque"]

# RFC 8551 section 3.5.3.2: "The values to be placed in the micalg parameter".
MICALG: dict[Digest, str] = {
    "md5": "md5",
    "sha1": "sha-1",
    "sha224": "sha-224",
    "sha256": "sha-256",
    "sha384": "sha-384",
    "sha512": "sha-512",
}

PREAMBLE = b"This is an S/MIME signed message.\r\n"

_SIGNATURE_FIELDS = (
    b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7s"\r\n'
)
_OPAQUE_FIELDS = (
    b'Content-Type: application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7m"\r\n'
)


def sign(
    header: bytes,
    body: Content,
    signer: Signer,
    *,
    now: datetime,
    names: Callable[[], str],
    scheme: SignatureScheme | None = None,
    form: Form = "clear",
    extra: Sequence[Certificate] = (),
    capabilities: Sequence[str] = CAPABILITIES,
    encryption_certificate: Certificate | None = None,
    protect: Protection | None = None,
    enclosed: Sequence[Enclosed] = (),
) -> tuple[bytes, Content]:
    """The message with its MIME entity signed: (header, body).

    A clear signature needs a 7-bit entity (RFC 8551 section 3.1.3).  An entity that cannot be
    made so without breaking a signature inside it is signed opaquely instead.  `protect`
    signs the header fields as well (RFC 9788).  What is `enclosed` tells of the signer's
    revocation.
    """
    chosen = fitting(signer, scheme)
    outside, found = protection.enclosed(header, body, protect)
    whole, clear = _prepared(found)
    detached = form == "clear" and clear
    made = signed.sign(
        whole,
        [signer],
        chosen,
        detached=detached,
        when=now,
        extra=extra,
        capabilities=capabilities,
        encryption_certificate=encryption_certificate,
        enclosed=enclosed,
    )
    if not detached:
        return payload.wrapped(outside, _OPAQUE_FIELDS), Base64(made)
    mark = boundary(names)
    return payload.wrapped(outside, _clear_fields(chosen.digest, mark)), _clear(whole, made, mark)


def is_clear(body: Content) -> bool:
    """Whether `sign` made this body as multipart/signed, which anybody can read."""
    return not isinstance(body, Base64)


def _prepared(whole: Content) -> tuple[Content, bool]:
    """The entity to sign, and whether it may be sent as multipart/signed."""
    if canonical.is_seven_bit(whole):
        return whole, True
    if is_large(whole):
        large, obstacles = recode.convert(whole)
        return large, not obstacles
    made = canonical.convert(join(whole))
    return Octets(made.octets), not made.obstacles


def _clear_fields(digest: Digest, mark: bytes) -> bytes:
    value = (
        f'multipart/signed; protocol="application/pkcs7-signature"; micalg={MICALG[digest]};'
        f' boundary="{mark.decode("ascii")}"'
    )
    return headers.compose("Content-Type", value)


def _clear(whole: Content, signature: Content, mark: bytes) -> Content:
    """RFC 1847 section 2.1: the signed part first; the line end before a delimiter is not its."""
    before = PREAMBLE + b"\r\n--" + mark + b"\r\n"
    between = b"\r\n--" + mark + b"\r\n" + _SIGNATURE_FIELDS + b"\r\n"
    after = b"\r\n--" + mark + b"--\r\n"
    return Rope((Octets(before), whole, Octets(between), Base64(signature), Octets(after)))
