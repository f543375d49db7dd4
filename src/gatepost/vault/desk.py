"""What the key process does when it is asked: every question once, and its answer.

No answer holds a private key, nor the sub-key that opens one.  That a decryption failed is
said in one way, whatever the cause.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar, get_args

import structlog
from cryptography.hazmat.primitives.serialization import load_der_private_key

from gatepost.cms.capability import Digest, KeyTransport, SignatureFamily, SignatureScheme
from gatepost.errors import (
    ConfigError,
    DecryptionFailed,
    GatepostError,
    Malformed,
    Unavailable,
    Unsupported,
)
from gatepost.events import Name
from gatepost.vault.custody import Custody, Opened, Owner, public_octets
from gatepost.vault.frame import Frame, Word, name_of
from gatepost.vault.held import Held, Holder
from gatepost.vault.seal import SealBroken
from gatepost.vault.software import SoftwareKey
from gatepost.vault.subkey import Source
from gatepost.vault.token import Algorithm

MAXIMUM_OPEN: Final = 10_000  # keys kept open; some 5 KiB each
_LONGEST_SALT: Final = 512
_LONGEST: Final = 500  # characters of an explanation
_SAID: Final[tuple[tuple[type[GatepostError], Word], ...]] = (
    (DecryptionFailed, Word.FAILED),
    (SealBroken, Word.BROKEN),
    (Unsupported, Word.UNSUPPORTED),
    (ConfigError, Word.WRONG),
    (Unavailable, Word.UNAVAILABLE),
)
_log = structlog.get_logger("gatepost.vault")
T = TypeVar("T", bound=str)


class Desk:
    """Answers questions about the keys of one custody."""

    def __init__(
        self,
        custody: Custody,
        lent: Mapping[str, Source],
        unlock: Callable[[str], None] | None = None,
    ) -> None:
        """`lent` are the sub-keys that workers may have, by purpose."""
        self._custody, self._lent, self._unlock = custody, lent, unlock
        self._open: dict[bytes, Holder] = {}
        self._unlocking = threading.Lock()

    def __call__(self, asked: Frame) -> Frame:
        """The answer; raises Malformed for what is no question."""
        try:
            return self._answer(asked)
        except Malformed:
            raise
        except GatepostError as error:
            word = next((word for kind, word in _SAID if isinstance(error, kind)), None)
            if word is Word.FAILED:
                return Frame(word)
            return Frame(word or Word.UNAVAILABLE, (str(error)[:_LONGEST].encode(),))
        except Exception as error:  # noqa: BLE001  others go on being served
            _log.error(Name.SERVICE_ERROR, service="keys", reason=type(error).__name__)
            return Frame(Word.UNAVAILABLE, (b"the key process could not do it: its log says more",))

    def _answer(self, asked: Frame) -> Frame:
        match asked.word, asked.fields:
            case Word.SIGN, (name, family, digest, salt, data):
                scheme = SignatureScheme(
                    _one_of(family, get_args(SignatureFamily)),
                    _one_of(digest, get_args(Digest)),
                    _salt(salt),
                )
                return self._used(name, lambda holder: holder.sign(data, scheme))
            case Word.UNWRAP, (name, family, digest, mask, label, encrypted):
                transport = KeyTransport(
                    "rsa-pkcs1" if _text(family) == "rsa-pkcs1" else "rsa-oaep",
                    _one_of(digest, get_args(Digest)),
                    _one_of(mask, get_args(Digest)),
                    label,
                )
                return self._used(name, lambda holder: holder.unwrap(encrypted, transport))
            case Word.AGREE, (name, point):
                return self._used(name, lambda holder: holder.agree(point))
            case Word.DECAPSULATE, (name, ciphertext):
                return self._used(name, lambda holder: holder.decapsulate(ciphertext))
            case Word.OPEN, (key_id, box):
                return self._opened(_text(key_id), box)
            case Word.SUBKEY, (purpose,) if source := self._lent.get(_text(purpose)):
                keys = source().keys
                return Frame(Word.DONE, tuple(one for pair in keys.items() for one in pair))
            case _:
                return self._taken(asked)

    def _taken(self, asked: Frame) -> Frame:
        """Questions that are rare."""
        match asked.word, asked.fields:
            case Word.MAKE, (algorithm, owner, label):
                made = self._custody.make(
                    _one_of(algorithm, get_args(Algorithm)),
                    _one_of(owner, get_args(Owner)),
                    _text(label),
                )
                key_id, box = self._custody.seal(made)
                return Frame(Word.DONE, (key_id.encode(), box, public_octets(made.public_key())))
            case Word.SEAL, (plain,):
                try:
                    key = load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
                except ValueError:
                    raise ConfigError("the private key cannot be read") from None
                key_id, box = self._custody.seal(key)
                return Frame(Word.DONE, (key_id.encode(), box))
            case Word.UNLOCK, (passphrase,):
                with self._unlocking:  # a guess takes its time, and many no less each
                    self._unlocked(_text(passphrase))
                return Frame(Word.DONE)
        raise Malformed("nobody knows this question")

    def _unlocked(self, passphrase: str) -> None:
        if self._unlock is None:
            raise ConfigError("this vault opens without a passphrase")
        self._unlock(passphrase)

    def _opened(self, key_id: str, box: bytes) -> Frame:
        opened = self._custody.open(key_id, box)
        if len(self._open) >= MAXIMUM_OPEN:
            self._open.clear()
        self._open[name_of(key_id, box)] = _holder(opened)
        public = opened.public if isinstance(opened, Held) else opened.public_key()
        return Frame(Word.DONE, (public_octets(public),))

    def _used(self, name: bytes, act: Callable[[Holder], bytes]) -> Frame:
        holder = self._open.get(name)
        return Frame(Word.FORGOTTEN) if holder is None else Frame(Word.DONE, (act(holder),))


def _holder(opened: Opened) -> Holder:
    return opened.holder if isinstance(opened, Held) else SoftwareKey(opened)


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Malformed("a word is not UTF-8") from None


def _one_of(octets: bytes, words: tuple[T, ...]) -> T:
    said = _text(octets)
    found = next((one for one in words if one == said), None)
    if found is None:
        raise Malformed("a word nobody knows")
    return found


def _salt(octets: bytes) -> int | None:
    if not octets:
        return None
    if not octets.isdigit() or len(octets) > 3 or int(octets) > _LONGEST_SALT:
        raise Malformed("no length of a salt")
    return int(octets)
