"""What every peer can be asked, and how its messages are taken apart without our own code.

Some peers read and write whole messages, others bare CMS objects; for the latter the
standard library's parser and base64 do the MIME around them.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.interop.case import Envelope, Form, Signature
from tests.pki_builder import User

from gatepost.cms.capability import Secret

SECONDS = 60

Reader = User | Secret


class PeerRefusedError(Exception):
    """The peer said no, or gave an answer that is none."""


class Peer(Protocol):
    """One program with a home of its own.  A message here is its MIME fields and body."""

    @property
    def version(self) -> str:
        """What it calls itself."""
        ...

    def sign(self, entity: bytes, case: Signature, users: Sequence[User], form: Form) -> bytes:
        """Sign an entity; gives a message."""
        ...

    def verify(self, message: bytes) -> bytes:
        """Verify a message and its path to the root; gives the entity that was signed."""
        ...

    def encrypt(self, entity: bytes, case: Envelope, readers: Sequence[Reader]) -> bytes:
        """Encrypt an entity; gives a message."""
        ...

    def decrypt(self, message: bytes, reader: Reader) -> bytes:
        """Decrypt a message; gives the entity."""
        ...

    def compress(self, entity: bytes) -> bytes:
        """Compress an entity; gives a message."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


def people(readers: Sequence[Reader], program: str) -> list[User]:
    """Those with certificates, where a program knows no others."""
    found = [one for one in readers if isinstance(one, User)]
    if len(found) < len(readers):
        raise PeerRefusedError(f"{program} knows neither passwords nor shared keys")
    return found


def run(
    *command: str | Path,
    folder: Path,
    octets: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end; raises PeerRefusedError with what it said."""
    done = subprocess.run(
        [str(word) for word in command],
        input=octets or b"",
        capture_output=True,
        cwd=folder,
        env=None if environment is None else dict(environment),
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit {done.returncode}"
        raise PeerRefusedError(f"{Path(str(command[0])).name}: {said[-1500:]}")
    return done.stdout


def opaque(cms: bytes, smime_type: str) -> bytes:
    """A message around a CMS object."""
    return (
        f"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type={smime_type};"
        ' name="smime.p7m"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    ).encode() + base64.encodebytes(cms).replace(b"\n", b"\r\n")


def clear(entity: bytes, cms: bytes) -> bytes:
    """A message around an entity and its detached signature."""
    return (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/signed; micalg="sha-256";\r\n'
        b' protocol="application/pkcs7-signature"; boundary="interop-boundary"\r\n\r\n'
        b"--interop-boundary\r\n" + entity + b"\r\n--interop-boundary\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(cms).replace(b"\n", b"\r\n")
        + b"\r\n--interop-boundary--\r\n"
    )


def taken_apart(message: bytes) -> tuple[bytes, bytes | None]:
    """The CMS object of a message and, of a clear-signed one, the raw first part."""
    found = email.message_from_bytes(message, policy=email.policy.default)
    if not found.is_multipart():
        return _decoded(found.get_payload(decode=True)), None
    mark = b"--" + re.escape(str(found.get_boundary()).encode())
    first = re.search(
        rb"(?:\A|\r\n)" + mark + rb"\r\n(.*?)\r\n" + mark + rb"\r\n", message, re.DOTALL
    )
    assert first is not None
    *_, signature = found.iter_parts()
    return _decoded(signature.get_payload(decode=True)), first[1]


def _decoded(payload: object) -> bytes:
    assert isinstance(payload, bytes)
    return payload
