"""OpenSSL's command line: reads and writes whole messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.interop.case import KEY_NAME, Envelope, Form, Recipient, Signature
from tests.interop.peers.shape import PeerRefusedError, Reader, run
from tests.pki_builder import Authority, User

from gatepost.cms.capability import KeyTransport, Password

_PSS = ("-keyopt", "rsa_padding_mode:pss")
_CIPHERS = {"3des-cbc": "-des3"}
_TRAITS = {"key-id": ("-keyid",), "no-attributes": ("-noattr",), "stream": ("-stream",)}


class OpenSsl:
    """`openssl cms` in a folder of its own."""

    def __init__(self, folder: Path, root: Authority, program: str = "openssl") -> None:
        self.folder = folder
        self.program = program
        self.anchor = self._written("root.pem", root.certificate.pem.encode())

    @property
    def version(self) -> str:
        """Such as "OpenSSL 3.0.22"."""
        said = run(self.program, "version", folder=self.folder).decode()
        return " ".join(said.split()[:2])

    def sign(self, entity: bytes, case: Signature, users: Sequence[User], form: Form) -> bytes:
        """Sign with the options an administrator would type."""
        words: list[str | Path] = []
        for number, user in enumerate(users):
            certificate, key = user.write(self.folder / f"signer{number}")
            words += ["-signer", certificate, "-inkey", key]
            if case.family == "rsa-pss":
                salt = "digest" if case.salt is None else case.salt
                words += [*_PSS, "-keyopt", f"rsa_pss_saltlen:{salt}"]
        chain = self._written("chain.pem", "".join(one.pem for one in users[0].chain).encode())
        words += ["-certfile", chain, "-md", case.digest, *_TRAITS.get(case.trait, ())]
        return self._run("-sign", *words, *_form(form), octets=entity)

    def verify(self, message: bytes) -> bytes:
        """Verify with the S/MIME purpose."""
        out = self.folder / "content"
        self._run(
            "-verify", "-CAfile", self.anchor, "-purpose", "smimesign", "-out", out, octets=message
        )
        return out.read_bytes()

    def encrypt(self, entity: bytes, case: Envelope, readers: Sequence[Reader]) -> bytes:
        """Encrypt to all; `-keyopt` belongs to the `-recip` before it."""
        if case.trait in ("attributes", "in-enveloped"):
            raise PeerRefusedError("openssl cms has no option for it")
        words: list[str | Path] = []
        for number, (how, reader) in enumerate(zip(case.recipients, readers, strict=True)):
            words += self._recipient(how, reader, self.folder / f"recipient{number}")
        head, _, mode = case.cipher.partition("-")
        cipher = _CIPHERS.get(case.cipher, f"-{head[:3]}-{head[3:]}-{mode}")
        return self._run("-encrypt", cipher, *_TRAITS.get(case.trait, ()), *words, octets=entity)

    def _recipient(self, how: Recipient, reader: Reader, folder: Path) -> list[str | Path]:
        if isinstance(reader, Password):
            return ["-pwri_password", reader.octets.decode()]
        if not isinstance(reader, User):
            return ["-secretkey", reader.key.hex(), "-secretkeyid", KEY_NAME.hex()]
        certificate, _ = reader.write(folder)
        options = [word for option in _options(how) for word in ("-keyopt", option)]
        return ["-recip", certificate, *options]

    def decrypt(self, message: bytes, reader: Reader) -> bytes:
        """Decrypt; on a wrong key it may print garbage and exit 0, so compare what comes."""
        out = self.folder / "plain"
        words: list[str | Path]
        if isinstance(reader, User):
            certificate, key = reader.write(self.folder / "reader")
            words = ["-recip", certificate, "-inkey", key]
        else:
            words = self._recipient(Recipient("kek"), reader, self.folder)
        self._run("-decrypt", *words, "-out", out, octets=message)
        return out.read_bytes()

    def compress(self, entity: bytes) -> bytes:
        """Compress with zlib, which not every build has."""
        return self._run("-compress", octets=entity)

    def close(self) -> None:
        """Nothing runs on."""

    def _run(self, *words: str | Path, octets: bytes) -> bytes:
        return run(self.program, "cms", *words, folder=self.folder, octets=octets)

    def _written(self, name: str, octets: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(octets)
        return path


def _form(form: Form) -> tuple[str, ...]:
    return ("-nodetach",) if form == "opaque" else ()


def _options(how: Recipient) -> Iterator[str]:
    if how.transport is not None:
        yield from _transport(how.transport)
    elif how.key in ("p256", "p384", "p521", "bp256"):
        yield f"ecdh_kdf_md:{how.digest}"
        if how.family == "cofactor":
            yield "ecdh_cofactor_mode:1"


def _transport(transport: KeyTransport) -> Iterator[str]:
    if transport.family == "rsa-oaep":
        yield "rsa_padding_mode:oaep"
        yield f"rsa_oaep_md:{transport.digest}"
        yield f"rsa_mgf1_md:{transport.mgf_digest}"
        if transport.label:
            yield f"rsa_oaep_label:{transport.label.hex()}"
