"""Who signs and who reads in the interop tests, and how our side does it."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests import pki_builder
from tests.interop.case import (
    KEY_NAME,
    PASSWORD,
    SHARED_KEYS,
    Envelope,
    Form,
    Recipient,
    Signature,
)
from tests.interop.peers.shape import Reader, clear, opaque, taken_apart
from tests.pki_builder import Authority, KeyKind, User

from gatepost.certificate import Certificate
from gatepost.cms import enveloped, signed
from gatepost.cms.capability import Password, Secret, SharedKey, SignatureScheme
from gatepost.cms.enclosure import Enclosed
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mime.canonical import crlf
from gatepost.mime.entity import split_header
from gatepost.pki.validate import Anchors
from gatepost.smime import decrypt as opening
from gatepost.smime import encrypt as closing
from gatepost.smime import expand as expanding
from gatepost.smime import layers
from gatepost.smime import sign as signing
from gatepost.smime import verify as verifying
from gatepost.smime.report import SignatureReport

# The peers' clocks are real, so ours is too; an RSA chain is what all of them read.
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
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


def person(email: str, kind: KeyKind) -> User:
    """A person with such a key; the same one within a session."""
    if (email, kind) not in _PEOPLE:
        _PEOPLE[email, kind] = COMPANY.user(email, kind=kind, key_name=f"{email} {kind}")
    return _PEOPLE[email, kind]


_PEOPLE: dict[tuple[str, KeyKind], User] = {}


def signers(case: Signature) -> list[User]:
    """Alice, once for each key."""
    return [person("alice@example.com", kind) for kind in case.keys]


def readers(case: Envelope) -> list[Reader]:
    """Who can open it: each recipient, or the secret in its place."""
    return [_reader(how, number) for number, how in enumerate(case.recipients)]


def _reader(how: Recipient, number: int) -> Reader:
    if how.key == "password":
        return Password(PASSWORD)
    if how.key == "kek":
        return SharedKey(SHARED_KEYS[how.size], KEY_NAME)
    return person(("bob@example.com", "carol@example.com", "dave@example.com")[number], how.key)


def our_signature(case: Signature, form: Form) -> bytes:
    """The message as our gateway signs it."""
    assert case.family != "ed448"  # which we only read
    scheme = SignatureScheme(case.family, case.digest, case.salt)
    if len(case.keys) > 1:
        return _signed_by_many(case, scheme, form)
    header, body = split_header(ENTITY)
    names = itertools.count()
    made = signing.sign(
        FROM + header,
        Octets(body),
        signers(case)[0].signer,
        now=NOW,
        names=lambda: f"interop{next(names)}",
        scheme=scheme,
        form=form,
        enclosed=_enclosed(case),
    )
    return made[0] + b"\r\n" + join(made[1])


def _enclosed(case: Signature) -> tuple[Enclosed, ...]:
    """What tells of the signer's revocation, and of his authority's."""
    if case.trait == "answer":
        return (Enclosed("ocsp", _answer(signers(case)[0].certificate)), _list(ROOT))
    return (_list(COMPANY), _list(ROOT)) if case.trait == "list" else ()


def _list(issuer: Authority) -> Enclosed:
    assert isinstance(issuer.key, RSAPrivateKey)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.x509.subject)
        .last_update(NOW)
        .next_update(NOW + DAY)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    return Enclosed("crl", builder.sign(issuer.key, SHA256()).public_bytes(Encoding.DER))


def _answer(about: Certificate) -> bytes:
    assert isinstance(COMPANY.key, RSAPrivateKey)
    issuer = COMPANY.certificate.x509
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=about.x509,
            issuer=issuer,
            algorithm=SHA256(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=NOW,
            next_update=NOW + DAY,
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
    )
    return builder.sign(COMPANY.key, SHA256()).public_bytes(Encoding.DER)


def _signed_by_many(case: Signature, scheme: SignatureScheme, form: Form) -> bytes:
    """A gateway signs for one author; the CMS beneath takes several."""
    several = [user.signer for user in signers(case)]
    detached = form == "clear"
    made = join(signed.sign(Octets(ENTITY), several, scheme, detached=detached, when=NOW))
    return clear(ENTITY, made) if detached else opaque(made, "signed-data")


def our_verdict(message: bytes) -> tuple[SignatureReport, bytes]:
    """What our gateway says of a peer's message, and the entity it leaves."""
    header, body = split_header(FROM + crlf(message))
    author = Mailbox("alice", "example.com")
    found = verifying.verify(header, Octets(body), ANCHORS, NOW, author, keep_signature=False)
    return found.report, entity(found.header, join(found.body))


def our_ciphertext(case: Envelope, inside: bytes = ENTITY) -> bytes:
    """The message as our gateway encrypts it."""
    header, body = split_header(inside)
    transports = [how.transport for how in case.recipients if how.transport]
    certificates = [one.certificate for one in readers(case) if isinstance(one, User)]
    made = closing.encrypt(
        FROM + header,
        Octets(body),
        certificates,
        cipher=case.cipher,
        entropy=os.urandom,
        key_transport=transports[0] if transports else closing.PKCS1,
    )
    return made[0] + b"\r\n" + join(made[1])


def our_reading(message: bytes, user: User) -> tuple[opening.Opened, bytes]:
    """How our gateway opens a peer's message, and the entity inside."""
    header, body = split_header(FROM + crlf(message))
    opened = opening.decrypt(header, Octets(body), [user.decryptor], os.urandom)
    return opened, entity(opened.header, join(opened.body))


def our_reading_with(message: bytes, secret: Secret) -> bytes:
    """The same with what both sides share, which CMS has and a gateway does not offer."""
    octets = taken_apart(message)[0]
    return enveloped.decrypt(octets, (), entropy=os.urandom, secrets=[secret]).content


def our_expansion(message: bytes) -> bytes:
    """What is inside compressed mail."""
    header, body = split_header(FROM + crlf(message))
    layer = layers.outermost(header, join(Octets(body)))
    assert layer is not None
    opened = expanding.expand(header, layer)
    return entity(opened.header, join(opened.body))


def entity(header: bytes, body: bytes) -> bytes:
    """The MIME entity of a message, as it was before our outer fields stood around it."""
    fields = header.partition(b"MIME-Version: 1.0\r\n")[2]
    return fields + b"\r\n" + body
