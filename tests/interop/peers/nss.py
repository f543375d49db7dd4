"""Mozilla's NSS: cmsutil for bare CMS objects, keys in a database of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.interop.peers.gpgsm import PASSPHRASE, legacy_p12
from tests.interop.peers.shape import Form, PeerRefusedError, clear, opaque, run, taken_apart
from tests.pki_builder import Authority, User


class Nss:
    """cmsutil, certutil and pk12util on one new database."""

    def __init__(self, folder: Path, root: Authority) -> None:
        self.folder = folder
        self.database = f"sql:{folder / 'database'}"
        (folder / "database").mkdir()
        self._run("certutil", "-N", "--empty-password")
        self._add("root", root.certificate.pem, "CT,C,C")

    def sign(self, entity: bytes, user: User, algorithm: str, form: Form) -> bytes:
        """Sign; NSS chooses the scheme by the key."""
        if "pss" in algorithm:
            raise PeerRefusedError("cmsutil has no option for RSASSA-PSS")
        self._import_key(user)
        digest = algorithm.rpartition("-")[2].upper()
        detached = ("-T",) if form == "clear" else ()
        made = self._cms(
            "-S", "-N", user.certificate.emails[0], "-H", digest, "-G", *detached, octets=entity
        )
        return clear(entity, made) if form == "clear" else opaque(made, "signed-data")

    def verify(self, message: bytes, root: Authority) -> bytes:
        """Verify; the status is a line of its report."""
        del root  # trusted since the database was made
        cms, first = taken_apart(message)
        words: tuple[str | Path, ...] = ("-D", "-h", "1", "-n")
        if first is not None:
            content = self.folder / "content"
            content.write_bytes(first)
            words += ("-c", content)
        status = self._cms(*words, octets=cms)
        if b".status=GoodSignature;" not in status:
            raise PeerRefusedError(status.decode("utf-8", "replace"))
        return first if first is not None else self._cms("-D", octets=cms)

    def encrypt(self, entity: bytes, users: Sequence[User], cipher: str, transport: str) -> bytes:
        """Encrypt; NSS chooses the cipher and the transport by the recipients' keys."""
        if "oaep" in transport:
            raise PeerRefusedError("cmsutil has no option for RSAES-OAEP")
        if cipher != "aes128-cbc":
            raise PeerRefusedError(f"cmsutil has no option for {cipher}")
        for user in users:
            self._add("issuer", user.chain[0].pem, ",,")
            self._add(user.certificate.emails[0], user.certificate.pem, ",,")
        names = ",".join(user.certificate.emails[0] for user in users)
        return opaque(self._cms("-E", "-r", names, octets=entity), "enveloped-data")

    def decrypt(self, message: bytes, user: User) -> bytes:
        """Decrypt."""
        self._import_key(user)
        return self._cms("-D", octets=taken_apart(message)[0])

    def close(self) -> None:
        """Nothing runs on."""

    def _import_key(self, user: User) -> None:
        path = self.folder / "key.p12"
        path.write_bytes(legacy_p12(user, user.certificate.emails[0].encode()))
        self._run("pk12util", "-i", path, "-W", PASSPHRASE.decode(), "-K", "")

    def _add(self, name: str, pem: str, trust: str) -> None:
        path = self.folder / "added.pem"
        path.write_text(pem)
        self._run("certutil", "-A", "-n", name, "-t", trust, "-i", path)

    def _cms(self, *words: str | Path, octets: bytes) -> bytes:
        given, made = self.folder / "in", self.folder / "out"
        given.write_bytes(octets)
        made.unlink(missing_ok=True)
        self._run("cmsutil", *words, "-i", given, "-o", made)
        return made.read_bytes()

    def _run(self, program: str, *words: str | Path) -> None:
        run(program, *words, "-d", self.database, folder=self.folder, octets=b"")
