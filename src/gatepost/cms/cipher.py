"""Content encryption: AES-CBC and AES-GCM made; CCM, 3DES and RC2 read too (RFC 3565, 5084, 3370).

Nothing decrypted leaves before the tag is checked; with CBC a wrong key and wrong
padding look the same.  Memory is bounded when writing: content streams through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from gatepost.cms import ccm, der
from gatepost.cms.algorithms import Algorithm
from gatepost.cms.content import Pieces
from gatepost.errors import DecryptionFailed, Unavailable
from gatepost.mail.content import SMALL, Content, Octets, is_large, join

BLOCK = 16
NONCE = 12  # RFC 5084 3.2: "a nonce length of 12 octets is RECOMMENDED"
TAG = 16
PIECE = 1024 * 1024  # more than this is never encrypted in one go


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A cipher with its key and IV, drawn once for one content."""

    algorithm: Algorithm
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    @property
    def is_authenticated(self) -> bool:
        """Whether it is GCM or CCM."""
        return self.algorithm.family != "cbc"

    @property
    def identifier(self) -> bytes:
        """The AlgorithmIdentifier with its parameters."""
        parameters = der.octet_string(self.iv)
        if self.is_authenticated:  # the tag length's default is 12, so 16 is spelled out
            parameters = der.sequence(parameters, der.integer(TAG))
        return der.sequence(der.oid(self.algorithm.oid), parameters)

    def size(self, plain: int) -> int:
        """Octets of ciphertext for so much plain text; the GCM tag is not counted."""
        return plain if self.is_authenticated else plain + BLOCK - plain % BLOCK


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A structure around content that is encrypted anew, to the same octets, at each reading."""

    cipher: ContentCipher
    plain: Content
    shell: der.Shell = field(repr=False)

    @property
    def size(self) -> int:
        """Octets of the whole structure."""
        return len(self.shell.prefix) + self.shell.size + len(self.shell.suffix)

    def chunks(self) -> Iterator[bytes]:
        """Yield the structure piece by piece."""
        yield self.shell.prefix
        yield from self._gcm() if self.cipher.is_authenticated else self._cbc()

    def _gcm(self) -> Iterator[bytes]:
        context = Cipher(AES(self.cipher.key), modes.GCM(self.cipher.iv)).encryptor()
        yield from map(context.update, self._pieces())
        context.finalize()
        yield self.shell.suffix[:-TAG] + context.tag

    def _cbc(self) -> Iterator[bytes]:
        context = Cipher(AES(self.cipher.key), modes.CBC(self.cipher.iv)).encryptor()
        yield from map(context.update, self._pieces())
        yield context.update(padding(self.plain.size)) + self.shell.suffix

    def _pieces(self) -> Iterator[bytes | memoryview]:
        count = 0
        for chunk in self.plain.chunks():
            count += len(chunk)
            view = memoryview(chunk)
            yield from (view[at : at + PIECE] for at in range(0, len(chunk), PIECE))
        if count != self.plain.size:
            raise Unavailable("content changed its size while it was being encrypted")


def encrypt(cipher: ContentCipher, plain: Content, shell: der.Shell) -> Content:
    """The shell around the encrypted content; for GCM its suffix ends in room for the tag."""
    if plain.size > SMALL:
        return Encrypted(cipher, plain, shell)
    data = join(plain)
    if not cipher.is_authenticated:
        context = Cipher(AES(cipher.key), modes.CBC(cipher.iv)).encryptor()
        body = context.update(data + padding(len(data)))
        return Octets(b"".join((shell.prefix, body, shell.suffix)))
    sealed = memoryview(AESGCM(cipher.key).encrypt(cipher.iv, data, None))
    parts = (shell.prefix, sealed[:-TAG], shell.suffix[:-TAG], sealed[-TAG:])
    return Octets(b"".join(parts))


def padding(size: int) -> bytes:
    """What fills the last block of CBC (RFC 5652 section 6.3)."""
    count = BLOCK - size % BLOCK
    return bytes((count,)) * count


def decrypted(cipher: ContentCipher, sealed: Content, tag: bytes, authenticated: bytes) -> Content:
    """The plain text as `decrypt` gives it; large content is proven now and decrypted when read."""
    if isinstance(sealed, Pieces):  # at hand already, whatever its size
        return Octets(decrypt(cipher, sealed.pieces, tag, authenticated))
    if not is_large(sealed):
        return Octets(decrypt(cipher, sealed.chunks(), tag, authenticated))
    return Decrypted(
        cipher, sealed, tag, authenticated, _proven(cipher, sealed, tag, authenticated)
    )


def decrypt(
    cipher: ContentCipher, pieces: Iterable[bytes | memoryview], tag: bytes, authenticated: bytes
) -> bytes:
    """The plain text; raises DecryptionFailed, whatever was wrong.

    `authenticated` is the DER SET OF the authenticated attributes (RFC 5083 section 2.2).
    """
    try:
        if cipher.algorithm.family == "gcm":
            held = tuple(pieces)
            if len(tag) != TAG or sum(map(len, held)) > SMALL:
                return _decrypt_gcm(cipher, held, tag, authenticated)
            sealed = b"".join((*held, tag))  # sooner copied than a context is made
            return AESGCM(cipher.key).decrypt(cipher.iv, sealed, authenticated)
        if cipher.algorithm.family == "ccm":
            sealed = b"".join((*pieces, tag))
            return AESCCM(cipher.key, len(tag)).decrypt(cipher.iv, sealed, authenticated)
        return _decrypt_cbc(cipher, pieces)
    except (InvalidTag, ValueError) as error:
        raise DecryptionFailed from error


def _decrypt_gcm(
    cipher: ContentCipher, pieces: Iterable[bytes | memoryview], tag: bytes, authenticated: bytes
) -> bytes:
    context = _gcm(cipher, tag, authenticated)
    plain = b"".join([context.update(piece) for piece in pieces])
    context.finalize()  # raises InvalidTag; until here `plain` is nobody's
    return plain


def _gcm(cipher: ContentCipher, tag: bytes, authenticated: bytes) -> CipherContext:
    mode = modes.GCM(cipher.iv, tag, min_tag_length=12)
    context = Cipher(AES(cipher.key), mode).decryptor()
    context.authenticate_additional_data(authenticated)
    return context


def _decrypt_cbc(cipher: ContentCipher, pieces: Iterable[bytes | memoryview]) -> bytes:
    context = Cipher(block_cipher(cipher), modes.CBC(cipher.iv)).decryptor()
    padded = b"".join([context.update(piece) for piece in pieces])
    context.finalize()  # raises ValueError for half a block
    return padded[: -_padded(padded, len(cipher.iv))]


def _padded(end: bytes, size: int) -> int:
    """How many octets of padding stand at the end; `size` is that of a block."""
    count = end[-1] if end else 0
    if not 1 <= count <= size:
        raise DecryptionFailed
    if not constant_time.bytes_eq(end[-count:], bytes((count,)) * count):
        raise DecryptionFailed
    return count


@dataclass(frozen=True, slots=True)
class Decrypted:
    """Plain text that was proven once, decrypted anew at each reading: it is held nowhere."""

    cipher: ContentCipher
    sealed: Content
    tag: bytes
    authenticated: bytes
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the plain text piece by piece; raises Unavailable if it is not what it was."""
        left = self.size
        try:
            for plain in _plain(self.cipher, self.sealed, self.tag, self.authenticated):
                yield plain[:left]  # padding stands behind
                left = max(left - len(plain), 0)
        except (InvalidTag, ValueError) as error:
            raise Unavailable("content changed while it was being decrypted") from error


