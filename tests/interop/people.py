"""Who signs and who reads in the interop tests, and how our side does it."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime

from tests import pki_builder
from tests.pki_builder import KeyKind, User

from gatepost.cms.capability import KeyTransport, SignatureScheme
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mime.canonical import crlf
from gatepost.mime.entity import split_header
from gatepost.pki.validate import Anchors
from gatepost.smime import decrypt as opening
from gatepost.smime import encrypt as closing
from gatepost.smime import sign as signing
from gatepost.smime import verify as verifying
from gatepost.smime.report import SignatureReport
from gatepost.smime.sign import Form

# The peers' clocks are real, so ours is too; an RSA chain is what all of them read.
NOW = datetime.now(UTC)
ROOT = pki_builder.company_root("Interop", "rsa2048")
COMPANY = pki_builder.company("Interop", "rsa2048")
ANCHORS = Anchors(frozenset({ROOT.certificate}))

FROM = b"From: Alice <alice@example.com>\r\nTo: bob@example.com\r\nSubject: interop\r\n"
ENTITY = (
    b'Content-Type: multipart/mixed; boundary="inner"\r\n'
    b"\r\n"
    b"--inner\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n"
    b"\r\n"
    b"Gr=C3=BC=C3=9Fe, trailing blanks=20\r\n"
    b".\r\n"
    b"\r\n"
    b"--inner\r\n"
    b"Content-Type: application/octet-stream; name=data.bin\r\n"
    b"Content-Transfer-Encoding: base64\r\n"
    b"\r\n"
    + b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5\r\n" * 120
    + b"--inner--\r\n"
)

LARGE = ENTITY.replace(b"--inner--", ENTITY[ENTITY.index(b"QUJD") : -11] * 120 + b"--inner--")

_SCHEMES = {
    "rsa-pkcs1-sha256": SignatureScheme("rsa-pkcs1", "sha256"),
    "rsa-pkcs1-sha512": SignatureScheme("rsa-pkcs1", "sha512"),
    "rsa-pss-sha256": SignatureScheme("rsa-pss", "sha256"),
}
_TRANSPORTS = {
    "rsa-oaep-sha256": KeyTransport("rsa-oaep", "sha256", "sha256"),
    "rsa-oaep-sha1": KeyTransport("rsa-oaep", "sha1", "sha1"),
}


def person(email: str, algorithm: str) -> User:
    """A person whose key suits the algorithm; the same one within a session."""
    kinds: dict[str, KeyKind] = {"p256": "p256", "p384": "p384", "ecdh": "p256"}
    kind: KeyKind = next((kinds[word] for word in algorithm.split("-") if word in kinds), "rsa2048")
    return _person(email, kind)


_PEOPLE: dict[tuple[str, KeyKind], User] = {}


def _person(email: str, kind: KeyKind) -> User:
    key = (email, kind)
    if key not in _PEOPLE:
        _PEOPLE[key] = COMPANY.user(email, kind=kind, key_name=f"{email} {kind}")
    return _PEOPLE[key]


def our_signature(user: User, algorithm: str, form: Form) -> bytes:
    """The message as our gateway signs it."""
    header, body = split_header(ENTITY)
    names = itertools.count()
    made = signing.sign(
        FROM + header,
        Octets(body),
        user.signer,
        now=NOW,
        names=lambda: f"interop{next(names)}",
        scheme=_SCHEMES.get(algorithm),
        form=form,
    )
    return made[0] + b"\r\n" + join(made[1])


def our_verdict(message: bytes) -> tuple[SignatureReport, bytes]:
    """What our gateway says of a peer's message, and the entity it leaves."""
    header, body = split_header(FROM + crlf(message))
    author = Mailbox("alice", "example.com")
    found = verifying.verify(header, Octets(body), ANCHORS, NOW, author, keep_signature=False)
    return found.report, entity(found.header, join(found.body))


def our_ciphertext(
    users: tuple[User, ...], cipher: str, transport: str, inside: bytes = ENTITY
) -> bytes:
    """The message as our gateway encrypts it."""
    header, body = split_header(inside)
    made = closing.encrypt(
        FROM + header,
        Octets(body),
        [user.certificate for user in users],
        cipher=cipher,
        entropy=os.urandom,
        key_transport=_TRANSPORTS.get(transport, closing.PKCS1),
    )
    return made[0] + b"\r\n" + join(made[1])


def our_reading(message: bytes, user: User) -> tuple[opening.Opened, bytes]:
    """How our gateway opens a peer's message, and the entity inside."""
    header, body = split_header(FROM + crlf(message))
    opened = opening.decrypt(header, Octets(body), [user.decryptor], os.urandom)
    return opened, entity(opened.header, join(opened.body))


def entity(header: bytes, body: bytes) -> bytes:
    """The MIME entity of a message, as it was before our outer fields stood around it."""
    fields = header.partition(b"MIME-Version: 1.0\r\n")[2]
    return fields + b"\r\n" + body
