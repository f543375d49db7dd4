"""A company's two-tier authority made and run by the openssl program, for servers in tests.

It looks at requests, signs them and wraps what it issues as PKCS #7: nothing of it is ours.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_PROFILES = """
[issuing]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
[user]
basicConstraints=critical,CA:FALSE
extendedKeyUsage=emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
[server]
subjectAltName=DNS:localhost,IP:127.0.0.1
extendedKeyUsage=serverAuth
authorityKeyIdentifier=keyid
[client]
extendedKeyUsage=clientAuth
authorityKeyIdentifier=keyid
"""
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class BadRequest(Exception):
    """The program says what is wrong with a request."""


@dataclass(frozen=True)
class OpensslAuthority:
    """Everything lies in one folder: root.pem, issuing.pem, their keys."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "OpensslAuthority":
        """A new root and an issuing authority below it."""
        folder.mkdir(parents=True, exist_ok=True)
        one = cls(folder)
        (folder / "profiles.cnf").write_text(_PROFILES)
        one._run(
            *("req", "-x509", *_CURVE, "-subj", "/O=Peer/CN=Peer Root", "-days", "30"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", "root.key", "-out", "root.pem"),
        )
        one.certify("issuing", "/O=Peer/CN=Peer Issuing", "issuing", issuer="root")
        return one

    @property
    def root(self) -> Path:
        """The anchor."""
        return self.folder / "root.pem"

    def certify(
        self,
        name: str,
        subject: str,
        profile: Literal["issuing", "server", "client"],
        issuer: str = "issuing",
    ) -> tuple[Path, Path]:
        """A key made here and its certificate, with the issuing authority's behind it."""
        request = self._run("req", "-new", *_CURVE, "-subj", subject, "-keyout", f"{name}.key")
        leaf = self._signed(request, profile, issuer, days=20)
        above = b"" if issuer == "root" else (self.folder / "issuing.pem").read_bytes()
        (self.folder / f"{name}.pem").write_bytes(leaf + above)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def verified(self, der: bytes) -> bytes:
        """A request as PEM, its proof of possession checked; raises BadRequest."""
        return self._run("req", "-inform", "DER", "-verify", data=der)

    def issued(self, der: bytes, *, days: int = 10) -> bytes:
        """A certificate for a request, in PEM; raises BadRequest."""
        return self._signed(self.verified(der), "user", "issuing", days=days)

    def bag(self, *pems: bytes) -> bytes:
        """Certificates as PKCS #7 in DER."""
        return self._run(
            *("crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", "/dev/stdin"),
            data=b"".join(pems),
        )

    def _signed(self, request: bytes, profile: str, issuer: str, *, days: int) -> bytes:
        return self._run(
            *("x509", "-req", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"),
            *("-copy_extensions", "copyall", "-extfile", "profiles.cnf", "-extensions", profile),
            *("-days", str(days)),
            data=request,
        )

    def _run(self, *words: str, data: bytes = b"") -> bytes:
        done = subprocess.run(
            ("openssl", *words), cwd=self.folder, input=data, capture_output=True, check=False
        )
        if done.returncode:
            raise BadRequest(done.stderr.decode("utf-8", "replace"))
        return done.stdout
