"""A PKCS #11 token (OASIS PKCS #11 3.1): one session of one process, under the module's lock.

python-pkcs11 crashes with several sessions at once, so there is one lock per module.  Every
error of a call means the token: inputs are checked before.  Then the module is begun anew
and the call made once more; failing again is KeyUnavailable, which mail waits for (451).
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gatepost.errors import ConfigError, GatepostError, KeyUnavailable

Algorithm = Literal["p256", "rsa2048", "rsa3072"]

PAUSE: Final = 0.5  # seconds a token that failed is left alone
T = TypeVar("T")


@dataclass(slots=True)
class _Module:
    """A loaded library.  `epoch` counts how often it was begun."""

    path: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    epoch: int = 0


_modules: dict[str, _Module] = {}
_modules_lock = threading.Lock()


def _module(path: str) -> _Module:
    with _modules_lock:
        return _modules.setdefault(path, _Module(path))


class Token:
    """One token, found by its label; keys in it are known by their CKA_ID."""

    def __init__(
        self,
        module: str,
        label: str,
        pin: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self._module = _module(module)
        self._pin, self._clock = pin, clock
        self._session: Any = None
        self._epoch = -1
        self._keys: dict[bytes, Any] = {}
        self._refused = b""  # digest of a PIN that was wrong: three tries lock most tokens
        self._not_before, self._reason = 0.0, ""

    def __repr__(self) -> str:
        return f"Token({self.label!r})"

    def perform(self, identity: bytes, act: Callable[[Any], T]) -> T:
        """Do something with a private key; raises KeyUnavailable."""
        return self._do(lambda: act(self._key(identity)))

    def offers(self, mechanism: str) -> bool:
        """Whether the token has a mechanism, by its name without CKM_."""
        return self._do(lambda: mechanism in self._mechanisms())

    def make(self, algorithm: Algorithm, label: str) -> tuple[bytes, PublicKeyTypes]:
        """Make a key in the token that never leaves it; gives its CKA_ID and public half."""
        identity = os.urandom(16)
        return identity, self._do(lambda: self._made(algorithm, identity, label))

    def find(self, label: str) -> tuple[bytes, PublicKeyTypes]:
        """The key with this label, made by the token's own tools; raises ConfigError."""
        return self._do(lambda: self._found(label))

    # ── the session ──────────────────────────────────────────────────────────────────

    def _do(self, act: Callable[[], T]) -> T:
        with self._module.lock:
            if self._clock() < self._not_before:
                raise KeyUnavailable(self._reason)
            pkcs11 = _library()
            try:
                try:
                    self._opened()
                    return act()
                except (pkcs11.PKCS11Error, AttributeError):  # a handle of another session
                    self._begin()
                    return act()
            except pkcs11.PKCS11Error as error:
                raise self._lost(_said(error)) from error
            except KeyUnavailable as error:
                raise self._lost(str(error)) from error

    def _lost(self, reason: str) -> KeyUnavailable:
        self._session = None
        self._not_before = self._clock() + PAUSE
        self._reason = f"token {self.label!r} cannot be used: {reason}"
        return KeyUnavailable(self._reason)

    def _opened(self) -> None:
        if self._session is None or self._epoch != self._module.epoch:
            self._begin()

    def _begin(self) -> None:
        """A new session; unless another token of the module has done so, the module anew."""
        pkcs11 = _library()
        pin = self._right_pin()
        if self._epoch == self._module.epoch or not self._module.epoch:
            with suppress(pkcs11.PKCS11Error):
                pkcs11.lib(self._module.path).finalize()
            self._module.epoch += 1
        self._session, self._keys, self._epoch = None, {}, self._module.epoch
        library = pkcs11.lib(self._module.path)
        try:
            self._session = library.get_token(token_label=self.label).open(rw=True, user_pin=pin)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._refused = hashlib.sha256(pin.encode()).digest()
            raise KeyUnavailable("its PIN was wrong") from None

    def _right_pin(self) -> str:
        try:
            pin = self._pin()
        except GatepostError as error:
            raise KeyUnavailable(f"its PIN: {error}") from error
        if hashlib.sha256(pin.encode()).digest() == self._refused:
            raise KeyUnavailable("its PIN was wrong, and a token locks when it is tried again")
        return pin

    # ── under the lock, in a session ─────────────────────────────────────────────────

    def _key(self, identity: bytes) -> Any:
        found = self._keys.get(identity)
        if found is None:
            pkcs11 = _library()
            found = self._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=identity)
            self._keys[identity] = found
        return found

    def _mechanisms(self) -> set[str]:
        return {getattr(one, "name", "") for one in self._session.token.slot.get_mechanisms()}

    def _made(self, algorithm: Algorithm, identity: bytes, label: str) -> PublicKeyTypes:
        pkcs11 = _library()
        flag = pkcs11.MechanismFlag
        private = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        common = {"store": True, "id": identity, "label": label, "private_template": private}
        if algorithm == "p256":
            from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415  optional

            parameters = self._session.create_domain_parameters(
                pkcs11.KeyType.EC,
                {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
                local=True,
            )
            public, _ = parameters.generate_keypair(capabilities=flag.SIGN | flag.DERIVE, **common)
        else:
            public, _ = self._session.generate_keypair(
                pkcs11.KeyType.RSA,
                int(algorithm[3:]),
                capabilities=flag.SIGN | flag.VERIFY | flag.DECRYPT | flag.ENCRYPT,
                **common,
            )
        return _public(public)

    def _found(self, label: str) -> tuple[bytes, PublicKeyTypes]:
        pkcs11 = _library()
        wanted = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY,
            pkcs11.Attribute.LABEL: label,
        }
        found = list(self._session.get_objects(wanted))
        if len(found) != 1:
            raise ConfigError(
                f"token {self.label!r} has {len(found)} public keys labelled {label!r}, wanted one",
                hint="pkcs11-tool --list-objects shows what is there",
            )
        identity = bytes(found[0][pkcs11.Attribute.ID])
        if not identity:
            raise ConfigError(f"the key labelled {label!r} has no id (CKA_ID)")
        self._key(identity)
        return identity, _public(found[0])


def _public(key: Any) -> PublicKeyTypes:
    """The public half in cryptography's form."""
    pkcs11 = _library()
    if key[pkcs11.Attribute.KEY_TYPE] is pkcs11.KeyType.RSA:
        modulus = int.from_bytes(key[pkcs11.Attribute.MODULUS], "big")
        exponent = int.from_bytes(key[pkcs11.Attribute.PUBLIC_EXPONENT], "big")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if key[pkcs11.Attribute.KEY_TYPE] is pkcs11.KeyType.EC:
        from pkcs11.util.ec import encode_ec_public_key  # noqa: PLC0415  optional

        return load_der_public_key(encode_ec_public_key(key))
    raise ConfigError("the key in the token is neither RSA nor EC")


def _said(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415  optional
    except ImportError:
        raise KeyUnavailable("a token needs python-pkcs11: install gatepost[hsm]") from None
    return pkcs11