def _proven(cipher: ContentCipher, sealed: Content, tag: bytes, authenticated: bytes) -> int:
    """The size of the plain text, once every octet has been decrypted and found right.

    Raises DecryptionFailed, whatever was wrong.
    """
    size, end = 0, b""
    try:
        for plain in _plain(cipher, sealed, tag, authenticated):
            size += len(plain)
            end = (end + plain)[-2 * BLOCK :]
    except (InvalidTag, ValueError) as error:
        raise DecryptionFailed from error
    return size if cipher.is_authenticated else size - _padded(end, len(cipher.iv))


def _plain(
    cipher: ContentCipher, sealed: Content, tag: bytes, authenticated: bytes
) -> Iterator[bytes]:
    """The plain text with its padding; fails after the last octet if it is not authentic."""
    if cipher.algorithm.family == "ccm":
        yield from ccm.decrypt(cipher.key, cipher.iv, sealed, tag, authenticated)
        return
    if cipher.algorithm.family == "gcm":
        context: CipherContext = _gcm(cipher, tag, authenticated)
    else:
        context = Cipher(block_cipher(cipher), modes.CBC(cipher.iv)).decryptor()
    yield from map(context.update, sealed.chunks())
    context.finalize()


def block_cipher(cipher: ContentCipher) -> AES | TripleDES | RC2:
    """The cipher under CBC."""
    if cipher.algorithm.name == "3des-cbc":
        return TripleDES(cipher.key)
    return RC2(cipher.key) if cipher.algorithm.name == "rc2-cbc" else AES(cipher.key)
