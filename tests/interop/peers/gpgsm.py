"""GnuPG's gpgsm: bare CMS objects, keys behind an agent of its own home."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from tests.interop.peers.shape import Form, PeerRefusedError, clear, opaque, run, taken_apart
from tests.pki_builder import Authority, User

PASSPHRASE = b"interop"
_CIPHERS = {"aes128-cbc": "AES128", "aes192-cbc": "AES192", "aes256-cbc": "AES256"}
_BATCH = ("--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--disable-crl-checks")


def legacy_p12(user: User, name: bytes) -> bytes:
    """PKCS #12 with the encryption every program reads; not for keys that matter."""
    assert isinstance(user.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2048)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(PASSPHRASE)
    )
    chain = [one.x509 for one in user.chain]
    return pkcs12.serialize_key_and_certificates(
        name, user.key, user.certificate.x509, chain, encryption
    )


def curve_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as the agent's canonical S-expression."""
    curve = {"secp256r1": b"NIST P-256", "secp384r1": b"NIST P-384"}[key.curve.name]
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    secret = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    pairs = ((b"curve", curve), (b"q", point), (b"d", secret))
    inside = b"".join(b"(" + _atom(name) + _atom(value) + b")" for name, value in pairs)
    return b"(" + _atom(b"private-key") + b"(" + _atom(b"ecc") + inside + b"))"


def _atom(octets: bytes) -> bytes:
    return str(len(octets)).encode() + b":" + octets


class Gpgsm:
    """gpgsm with a home that ends with the test; its path is short for the agent's socket."""

    def __init__(self, folder: Path, root: Authority) -> None:
        self.folder = folder
        self.home = Path(tempfile.mkdtemp(prefix="gpgsm"))
        anchor = hashlib.sha1(root.certificate.der, usedforsecurity=False).hexdigest().upper()
        (self.home / "trustlist.txt").write_text(f"{anchor} S relax\n")
        (self.home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        self._import(root.certificate.pem.encode())

    def sign(self, entity: bytes, user: User, algorithm: str, form: Form) -> bytes:
        """Sign; gpgsm chooses the scheme by the key and takes the digest we name."""
        if "pss" in algorithm:
            raise PeerRefusedError("gpgsm makes no RSASSA-PSS signatures")
        self._import_key(user)
        digest = algorithm.rpartition("-")[2].upper()
        kind = "--detach-sign" if form == "clear" else "--sign"
        words = ("--digest-algo", digest, "--include-certs", "-2", "-u", self._name(user), kind)
        made = self._run(*words, self._written("entity", entity))
        return clear(entity, made) if form == "clear" else opaque(made, "signed-data")

    def verify(self, message: bytes, root: Authority) -> bytes:
        """Verify; only a VALIDSIG with full trust counts."""
        del root  # trusted since the home was made
        cms, first = taken_apart(message)
        signature, content = self._written("signature", cms), self.folder / "content"
        words: tuple[str | Path, ...] = ("--status-fd", "1", "--verify")
        if first is None:
            content.unlink(missing_ok=True)
            status = self._run("--output", content, *words, signature)
        else:
            content.write_bytes(first)
            status = self._run(*words, signature, content)
        if b"VALIDSIG" not in status or b"TRUST_FULLY" not in status:
            raise PeerRefusedError(status.decode("utf-8", "replace"))
        return content.read_bytes()

    def encrypt(self, entity: bytes, users: Sequence[User], cipher: str, transport: str) -> bytes:
        """Encrypt; CBC and PKCS #1 v1.5 or ECDH are all it makes."""
        if cipher not in _CIPHERS:
            raise PeerRefusedError(f"gpgsm does not encrypt with {cipher}")
        if "oaep" in transport:
            raise PeerRefusedError("gpgsm has no RSAES-OAEP")
        words: list[str] = ["--cipher-algo", _CIPHERS[cipher]]
        for user in users:
            self._import("".join(one.pem for one in (user.certificate, *user.chain)).encode())
            words += ["-r", self._name(user)]
        made = self._run(*words, "--encrypt", self._written("entity", entity))
        return opaque(made, "enveloped-data")

    def decrypt(self, message: bytes, user: User) -> bytes:
        """Decrypt with the passphrase the key was imported with."""
        self._import_key(user)
        return self._run("--decrypt", self._written("encrypted", taken_apart(message)[0]))

    def close(self) -> None:
        """End the agent of this home."""
        try:
            run("gpgconf", "--kill", "all", folder=self.folder, environment=self._environment())
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def _import_key(self, user: User) -> None:
        if isinstance(user.key, rsa.RSAPrivateKey):
            self._run("--import", self._written("key.p12", legacy_p12(user, b"interop")))
            return
        # gpgsm 2.2 crashes on PKCS #12 with curve keys: file the key as its agent does.
        assert isinstance(user.key, ec.EllipticCurvePrivateKey)
        self._import("".join(one.pem for one in (user.certificate, *user.chain)).encode())
        listed = self._run("--with-colons", "--with-keygrip", "-k").decode()
        grip = re.search(rf"{self._name(user)[2:]}.*?\ngrp:+(\w+):", listed, re.DOTALL)
        assert grip is not None
        folder = self.home / "private-keys-v1.d"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / f"{grip[1]}.key").write_bytes(curve_key(user.key))

    def _import(self, pem: bytes) -> None:
        self._run("--import", self._written("import.pem", pem))

    def _written(self, name: str, octets: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(octets)
        return path

    def _name(self, user: User) -> str:
        return "0x" + hashlib.sha1(user.certificate.der, usedforsecurity=False).hexdigest().upper()

    def _run(self, *words: str | Path) -> bytes:
        """Data is always a file: what comes on standard input is the passphrase."""
        return run(
            "gpgsm",
            *_BATCH,
            *words,
            folder=self.folder,
            octets=PASSPHRASE + b"\n",
            environment=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "GNUPGHOME": str(self.home), "LC_ALL": "C"}
