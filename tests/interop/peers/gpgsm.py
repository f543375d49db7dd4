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
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from tests.interop.case import Envelope, Form, Signature
from tests.interop.peers.shape import (
    PeerRefusedError,
    Reader,
    clear,
    opaque,
    people,
    run,
    taken_apart,
)
from tests.pki_builder import Authority, User

PASSPHRASE = b"interop"
_FILED = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_CIPHERS = {
    "aes128-cbc": "AES128",
    "aes192-cbc": "AES192",
    "aes256-cbc": "AES256",
    "3des-cbc": "3DES",
}
_CURVES = {
    "secp256r1": b"NIST P-256",
    "secp384r1": b"NIST P-384",
    "secp521r1": b"NIST P-521",
    "brainpoolP256r1": b"brainpoolP256r1",
}
_AGENT = "allow-loopback-pinentry\ns2k-count 65536\n"  # else each use of a key takes 0.1 s
_BATCH = ("--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--disable-crl-checks")


def legacy_p12(user: User, name: bytes) -> bytes:
    """PKCS #12 with the encryption every program reads; not for keys that matter."""
    if not isinstance(user.key, _FILED):
        raise PeerRefusedError("no PKCS #12 file is made here with such a private key")
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


CurveKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey


def curve_key(key: CurveKey) -> bytes:
    """A private key as the agent's canonical S-expression."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curve = _CURVES[key.curve.name]
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        secret = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        curve, secret = b"Ed25519", key.private_bytes_raw()
        point = b"\x40" + key.public_key().public_bytes_raw()
    else:  # the other way round than in RFC 7748
        curve, secret = b"Curve25519", key.private_bytes_raw()[::-1]
        point = b"\x40" + key.public_key().public_bytes_raw()
    pairs = ((b"curve", curve), (b"q", point), (b"d", secret))
    inside = b"".join(b"(" + _atom(name) + _atom(value) + b")" for name, value in pairs)
    flags = {b"Ed25519": b"eddsa", b"Curve25519": b"djb-tweak"}.get(curve)
    if flags:
        inside = b"(" + _atom(b"flags") + _atom(flags) + b")" + inside
    return b"(" + _atom(b"private-key") + b"(" + _atom(b"ecc") + inside + b"))"


def _atom(octets: bytes) -> bytes:
    return str(len(octets)).encode() + b":" + octets


class Gpgsm:
    """gpgsm with a home that ends with the test; its path is short for the agent's socket."""

    def __init__(self, folder: Path, root: Authority, programs: Path | None = None) -> None:
        self.folder = folder
        self.programs = programs  # where gpgsm, gpgconf and gpg-agent are; None: on the PATH
        self.imported: set[User] = set()
        self.home = Path(tempfile.mkdtemp(prefix="gpgsm"))
        anchor = hashlib.sha1(root.certificate.der, usedforsecurity=False).hexdigest().upper()
        (self.home / "trustlist.txt").write_text(f"{anchor} S relax\n")
        (self.home / "gpg-agent.conf").write_text(_AGENT)
        if programs is not None:
            (self.home / "gpgsm.conf").write_text(f"agent-program {programs / 'gpg-agent'}\n")
        self._import(root.certificate.pem.encode())

    @property
    def version(self) -> str:
        """Such as "gpgsm 2.2.40"."""
        return "gpgsm " + self._run("--version").decode().split()[2]

    def sign(self, entity: bytes, case: Signature, users: Sequence[User], form: Form) -> bytes:
        """Sign; gpgsm chooses the scheme by the key and takes the digest we name."""
        if case.family == "rsa-pss":
            raise PeerRefusedError("gpgsm makes no RSASSA-PSS signatures")
        if case.trait in ("key-id", "no-attributes"):
            raise PeerRefusedError("gpgsm has no option for it")
        words: list[str] = []
        for user in users:
            self._import_key(user)
            words += ["-u", self._name(user)]
        kind = "--detach-sign" if form == "clear" else "--sign"
        words += ["--digest-algo", case.digest.upper(), "--include-certs", "-2", kind]
        made = self._run(*words, self._written("entity", entity))
        return clear(entity, made) if form == "clear" else opaque(made, "signed-data")

    def verify(self, message: bytes) -> bytes:
        """Verify; only a VALIDSIG with full trust, for each signer, counts."""
        cms, first = taken_apart(message)
        signature, content = self._written("signature", cms), self.folder / "content"
        words: tuple[str | Path, ...] = ("--status-fd", "1", "--verify")
        if first is None:
            content.unlink(missing_ok=True)
            status = self._run("--output", content, *words, signature)
        else:
            content.write_bytes(first)
            status = self._run(*words, signature, content)
        good = min(status.count(b" VALIDSIG "), status.count(b" TRUST_FULLY "))
        if not good or good != status.count(b" NEWSIG"):
            raise PeerRefusedError(status.decode("utf-8", "replace"))
        return content.read_bytes()

    def encrypt(self, entity: bytes, case: Envelope, readers: Sequence[Reader]) -> bytes:
        """Encrypt; CBC and PKCS #1 v1.5 or ECDH are all it makes."""
        if case.cipher not in _CIPHERS:
            raise PeerRefusedError(f"gpgsm does not encrypt with {case.cipher}")
        if any(how.transport and how.transport.family == "rsa-oaep" for how in case.recipients):
            raise PeerRefusedError("gpgsm has no option for RSAES-OAEP")
        words: list[str] = ["--cipher-algo", _CIPHERS[case.cipher]]
        for user in people(readers, "gpgsm"):
            self._import("".join(one.pem for one in (user.certificate, *user.chain)).encode())
            words += ["-r", self._name(user)]
        made = self._run(*words, "--encrypt", self._written("entity", entity))
        return opaque(made, "enveloped-data")

    def decrypt(self, message: bytes, reader: Reader) -> bytes:
        """Decrypt with the passphrase the key was imported with."""
        for user in people([reader], "gpgsm"):
            self._import_key(user)
        return self._run("--decrypt", self._written("encrypted", taken_apart(message)[0]))

    def compress(self, entity: bytes) -> bytes:
        """Not in gpgsm."""
        raise PeerRefusedError("gpgsm compresses nothing")

    def close(self) -> None:
        """End the agent of this home."""
        try:
            words = (self._program("gpgconf"), "--kill", "gpg-agent")
            run(*words, folder=self.folder, environment=self._environment())
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def _program(self, name: str) -> str:
        return name if self.programs is None else str(self.programs / name)

    def _import_key(self, user: User) -> None:
        if user in self.imported:
            return
        if isinstance(user.key, rsa.RSAPrivateKey):
            self._import_file(user)
        else:
            self._file_key(user)
        self.imported.add(user)

    def _import_file(self, user: User) -> None:
        for attempt in range(1, 4):
            try:
                self._run("--import", self._written("key.p12", legacy_p12(user, b"interop")))
                break
            except PeerRefusedError:  # one salt in many makes a file that gpgsm cannot decrypt
                if attempt == 3:
                    raise

    def _file_key(self, user: User) -> None:
        # gpgsm 2.2 crashes on PKCS #12 with curve keys: file the key as its agent does.
        if not isinstance(user.key, CurveKey):
            raise PeerRefusedError("no way is known to give gpgsm such a private key")
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
            self._program("gpgsm"),
            *_BATCH,
            *words,
            folder=self.folder,
            octets=PASSPHRASE + b"\n",
            environment=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "GNUPGHOME": str(self.home), "LC_ALL": "C"}
