"""An authority outside that issues upon request, or answers as a test tells it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from gatepost.certificate import Certificate
from gatepost.enrol import profile
from gatepost.enrol.profile import Issuer
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.vault.custody import generate


class Outside:
    """An authority that answers as it is told."""

    name = "outside"

    def __init__(self, now: datetime) -> None:
        self.root_key, self.key = generate("p256"), generate("p256")
        self.root = profile.root("Outside", self.root_key, now)
        self.ca = profile.issuing("Outside", self.key, Issuer(self.root, self.root_key), now, None)
        self.life = timedelta(days=365)
        self.asked: list[str] = []
        self.wanted: list[Wanted] = []
        self.answers: list[Callable[[Wanted, datetime], Issued | Pending]] = []

    def issue(self, wanted: Wanted, now: datetime) -> Issued:
        request = x509.load_der_x509_csr(wanted.request)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        [name] = names.value.get_values_for_type(x509.RFC822Name)
        usage = request.extensions.get_extension_for_class(x509.KeyUsage).value
        return Issued((self.made(name, request.public_key(), usage, now), self.ca))

    def made(self, name: str, key: object, usage: x509.KeyUsage, now: datetime) -> Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self.ca.x509.subject)
            .public_key(key)  # type: ignore[arg-type]  # of a request
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + self.life)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(name)]), critical=False)
            .add_extension(usage, critical=True)
        )
        return Certificate.from_x509(builder.sign(self.key, SHA256()))

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        return self._answer("request", wanted, now)

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        return self._answer(f"collect {state}", wanted, now)

    def _answer(self, asked: str, wanted: Wanted, now: datetime) -> Issued | Pending:
        self.asked.append(asked)
        self.wanted.append(wanted)
        return (self.answers.pop(0) if self.answers else self.issue)(wanted, now)


def later(state: str) -> Callable[[Wanted, datetime], Pending]:
    return lambda _wanted, _now: Pending(state, timedelta(minutes=10), "an approval")


def failing(error: Exception) -> Callable[[Wanted, datetime], Pending]:
    def answer(_wanted: Wanted, _now: datetime) -> Pending:
        raise error

    return answer
