"""EnvelopedData and AuthEnvelopedData: encrypt and decrypt (RFC 5652 section 6, RFC 5083).

AES-GCM is written as AuthEnvelopedData, AES-CBC as EnvelopedData; GCM inside
EnvelopedData, with the tag after the ciphertext, is read as some senders write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice

from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, attributes, ber, bulk, der, identifier
from gatepost.cms import cipher as ciphers
from gatepost.cms import content as contents
from gatepost.cms import recipient as recipient_info
from gatepost.cms import secret as secret_info
from gatepost.cms.algorithms import Algorithm
from gatepost.cms.bulk import Bulk
from gatepost.cms.capability import Decryptor, KeyTransport, Secret
from gatepost.cms.cipher import ContentCipher
from gatepost.cms.content import Pieces
from gatepost.cms.designation import CertificateId
from gatepost.cms.digest import HASHES
from gatepost.cms.encapsulation import Encapsulated
from gatepost.cms.recipient import Entropy, RecipientInfo
from gatepost.errors import DecryptionFailed, GatepostError, Malformed, Unavailable, Unsupported
from gatepost.mail.content import Content, Slice, join

RecipientId = CertificateId

MAXIMUM_ATTEMPTS = 8  # RecipientInfos naming our keys that are tried: each may cost a full pass
MAXIMUM_GUESSES = 2  # of secrets: each may cost all iterations allowed


class NoRecipient(GatepostError):
    """None of our certificates is among the recipients."""

    reply = (554, "5.7.5", "Cryptographic failure")


@dataclass(frozen=True, slots=True)
class Enveloped:
    """Either structure as it was sent; nothing is decrypted yet."""

    recipients: tuple[RecipientInfo, ...]
    sharers: tuple[ber.Element, ...]  # RecipientInfos for passwords and shared keys, not read yet
    content_type: str
    algorithm: bytes  # AlgorithmIdentifier, read when decrypting
    sealed: Content = field(repr=False)
    tag: bytes | None = field(repr=False)  # None: EnvelopedData
    authenticated: bytes = field(repr=False)  # DER SET OF the authenticated attributes


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What was inside."""

    plain: Content = field(repr=False)  # proven before it is here, but decrypted as it is read
    cipher: str
    authenticated: bool
    recipients: int
    used: Certificate | None  # None: opened with a password or a shared key
    content_type: str = "data"
    weak: bool = False
    unproven: bool = False  # see below
    management: str = ""  # how its key reached us: "rsa-oaep", "ecdh-std-sha256" …

    # `unproven`: the key came by PKCS #1 v1.5 and no tag proved it right, so `plain` may be
    # what a random key makes of the ciphertext.  Content that makes no sense must then be
    # answered exactly as DecryptionFailed is, or the answer is Bleichenbacher's oracle.

    @property
    def content(self) -> bytes:
        """The plain text, made one."""
        return join(self.plain)


def encrypt(
    content: Content,
    recipients: Sequence[Certificate],
    *,
    cipher: str,
    key_transport: KeyTransport,
    entropy: Entropy,
) -> Content:
    """A ContentInfo for these recipients: at once if small, else encrypted as it is read.

    Keys are drawn now, so reading it again gives the same octets.
    """
    algorithm = algorithms.named(cipher, "cipher")
    if algorithm is None or algorithm.create_from is None:
        raise Unsupported(f"encrypting with {cipher} is not supported")
    if not recipients:
        raise Unsupported("encrypting to nobody is not supported")
    iv = ciphers.NONCE if algorithm.family == "gcm" else ciphers.BLOCK
    drawn = ContentCipher(algorithm, entropy(algorithm.size), entropy(iv))
    infos = der.set_of(
        *(
            recipient_info.compose(one, drawn.key, key_transport, entropy)
            for one in dict.fromkeys(recipients)
        )
    )
    # RFC 5083 2.1: AuthEnvelopedData is always 0
    version = 0 if drawn.is_authenticated else recipient_info.envelope_version(recipients)
    return ciphers.encrypt(drawn, content, _shell(drawn, content.size, infos, version))


