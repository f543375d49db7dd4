"""The mock server of `openssl cmp` (RFC 9810): it answers what it was started to answer."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ACCEPTING = re.compile(rb"ACCEPT \S*:(\d+)")


@dataclass
class CmpServer:
    """One server on loopback that gives out one certificate."""

    folder: Path
    certificate: bytes  # PEM
    issuers: bytes = b""
    reference: str = "gateway"
    password: str = "open sesame"
    options: tuple[str, ...] = ()
    signer: tuple[Path, Path] | None = None  # certificate and key; then it knows no password
    trusted: Path | None = None  # anchors of who signs requests; then nothing else is accepted
    port: int = field(init=False, default=0)

    def __enter__(self) -> Self:
        for name, octets in (("leaf.pem", self.certificate), ("above.pem", self.issuers)):
            (self.folder / name).write_bytes(octets)
        proof: tuple[str, ...] = ("-srv_secret", f"pass:{self.password}")
        if self.signer is not None:
            certificate, key = map(str, self.signer)
            proof = ("-srv_cert", certificate, "-srv_key", key)
            if self.trusted is None:
                proof += ("-accept_unprotected",)
            else:
                proof += ("-srv_trusted", str(self.trusted), "-srv_secret", f"pass:{self.password}")
        above = ("-rsp_extracerts", "above.pem") if self.issuers else ()
        with (self.folder / "cmp.log").open("wb") as log:
            self._process = subprocess.Popen(
                (
                    *("openssl", "cmp", "-port", "0", "-srv_ref", "the-authority"),
                    *proof,
                    *("-rsp_cert", "leaf.pem", *above, *self.options),
                ),
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := ACCEPTING.search(line):
                self.port = int(found[1])
                return self
        raise AssertionError((self.folder / "cmp.log").read_text())

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=60)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/pkix/"
