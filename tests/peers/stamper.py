"""OpenSSL as a time stamping authority behind a web server (RFC 3161 section 3.4)."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from gatepost.certificate import Certificate
from gatepost.net.http import HttpAnswer, HttpRequest, HttpServer

_CONFIG = """[req]
distinguished_name = dn
prompt = no
[dn]
CN = Stamper
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[tsa]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa_config]
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
certs = ca.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@dataclass
class Stamper:
    """Makes its own CA in a folder of the test's."""

    folder: Path
    asked: list[bytes] = field(default_factory=list)
    is_dead: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "ts.cnf").write_text(_CONFIG)
        (self.folder / "serial").write_text("01\n")
        make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -config ts.cnf -days 9"
        self._openssl(*f"{make} -extensions ca -keyout ca.key -out ca.pem".split())
        signed = "-extensions tsa -CA ca.pem -CAkey ca.key -subj /CN=TSA"
        self._openssl(*f"{make} {signed} -keyout tsa.key -out tsa.pem".split())
        self.server = HttpServer("127.0.0.1", 0, {"/tsr": self._answer})

    @property
    def anchors(self) -> Path:
        """Its CA."""
        return self.folder / "ca.pem"

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The same, read."""
        return Certificate.from_pem(self.anchors.read_bytes())

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server.port}/tsr"

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        self.asked.append(request.body)
        if self.is_dead:
            return HttpAnswer(503)
        (self.folder / "q.tsq").write_bytes(request.body)
        command = "ts -reply -queryfile q.tsq -config ts.cnf -section tsa_config -out a.tsr"
        self._openssl(*command.split())
        answer = (self.folder / "a.tsr").read_bytes()
        return HttpAnswer(200, answer, "application/timestamp-reply")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