def _shell(cipher: ContentCipher, size: int, infos: bytes, version: int) -> der.Shell:
    """All around the encrypted content; the mac, last in AuthEnvelopedData, has its room there."""
    gcm = cipher.is_authenticated
    kind = contents.AUTHENVELOPED_DATA if gcm else contents.ENVELOPED_DATA
    room = der.octet_string(bytes(ciphers.TAG)) if gcm else b""
    before = der.tlv(0x06, contents.DATA) + cipher.identifier
    return (
        der.Shell(cipher.size(size))
        .within(0x80)  # encryptedContent [0] IMPLICIT OCTET STRING
        .within(der.SEQUENCE, before)
        .within(der.SEQUENCE, der.integer(version) + infos, room)
        .within(0xA0)
        .within(der.SEQUENCE, der.tlv(0x06, kind))
    )


def recipients(octets: bytes | Bulk) -> tuple[RecipientId, ...]:
    """Whom a message is encrypted to; raises Malformed."""
    return tuple(one.certificate_id for one in parse(octets).recipients)


def parse(octets: bytes | Bulk) -> Enveloped:
    """Read either structure (BER); raises Malformed or Unsupported."""
    frame, apart = bulk.taken(octets)
    kind, body = contents.opened(frame)
    if kind not in (contents.ENVELOPED_DATA, contents.AUTHENVELOPED_DATA):
        raise Unsupported(f"{contents.name(kind)} where enveloped data was expected")
    fields = body.sequence()
    if len(fields) > 1 and fields[1].tag == 0xA0:
        del fields[1]  # originatorInfo: certificates and CRLs we have no use for
    if len(fields) < 3:
        body.fail("not an EnvelopedData")
    named, sharers = recipient_info.parse(fields[1])
    inside = fields[2].sequence()
    if len(inside) != 3 or inside[2].tag & ~der.CONSTRUCTED != 0x80:
        body.fail("no encrypted content")
    tag, authenticated, content_oid = None, b"", inside[0].oid()
    if kind == contents.AUTHENVELOPED_DATA:
        tag, authenticated = _authentication(body, fields[3:], content_oid)
    return Enveloped(
        recipients=named,
        sharers=sharers,
        content_type=contents.name(content_oid),
        algorithm=identifier.raw(inside[1]),
        sealed=apart or Pieces(inside[2].pieces()),
        tag=tag,
        authenticated=authenticated,
    )


def _authentication(
    body: ber.Element, fields: list[ber.Element], kind: bytes
) -> tuple[bytes, bytes]:
    """The tag, and what it covers besides the content (RFC 5083 section 2.2)."""
    authenticated = b""
    if fields and fields[0].tag == 0xA1:
        said = fields.pop(0)
        if attributes.content_type(said) not in (None, kind):  # RFC 5083 2.1: they must agree
            said.fail("an authenticated content type that is not the content's")
        # "the DER encoding of the authAttrs", with the SET OF tag
        authenticated = ber.canonical(said._replace(tag=der.SET))
    if not fields:
        body.fail("no message authentication code")
    tag = fields[0].octet_string()
    if not 10 <= len(tag) <= 16:
        fields[0].fail("a message authentication code of unreasonable length")
    return tag, authenticated


