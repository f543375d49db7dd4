"""Wrap the key-encryption key, so that its file alone opens nothing.

`Wrap` is the interface: a key management service needs `wrap` and `unwrap` of 32 octets.
Here are a passphrase (scrypt, RFC 7914) and the transit engine of HashiCorp Vault or OpenBao.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.errors import KeyUnavailable

_COST: Final = 17  # scrypt's N is 2^17: 128 MiB and some tenths of a second
_HIGHEST_COST: Final = 20
_MEMORY: Final = (1 << 31) - 1
_SALT, _NONCE = 16, 12
_PATIENCE: Final = 5.0  # seconds for an answer of the service
_LONGEST: Final = 16_384  # octets of an answer


class Wrap(Protocol):
    """Something that wraps keys and unwraps them again."""

    @property
    def name(self) -> str:
        """What stands before a key it wrapped."""
        ...

    def wrap(self, key: bytes) -> str:
        """Printable text without a space; raises KeyUnavailable."""
        ...

    def unwrap(self, text: str) -> bytes:
        """Undo `wrap`; raises KeyUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase somebody knows, or a credential holds."""

    secret: str = field(repr=False)
    cost: int = _COST
    name: str = "passphrase"

    def wrap(self, key: bytes) -> str:
        """Seal under a key made from the passphrase."""
        head = bytes((self.cost,)) + os.urandom(_SALT + _NONCE)
        sealed = self._cipher(head).encrypt(head[-_NONCE:], key, head)
        return (head + sealed).hex()

    def unwrap(self, text: str) -> bytes:
        """Unseal; raises KeyUnavailable for another passphrase."""
        try:
            octets = bytes.fromhex(text)
            head = octets[: 1 + _SALT + _NONCE]
            if not 1 <= head[0] <= _HIGHEST_COST:
                raise KeyUnavailable(f"the key asks for 2^{head[0]} steps to be unwrapped")
            return self._cipher(head).decrypt(head[-_NONCE:], octets[len(head) :], head)
        except (ValueError, IndexError):
            raise KeyUnavailable("the wrapped key was cut short or altered") from None
        except InvalidTag:
            raise KeyUnavailable("the passphrase is not the one the key is wrapped with") from None

    def _cipher(self, head: bytes) -> AESGCM:
        salt = head[1 : 1 + _SALT]
        return AESGCM(
            hashlib.scrypt(
                self.secret.encode(), salt=salt, n=1 << head[0], r=8, p=1, maxmem=_MEMORY, dklen=32
            )
        )


class Locked(KeyUnavailable):
    """The vault is locked: nobody has typed its passphrase."""


class Typed:
    """A passphrase that is asked for when it is first needed, and then remembered."""

    name = "passphrase"

    def __init__(self, ask: Callable[[bool], str]) -> None:
        """`ask` is told whether it is a new one; it raises Locked when there is nobody to ask."""
        self._ask = ask
        self._known: Passphrase | None = None

    def wrap(self, key: bytes) -> str:
        """Seal under it; a new one is asked for where none is known."""
        if self._known is None:
            self._known = Passphrase(self._ask(True))
        return self._known.wrap(key)

    def unwrap(self, text: str) -> bytes:
        """Unseal; raises KeyUnavailable for another passphrase, which is forgotten."""
        passphrase = self._known or Passphrase(self._ask(False))
        key = passphrase.unwrap(text)
        self._known = passphrase
        return key

    def remember(self, passphrase: Passphrase) -> None:
        """Somebody typed it."""
        self._known = passphrase


@dataclass(frozen=True, slots=True)
class Transit:
    """A key in the transit engine of HashiCorp Vault: it wraps, and never leaves the service."""

    address: str  # https://vault.example.com:8200
    key: str
    token: str = field(repr=False)
    mount: str = "transit"
    name: str = "transit"

    def wrap(self, key: bytes) -> str:
        """POST /transit/encrypt/KEY."""
        said = self._ask("encrypt", "plaintext", base64.b64encode(key).decode(), "ciphertext")
        if not said.startswith("vault:") or not said.isascii() or any(map(str.isspace, said)):
            raise KeyUnavailable(f"{self.address} did not answer with a wrapped key")
        return said

    def unwrap(self, text: str) -> bytes:
        """POST /transit/decrypt/KEY."""
        said = self._ask("decrypt", "ciphertext", text, "plaintext")
        try:
            return base64.b64decode(said, validate=True)
        except (binascii.Error, ValueError):
            raise KeyUnavailable(f"{self.address} did not answer with a key") from None

    def _ask(self, act: str, name: str, value: str, wanted: str) -> str:
        import httpx2  # noqa: PLC0415  0.2 s that others save

        url = f"{self.address.rstrip('/')}/v1/{quote(self.mount)}/{act}/{quote(self.key, safe='')}"
        headers = {"X-Vault-Token": self.token, "X-Vault-Request": "true"}
        try:
            with httpx2.Client(timeout=_PATIENCE, trust_env=False) as client:
                answer = client.post(url, json={name: value}, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise KeyUnavailable(f"{self.address} cannot be reached: {error}") from error
        if answer.status_code != 200:
            raise KeyUnavailable(
                f"{self.address} answered {answer.status_code} to {act} with key {self.key!r}"
            )
        return self._field(answer.content, wanted)

    def _field(self, content: bytes, wanted: str) -> str:
        try:
            said: Any = json.loads(content[:_LONGEST])["data"][wanted]
        except (ValueError, KeyError, TypeError):
            said = None
        if not isinstance(said, str):
            raise KeyUnavailable(f"{self.address} did not answer as Vault does")
        return said
