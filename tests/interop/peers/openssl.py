"""OpenSSL's command line: reads and writes whole messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.interop.peers.shape import Form, run
from tests.pki_builder import Authority, User

_SIGNATURES = {
    "rsa-pkcs1-sha256": ("-md", "sha256"),
    "rsa-pkcs1-sha512": ("-md", "sha512"),
    "rsa-pss-sha256": ("-md", "sha256", "-keyopt", "rsa_padding_mode:pss"),
    "ecdsa-p256-sha256": ("-md", "sha256"),
    "ecdsa-p384-sha384": ("-md", "sha384"),
}
_TRANSPORTS = {
    "rsa-pkcs1": (),
    "rsa-oaep-sha256": (
        *("-keyopt", "rsa_padding_mode:oaep"),
        *("-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256"),
    ),
    "rsa-oaep-sha1": ("-keyopt", "rsa_padding_mode:oaep"),
    "ecdh-sha256": ("-keyopt", "ecdh_kdf_md:sha256"),
    "ecdh-sha1": (),
}
_CIPHERS = {
    "aes128-cbc": "-aes-128-cbc",
    "aes192-cbc": "-aes-192-cbc",
    "aes256-cbc": "-aes-256-cbc",
    "aes128-gcm": "-aes-128-gcm",
    "aes256-gcm": "-aes-256-gcm",
    "3des-cbc": "-des3",
}


@dataclass(frozen=True, slots=True)
class OpenSsl:
    """`openssl cms` in a folder of its own."""

    folder: Path
    streaming: bool = False  # BER with indefinite lengths

    def sign(self, entity: bytes, user: User, algorithm: str, form: Form) -> bytes:
        """Sign with the options an administrator would type."""
        certificate, key = user.write(self.folder / "signer")
        chain = self._written("chain.pem", "".join(one.pem for one in user.chain).encode())
        return self._run(
            *("-sign", "-signer", certificate, "-inkey", key, "-certfile", chain),
            *_SIGNATURES[algorithm],
            *(("-nodetach",) if form == "opaque" else ()),
            *(("-stream",) if self.streaming else ()),
            octets=entity,
        )

    def verify(self, message: bytes, root: Authority) -> bytes:
        """Verify with the S/MIME purpose."""
        anchor = self._written("root.pem", root.certificate.pem.encode())
        out = self.folder / "content"
        self._run(
            "-verify", "-CAfile", anchor, "-purpose", "smimesign", "-out", out, octets=message
        )
        return out.read_bytes()

    def encrypt(self, entity: bytes, users: Sequence[User], cipher: str, transport: str) -> bytes:
        """Encrypt to all; `-keyopt` belongs to the `-recip` before it."""
        recipients: list[str | Path] = []
        for number, user in enumerate(users):
            certificate, _ = user.write(self.folder / f"recipient{number}")
            recipients += ["-recip", certificate, *_TRANSPORTS[transport]]
        streaming = ("-stream",) if self.streaming else ()
        return self._run("-encrypt", _CIPHERS[cipher], *streaming, *recipients, octets=entity)

    def decrypt(self, message: bytes, user: User) -> bytes:
        """Decrypt; on a wrong key it may print garbage and exit 0, so compare what comes."""
        certificate, key = user.write(self.folder / "reader")
        out = self.folder / "plain"
        self._run("-decrypt", "-recip", certificate, "-inkey", key, "-out", out, octets=message)
        return out.read_bytes()

    def close(self) -> None:
        """Nothing runs on."""

    def _run(self, *words: str | Path, octets: bytes) -> bytes:
        return run("openssl", "cms", *words, folder=self.folder, octets=octets)

    def _written(self, name: str, octets: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(octets)
        return path