def decrypt(
    octets: bytes | Bulk,
    decryptors: Sequence[Decryptor],
    *,
    entropy: Entropy,
    secrets: Sequence[Secret] = (),
) -> Decrypted:
    """Open a message addressed to one of our certificates, or under one of our secrets.

    Raises NoRecipient if none of them is named, Unsupported or Malformed for what the
    structure itself shows, and DecryptionFailed for every failure that a key decides.
    """
    enveloped = parse(octets)
    inner = identifier.derived_cipher(enveloped.algorithm)
    algorithm, iv, tag_size = identifier.cipher(inner or enveloped.algorithm)
    sealed, tag = _ciphertext(enveloped, algorithm, tag_size)
    failures: list[GatepostError] = []
    attempts = _attempts(enveloped, decryptors, secrets, algorithm.size, entropy)
    for open_key, info, used in islice(attempts, MAXIMUM_ATTEMPTS):
        try:
            opened = ContentCipher(algorithm, _derived(open_key(), inner), iv)
            plain = ciphers.decrypted(opened, sealed, tag, enveloped.authenticated)
        except GatepostError as error:
            failures.append(error)
            continue
        return Decrypted(
            plain=plain,
            cipher=algorithm.name,
            authenticated=opened.is_authenticated,
            recipients=len(enveloped.recipients),
            used=used,
            content_type=enveloped.content_type,
            weak=algorithm.weak,
            unproven=not opened.is_authenticated and recipient_info.is_silent(info),
            management=_management(info),
        )
    raise min(failures, key=_patience, default=NoRecipient())


_Attempt = tuple[Callable[[], bytes], RecipientInfo | None, Certificate | None]


def _attempts(
    enveloped: Enveloped,
    decryptors: Sequence[Decryptor],
    secrets: Sequence[Secret],
    size: int,
    entropy: Entropy,
) -> Iterator[_Attempt]:
    """Each RecipientInfo with each key of ours that may open it."""
    for info, decryptor in recipient_info.pairs(enveloped.recipients, decryptors):
        key = partial(recipient_info.open_key, info, decryptor, size, entropy)
        yield key, info, decryptor.certificate
    shared = secret_info.pairs(enveloped.sharers, secrets)
    for one, secret in islice(shared, MAXIMUM_GUESSES):
        yield partial(secret_info.open_key, one, secret, size), None, None


def _management(info: RecipientInfo | None) -> str:
    """The name of the algorithm a key was wrapped by; empty for passwords and shared keys."""
    if info is None:
        return ""
    written = info.kem if isinstance(info, Encapsulated) else info.algorithm
    return _named(written)


@lru_cache(maxsize=256)
def _named(encoded: bytes) -> str:
    found = algorithms.BY_OID.get(identifier.opened(ber.parse(encoded))[0])
    return found.name if found is not None else ""


def _derived(key: bytes, inner: bytes | None) -> bytes:
    """RFC 9709 section 2: another key for each cipher, so none can be put in another's place."""
    if inner is None:
        return key
    return HKDF(HASHES["sha256"], len(key), _DERIVED_SALT, inner).derive(key)


_DERIVED_SALT = b"The Cryptographic Message Syntax"


def _patience(failure: GatepostError) -> int:
    """Which of several failures to report: one that may pass, then one that tells nothing."""
    return 0 if isinstance(failure, Unavailable) else 1 if type(failure) is DecryptionFailed else 2


def _ciphertext(enveloped: Enveloped, algorithm: Algorithm, tag_size: int) -> tuple[Content, bytes]:
    """The ciphertext and its tag, wherever the sender put it."""
    if algorithm.family == "cbc":
        if enveloped.tag is not None:
            raise Unsupported(f"authenticated enveloped data with {algorithm.name}")
        return enveloped.sealed, b""
    if enveloped.tag is not None:
        # Some senders omit the length and mean 16; a tag cut short is somebody's attempt
        if len(enveloped.tag) < tag_size:
            raise Malformed(f"a tag of {len(enveloped.tag)} octets instead of {tag_size}")
        return enveloped.sealed, enveloped.tag
    whole, stop = enveloped.sealed, enveloped.sealed.size - tag_size
    if stop < 0:
        raise Malformed(f"{algorithm.name} without a tag")
    return Slice(whole, 0, stop), join(Slice(whole, stop, whole.size))
