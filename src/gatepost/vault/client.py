"""The key process, as its clients see it: a `Custody` whose keys are elsewhere.

Connections are kept; one that has ended is replaced without a word, for every question can be
asked twice.  Nobody there means KeyUnavailable at once, and the mail waits (451).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from gatepost.cms.capability import KeyTransport, SignatureScheme
from gatepost.errors import (
    ConfigError,
    DecryptionFailed,
    GatepostError,
    KeyUnavailable,
    Malformed,
    Unsupported,
)
from gatepost.vault.custody import Owner, PrivateKey
from gatepost.vault.frame import Frame, Line, Word, name_of
from gatepost.vault.held import Held, held_of
from gatepost.vault.seal import SealBroken
from gatepost.vault.subkey import Subkey
from gatepost.vault.token import Algorithm

PATIENCE: Final = 10.0  # seconds for an answer
MAKING: Final = 60.0  # seconds for a new key, which a token may take its time for
PAUSE: Final = 0.5  # seconds in which one that did not answer is not asked again
_KEPT: Final = 16  # connections
_RAISED: Final[dict[Word, type[GatepostError]]] = {
    Word.UNAVAILABLE: KeyUnavailable,
    Word.BROKEN: SealBroken,
    Word.UNSUPPORTED: Unsupported,
    Word.WRONG: ConfigError,
}


class Forgotten(KeyUnavailable):
    """The key process has begun anew since it opened this key."""


class Client:
    """Asks the key process; safe in threads."""

    def __init__(
        self,
        connect: Callable[[], socket.socket],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._clock = connect, clock
        self._kept: list[Line] = []
        self._lock = threading.Lock()
        self._not_before = 0.0

    def ask(self, word: Word, *fields: bytes, patience: float = PATIENCE) -> tuple[bytes, ...]:
        """What it answers; raises KeyUnavailable when it does not, or whatever it says."""
        if self._clock() < self._not_before:
            raise KeyUnavailable("the key process does not answer")
        asked = Frame(word, fields).octets()
        try:
            while (line := self._taken()) is not None:
                with suppress(ConnectionError):  # it has begun anew since
                    return self._said(line, asked, patience)
            return self._said(Line(self._connect()), asked, patience)
        except OSError as error:
            raise KeyUnavailable(f"the key process is away: {error}") from error
        except Malformed as error:
            raise KeyUnavailable(f"the key process is of another version: {error}") from error

    def subkey(self, purpose: str) -> Subkey:
        """A sub-key that workers may have."""
        found = self.ask(Word.SUBKEY, purpose.encode())
        return Subkey(purpose, dict(zip(found[::2], found[1::2], strict=True)))

    def close(self) -> None:
        """Hang up."""
        while (line := self._taken()) is not None:
            line.close()

    def _said(self, line: Line, asked: bytes, patience: float) -> tuple[bytes, ...]:
        try:
            line.say(asked, patience)
            answer = line.hear(patience)
        except TimeoutError:
            line.close()
            self._not_before = self._clock() + PAUSE
            raise KeyUnavailable(f"the key process did not answer in {patience:.0f} s") from None
        except (OSError, Malformed):
            line.close()
            raise
        if answer is None:
            line.close()
            raise ConnectionResetError("it hung up")
        self._keep(line)
        return _checked(answer)

    def _taken(self) -> Line | None:
        with self._lock:
            return self._kept.pop() if self._kept else None

    def _keep(self, line: Line) -> None:
        with self._lock:
            if len(self._kept) < _KEPT:
                self._kept.append(line)
                return
        line.close()


def _checked(answer: Frame) -> tuple[bytes, ...]:
    if answer.word is Word.DONE:
        return answer.fields
    if answer.word is Word.FAILED:
        raise DecryptionFailed
    if answer.word is Word.FORGOTTEN:
        raise Forgotten
    said = b"".join(answer.fields).decode(errors="replace")
    raise _RAISED.get(answer.word, KeyUnavailable)(said)


@dataclass(frozen=True, slots=True)
class Remote:
    """The `Custody` of the key process."""

    client: Client

    def make(self, algorithm: Algorithm, owner: Owner, label: str) -> PrivateKey:
        """A new key, made there."""
        words = (algorithm.encode(), owner.encode(), label.encode())
        key_id, box, public = self.client.ask(Word.MAKE, *words, patience=MAKING)
        return self._held(key_id.decode(), box, public).as_key()

    def seal(self, private_key: PrivateKeyTypes) -> tuple[str, bytes]:
        """Box a key that came from outside; one that is held has its box."""
        if held := held_of(private_key):
            return held.key_id, held.box
        plain = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        key_id, box = self.client.ask(Word.SEAL, plain)
        return key_id.decode(), box

    def open(self, key_id: str, box: bytes) -> Held:
        """The public half of a key, and the way to the other."""
        (public,) = self.client.ask(Word.OPEN, key_id.encode(), box)
        return self._held(key_id, box, public)

    def _held(self, key_id: str, box: bytes, public: bytes) -> Held:
        return Held(load_der_public_key(public), key_id, box, RemoteKey(self.client, key_id, box))


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """The `Holder` of one key that the key process has."""

    client: Client
    key_id: str
    box: bytes = field(repr=False)
    name: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", name_of(self.key_id, self.box))

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself; raises Unsupported when the key cannot sign so."""
        salt = b"" if scheme.salt is None else b"%d" % scheme.salt
        return self._ask(Word.SIGN, scheme.family.encode(), scheme.digest.encode(), salt, data)

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a key sent by RSA key transport; raises DecryptionFailed."""
        digests = (scheme.digest.encode(), scheme.mgf_digest.encode())
        return self._ask(Word.UNWRAP, scheme.family.encode(), *digests, scheme.label, encrypted_key)

    def agree(self, public_key: bytes) -> bytes:
        """Agree with a peer's point; raises DecryptionFailed."""
        return self._ask(Word.AGREE, public_key)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret in an ML-KEM ciphertext; raises DecryptionFailed."""
        return self._ask(Word.DECAPSULATE, ciphertext)

    def _ask(self, word: Word, *fields: bytes) -> bytes:
        try:
            (found,) = self.client.ask(word, self.name, *fields)
        except Forgotten:
            self.client.ask(Word.OPEN, self.key_id.encode(), self.box)
            (found,) = self.client.ask(word, self.name, *fields)
        return found
