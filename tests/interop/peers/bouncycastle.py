"""BouncyCastle (Java): whole messages, through one long-lived program of our own."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import absent
from tests.interop.peers.shape import SECONDS, Form, PeerRefusedError, run
from tests.pki_builder import Authority, User

SOURCE = Path(__file__).parent.parent / "java" / "BouncyCastlePeer.java"
JARS = ("bcprov", "bcutil", "bcpkix", "bcmail", "javax.mail", "javax.activation")
JAVA = Path("/usr/share/java")  # Debian's Java policy, section 2.4

_SIGNATURES = {
    "rsa-pkcs1-sha256": "SHA256withRSA",
    "rsa-pkcs1-sha512": "SHA512withRSA",
    "rsa-pss-sha256": "SHA256withRSAandMGF1",
    "ecdsa-p256-sha256": "SHA256withECDSA",
    "ecdsa-p384-sha384": "SHA384withECDSA",
}
_TRANSPORTS = {"rsa-pkcs1": "pkcs1", "rsa-oaep-sha256": "oaep", "ecdh-sha256": "ecdh"}


def class_path() -> str:
    """Debian's jars; the test ends here where one is missing."""
    jars = [JAVA / f"{name}.jar" for name in JARS]
    for jar in jars:
        if not jar.exists():
            absent(f"needs {jar.name} (scripts/install-peers)")
    return ":".join(map(str, jars))


def compiled(folder: Path) -> Path:
    """The compiled program: built once, whoever of the parallel workers comes first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / f"{SOURCE.stem}.class").exists():
            run("javac", "-nowarn", "-cp", class_path(), "-d", folder, SOURCE, folder=folder)
    return folder


class Machine:
    """One Java process that obeys a line at a time."""

    def __init__(self, classes: Path) -> None:
        words = ["java", "-Xmx256m", "-cp", f"{class_path()}:{classes}", SOURCE.stem]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def obey(self, *words: str | Path) -> None:
        """Send one command; raises PeerRefusedError with the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode("utf-8", "replace").strip()
        if answer != "ok":
            raise PeerRefusedError(f"BouncyCastle: {answer}")

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

    def sign(self, entity: bytes, user: User, algorithm: str, form: Form) -> bytes:
        """Sign with SMIMESignedGenerator."""
        certificates = [
            self._written(f"chain{number}", one.der)
            for number, one in enumerate((user.certificate, *user.chain))
        ]
        key = self._written("key", user.key_der)
        return self._ask("sign", entity, _SIGNATURES[algorithm], form, key, *certificates)

    def verify(self, message: bytes, root: Authority) -> bytes:
        """Verify the signature; the path is not looked at here."""
        del root
        return self._ask("verify", message)

    def encrypt(self, entity: bytes, users: Sequence[User], cipher: str, transport: str) -> bytes:
        """Encrypt with SMIMEEnvelopedGenerator or CMSAuthEnvelopedDataGenerator."""
        certificates = [
            self._written(f"recipient{number}", user.certificate.der)
            for number, user in enumerate(users)
        ]
        return self._ask("encrypt", entity, cipher, _TRANSPORTS[transport], *certificates)

    def decrypt(self, message: bytes, user: User) -> bytes:
        """Decrypt."""
        certificate = self._written("reader", user.certificate.der)
        return self._ask("decrypt", message, self._written("key", user.key_der), certificate)

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
