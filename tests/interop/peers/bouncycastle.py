"""BouncyCastle (Java): whole messages, through one long-lived program of our own."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from tests.conftest import absent
from tests.interop.case import Envelope, Form, Recipient, Signature
from tests.interop.peers.shape import SECONDS, PeerRefusedError, Reader, run
from tests.pki_builder import User

from gatepost.cms.capability import Password, Secret

SOURCE = Path(__file__).parent.parent / "java" / "BouncyCastlePeer.java"
JARS = ("bcprov", "bcutil", "bcpkix", "bcmail", "javax.mail", "javax.activation")
JAVA = Path("usr/share/java")  # Debian's Java policy, section 2.4

_PURE = {"ed25519": "Ed25519", "ed448": "Ed448"}


def class_path(root: Path) -> str:
    """Debian's jars under this root; the test ends here where one is missing."""
    jars = [root / JAVA / f"{name}.jar" for name in JARS]
    for jar in jars:
        if not jar.exists():
            absent(f"needs {jar.name} (scripts/install-peers)")
    return ":".join(map(str, jars))


def compiled(folder: Path, root: Path) -> Path:
    """The compiled program: built once, whoever of the parallel workers comes first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / f"{SOURCE.stem}.class").exists():
            words = ("-nowarn", "-Xlint:none", "-cp", class_path(root), "-d", folder)
            run("javac", *words, SOURCE, folder=folder)
    return folder


class Machine:
    """One Java process that obeys a line at a time."""

    def __init__(self, classes: Path, root: Path) -> None:
        words = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        words += ["-cp", f"{class_path(root)}:{classes}", SOURCE.stem]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.version = self.obey("version").rpartition(" v")[2]

    def obey(self, *words: str | Path) -> str:
        """Send one command; raises PeerRefusedError with the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode("utf-8", "replace").strip()
        word, _, rest = answer.partition(" ")
        if word != "ok":
            raise PeerRefusedError(f"BouncyCastle: {answer}")
        return rest

    def close(self) -> None:
        """Let it end by itself."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait(SECONDS)


class BouncyCastle:
    """The program in a folder of this test."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder = folder
        self.machine = machine

    @property
    def version(self) -> str:
        """Such as "BouncyCastle 1.72"."""
        return f"BouncyCastle {self.machine.version}"

    def sign(self, entity: bytes, case: Signature, users: Sequence[User], form: Form) -> bytes:
        """Sign with SMIMESignedGenerator."""
        signers = [self._signer(case, number, user) for number, user in enumerate(users)]
        return self._ask("sign", entity, form, case.trait, *signers)

    def _signer(self, case: Signature, number: int, user: User) -> str:
        certificates = [
            self._written(f"chain{number}.{place}", one.der)
            for place, one in enumerate((user.certificate, *user.chain))
        ]
        salt = "" if case.salt is None else str(case.salt)
        key = self._written(f"key{number}", user.key_der)
        return ";".join(map(str, (_algorithm(case, user), salt, key, *certificates)))

    def verify(self, message: bytes) -> bytes:
        """Verify the signature; the path is not looked at here."""
        return self._ask("verify", message)

    def encrypt(self, entity: bytes, case: Envelope, readers: Sequence[Reader]) -> bytes:
        """Encrypt with SMIMEEnvelopedGenerator or CMSAuthEnvelopedDataGenerator, always in BER."""
        pairs = enumerate(zip(case.recipients, readers, strict=True))
        words = [self._recipient(how, reader, number) for number, (how, reader) in pairs]
        return self._ask("encrypt", entity, case.cipher, case.trait, *words)

    def _recipient(self, how: Recipient, reader: Reader, number: int) -> str:
        if not isinstance(reader, User):
            return _secret(reader)
        certificate = self._written(f"recipient{number}", reader.certificate.der)
        return ";".join((*_transport(how), str(certificate)))

    def decrypt(self, message: bytes, reader: Reader) -> bytes:
        """Decrypt."""
        if not isinstance(reader, User):
            return self._ask("decrypt", message, _secret(reader))
        certificate = self._written("reader", reader.certificate.der)
        key = self._written("key", reader.key_der)
        return self._ask("decrypt", message, f"key;{key};{certificate}")

    def compress(self, entity: bytes) -> bytes:
        """Compress with SMIMECompressedGenerator."""
        return self._ask("compress", entity)

    def close(self) -> None:
        """The machine is shared by the session."""

    def _ask(self, verb: str, octets: bytes, *words: str | Path) -> bytes:
        made = self.folder / "out"
        made.unlink(missing_ok=True)
        self.machine.obey(verb, self._written("in", octets), made, *words)
        return made.read_bytes()

    def _written(self, name: str, octets: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(octets)
        return path


def _algorithm(case: Signature, user: User) -> str:
    """The Java name of a signature algorithm."""
    digest = case.digest.upper()
    if isinstance(user.key, ec.EllipticCurvePrivateKey):
        return f"{digest}withECDSA"
    if case.family == "rsa-pss":
        return f"{digest}withRSAandMGF1"
    return f"{digest}withRSA" if case.family == "rsa-pkcs1" else _named(case.family)


def _named(family: str) -> str:
    return _PURE.get(family, family.upper())


def _secret(secret: Secret) -> str:
    if isinstance(secret, Password):
        return f"password;{secret.octets.decode()}"
    return f"kek;{secret.key.hex()}"


def _transport(how: Recipient) -> tuple[str, ...]:
    if how.transport is not None:
        scheme = how.transport
        if scheme.family == "rsa-pkcs1":
            return ("pkcs1",)
        return ("oaep", scheme.digest, scheme.mgf_digest, scheme.label.decode())
    wrap = f"aes{how.size * 8}-wrap"
    if how.key.startswith("ml-kem"):
        return ("kem", wrap)
    if how.family == "hkdf":
        return ("agree", f"dhSinglePass_stdDH_hkdf_{how.digest}_scheme", wrap)
    kind = "ECCDH" if how.family == "cofactor" else "ECDH"
    return ("agree", f"{kind}_{how.digest.upper()}KDF", wrap)
