"""SCRAM-SHA-256: a password proven without being sent (RFC 5802, RFC 7677).

A server keeps a `Verifier`, from which the password cannot be read.  Channel binding
is not offered; a client that asks for it is refused (RFC 5802 section 6).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from gatepost.errors import Malformed

ITERATIONS: Final = 15_000  # RFC 7677 section 4: "at least 4096"; RFC 8600 hints at more
_LEAST, _MOST = 4096, 1_000_000  # as a client: no downgrade, no burning of our processor
_NONCE: Final = re.compile(r"[!-+\--~]{1,200}\Z")  # printable but the comma
_CLIENT_FIRST: Final = re.compile(r"([ny]),(?:a=([^,]*))?,(n=([^,]*),r=([^,]*))\Z")
_CLIENT_FINAL: Final = re.compile(r"(c=([^,]*),r=([^,]*)),p=([^,]*)\Z")
_SERVER_FIRST: Final = re.compile(r"r=([^,]*),s=([^,]*),i=([0-9]{1,9})(?:,.*)?\Z")
_TEXT: Final = re.compile(r"SCRAM-SHA-256\$([0-9]{1,9}):([^$:]+)\$([^$:]+):([^$:]+)\Z")


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server knows about a password (RFC 5802 section 3)."""

    salt: bytes
    iterations: int
    stored: bytes = field(repr=False)
    server: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
        """Derive one from a password; raises Malformed when it cannot be one."""
        salted = _salted(password, salt, iterations)
        stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
        return cls(salt, iterations, stored, _mac(salted, b"Server Key"))

    @classmethod
    def decoy(cls, name: str, secret: bytes) -> Verifier:
        """One that no password satisfies, the same each time: nobody learns which names exist."""
        salt = _mac(secret, name.encode())[:16]
        return cls(salt, ITERATIONS, _mac(secret, salt + b"s"), _mac(secret, salt + b"k"))

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read `SCRAM-SHA-256$iterations:salt$stored:server` (the form PostgreSQL uses)."""
        found = _TEXT.match(text.strip())
        if found is None:
            raise Malformed("a verifier has the form SCRAM-SHA-256$iterations:salt$stored:server")
        salt, stored, server = (_octets(found[i]) for i in (2, 3, 4))
        if len(stored) != 32 or len(server) != 32 or not salt:
            raise Malformed("the verifier's keys must have 32 octets each")
        if not 1 <= int(found[1]) <= _MOST:
            raise Malformed(f"a verifier has between 1 and {_MOST} iterations")
        return cls(salt, int(found[1]), stored, server)

    def __str__(self) -> str:
        salt, stored, server = (_text(x) for x in (self.salt, self.stored, self.server))
        return f"SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"

    def accepts(self, password: str) -> bool:
        """Whether this is the password; as slow as an attacker's guess."""
        try:
            other = Verifier.of(password, self.salt, self.iterations)
        except Malformed:
            return False
        return hmac.compare_digest(other.stored, self.stored)


class ServerProof:
    """The server's part of one exchange."""

    def __init__(self, nonce: str) -> None:
        self._own = nonce
        self._bare = self._first = self._nonce = self._header = ""
        self._verifier: Verifier | None = None
        self.name = ""

    def receive(self, first: bytes) -> str:
        """Take client-first-message; returns the name to look up.  Raises Malformed."""
        found = _CLIENT_FIRST.match(_decoded(first))
        if found is None or not _NONCE.match(found[5]):
            raise Malformed("malformed client-first-message")
        self.name = prepared(_unescaped(found[4]))
        if not self.name or (found[2] and _unescaped(found[2]) != self.name):
            raise Malformed("nobody acts for somebody else here")
        self._bare, self._nonce = found[3], found[5] + self._own
        self._header = f"{found[1]},{'a=' + found[2] if found[2] is not None else ''},"
        return self.name

    def challenge(self, verifier: Verifier) -> bytes:
        """The server-first-message."""
        self._verifier = verifier
        self._first = f"r={self._nonce},s={_text(verifier.salt)},i={verifier.iterations}"
        return self._first.encode()

    def judge(self, final: bytes) -> bytes | None:
        """The server-final-message; None: the proof is wrong.  Raises Malformed."""
        found, verifier = _CLIENT_FINAL.match(_decoded(final)), self._verifier
        if found is None or verifier is None:
            raise Malformed("malformed client-final-message")
        if found[3] != self._nonce or _octets(found[2]) != self._header.encode():
            raise Malformed("the client-final-message belongs to another exchange")
        said = f"{self._bare},{self._first},{found[1]}".encode()
        signature = _mac(verifier.stored, said)
        proof = _octets(found[4])
        if len(proof) != len(signature):
            raise Malformed("malformed proof")
        key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(key).digest(), verifier.stored):
            return None
        return b"v=" + _text(_mac(verifier.server, said)).encode()


class ClientProof:
    """The client's part of one exchange."""

    def __init__(self, name: str, password: str, nonce: str) -> None:
        self._password = password
        escaped = prepared(name).replace("=", "=3D").replace(",", "=2C")
        self._bare, self._own = f"n={escaped},r={nonce}", nonce
        self._signature = b""
        self.is_assured = False  # the server knows the password too

    def first(self) -> bytes:
        """The client-first-message."""
        return f"n,,{self._bare}".encode()

    def prove(self, first: bytes) -> bytes:
        """The client-final-message for a server-first-message; raises Malformed."""
        text = _decoded(first)
        found = _SERVER_FIRST.match(text)
        if found is None or not found[1].startswith(self._own) or found[1] == self._own:
            raise Malformed("malformed server-first-message")
        iterations = int(found[3])
        if not _LEAST <= iterations <= _MOST:
            raise Malformed(f"the server asks for {iterations} iterations")
        salted = _salted(self._password, _octets(found[2]), iterations)
        final = f"c=biws,r={found[1]}"
        said = f"{self._bare},{text},{final}".encode()
        key = _mac(salted, b"Client Key")
        signature = _mac(hashlib.sha256(key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._signature = _mac(_mac(salted, b"Server Key"), said)
        return f"{final},p={_text(proof)}".encode()

    def check(self, final: bytes) -> None:
        """Take the server-final-message; raises Malformed when the server is an impostor."""
        if not self._signature or not hmac.compare_digest(
            final, b"v=" + _text(self._signature).encode()
        ):
            raise Malformed("the server does not know the password")
        self.is_assured = True


def prepared(text: str) -> str:
    """SASLprep (RFC 4013) of a stored string; raises Malformed for what it prohibits."""
    if text.isascii():
        if any(c < " " or c == "\x7f" for c in text):
            raise Malformed("control characters in a name or password")
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibits(c) for c in normal for prohibits in _PROHIBITED):
        raise Malformed("characters in a name or password that RFC 4013 prohibits")
    if any(map(stringprep.in_table_d1, normal)) and (
        any(map(stringprep.in_table_d2, normal))
        or not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1]))
    ):
        raise Malformed("a name or password runs in two directions")  # RFC 3454 section 6
    return normal


_PROHIBITED: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("malformed base64 in a SCRAM message") from None


def _decoded(message: bytes) -> str:
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a SCRAM message is no UTF-8") from None


def _unescaped(name: str) -> str:
    """RFC 5802 section 5.1: "=2C" is a comma, "=3D" an equals sign, no other "=" may stand."""
    plain = name.replace("=2C", ",")
    if "=" in plain.replace("=3D", ""):
        raise Malformed("malformed name in a SCRAM message")
    return plain.replace("=3D", "=")
