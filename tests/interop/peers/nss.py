"""Mozilla's NSS: cmsutil for bare CMS objects, keys in a database of its own."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.interop.case import Envelope, Form, Signature
from tests.interop.peers.gpgsm import PASSPHRASE, legacy_p12
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

_NAME = "interop"


class Nss:
    """cmsutil, certutil and pk12util on one new database."""

    def __init__(self, folder: Path, root: Authority, programs: Path | None = None) -> None:
        self.folder = folder
        self.root = root
        self.programs = programs  # where they are; None: on the PATH
        self.owner: User | None = None
        self.database = ""
        self._begin()

    def _begin(self) -> None:
        """An empty database: certificates with the same subject get in each other's way."""
        made = tempfile.mkdtemp(prefix="database", dir=self.folder)
        self.database = f"sql:{made}"
        self._run("certutil", "-N", "--empty-password")
        self._add("root", self.root.certificate.pem, "CT,C,C")

    @property
    def version(self) -> str:
        """The tools do not tell: what their library says of itself."""
        return "NSS " + nss_version(self.programs)

    def sign(self, entity: bytes, case: Signature, users: Sequence[User], form: Form) -> bytes:
        """Sign; NSS chooses the scheme by the key."""
        if case.family == "rsa-pss":
            raise PeerRefusedError("cmsutil has no option for RSASSA-PSS")
        if len(users) > 1 or case.trait in ("key-id", "no-attributes"):
            raise PeerRefusedError("cmsutil has no option for it")
        self._import_key(users[0])
        detached = ("-T",) if form == "clear" else ()
        words = ("-S", "-N", _NAME, "-H", case.digest.upper(), "-G", *detached)
        made = self._cms(*words, octets=entity)
        return clear(entity, made) if form == "clear" else opaque(made, "signed-data")

    def verify(self, message: bytes) -> bytes:
        """Verify; the status of each signer is a line of its report."""
        cms, first = taken_apart(message)
        words: tuple[str | Path, ...] = ("-D", "-h", "1", "-n")
        if first is not None:
            content = self.folder / "content"
            content.write_bytes(first)
            words += ("-c", content)
        status = self._cms(*words, octets=cms)
        good = status.count(b".status=GoodSignature;")
        if not good or good != status.count(b".status="):
            raise PeerRefusedError(status.decode("utf-8", "replace"))
        return first if first is not None else self._cms("-D", octets=cms)

    def encrypt(self, entity: bytes, case: Envelope, readers: Sequence[Reader]) -> bytes:
        """Encrypt; NSS chooses the cipher and the transport by the recipients' keys."""
        if any(how.transport and how.transport.family == "rsa-oaep" for how in case.recipients):
            raise PeerRefusedError("cmsutil has no option for RSAES-OAEP")
        if case.cipher != "aes128-cbc":
            raise PeerRefusedError(f"cmsutil has no option for {case.cipher}")
        self._begin()
        self.owner, names = None, []
        for user in people(readers, "cmsutil"):
            self._add("issuer", user.chain[0].pem, ",,")
            self._add(user.certificate.emails[0], user.certificate.pem, ",,")
            names.append(user.certificate.emails[0])
        made = self._cms("-E", "-r", ",".join(names), octets=entity)
        return opaque(made, "enveloped-data")

    def decrypt(self, message: bytes, reader: Reader) -> bytes:
        """Decrypt."""
        for user in people([reader], "cmsutil"):
            self._import_key(user)
        return self._cms("-D", octets=taken_apart(message)[0])

    def compress(self, entity: bytes) -> bytes:
        """Not in cmsutil."""
        raise PeerRefusedError("cmsutil compresses nothing")

    def close(self) -> None:
        """Nothing runs on."""

    def _import_key(self, user: User) -> None:
        if self.owner != user:
            self._begin()
            self.owner = None
            path = self.folder / "key.p12"
            path.write_bytes(legacy_p12(user, _NAME.encode()))
            self._run("pk12util", "-i", path, "-W", PASSPHRASE.decode(), "-K", "")
            self.owner = user

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
        path = program if self.programs is None else self.programs / program
        run(path, *words, "-d", self.database, folder=self.folder, octets=b"")


def nss_version(programs: Path | None) -> str:
    """From a string every release has in its library."""
    roots = [Path("/usr/lib")] if programs is None else [programs.parent / "root/usr/lib"]
    for library in (found for root in roots for found in root.glob("**/libnss3.so")):
        said = re.search(rb"NSS (\d+\.\d+(?:\.\d+)?)[ \x00]", library.read_bytes())
        if said:
            return said[1].decode()
    return "of an unknown version"
