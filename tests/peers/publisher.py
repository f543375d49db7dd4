"""A partner's CA that publishes: a list for its people's certificates, OCSP, a list of its root."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.peers.pages import Pages
from tests.pki_builder import Authority, User, company_root
from tests.unit.pki.places import asking

from gatepost.certificate import Certificate

DAY = timedelta(days=1)


@dataclass
class Publisher:
    """Whoever is in `stolen` is revoked with the next list or answer; `said` has all of them."""

    site: Pages
    name: str = "Publishing"
    stolen: set[int] = field(default_factory=set)
    said: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = company_root(self.name)
        plain = self.root.authority(f"{self.name} Issuing CA")
        shown = asking(plain.certificate, self.root, lists=self.site.url("root.crl"))
        self.issuing = Authority(shown, plain.key, (shown,))
        self._known: dict[int, Certificate] = {}
        self.site.pages["root.crl"] = lambda _: self._list(self.root)
        self.site.pages["issuing.crl"] = lambda _: self._list(self.issuing)
        self.site.pages["ocsp"] = self._answer

    def user(self, address: str, *, responder: bool = False) -> User:
        """Somebody whose certificate names the list, or else the responder."""
        made = self.issuing.user(address, kind="p256")
        places = (
            {"responder": self.site.url("ocsp")}
            if responder
            else {"lists": self.site.url("issuing.crl")}
        )
        shown = asking(made.certificate, self.issuing, **places)
        self._known[shown.serial] = shown
        return User(shown, made.key, made.chain)

    def revoke(self, one: User) -> None:
        """His key was stolen."""
        self.stolen.add(one.certificate.serial)

    def _list(self, issuer: Authority) -> bytes:
        now = datetime.now(UTC).replace(microsecond=0)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.x509.subject)
            .last_update(now)
            .next_update(now + DAY)
            .add_extension(x509.CRLNumber(len(self.said) + 1), critical=False)
        )
        for serial in sorted(self.stolen):
            entry = x509.RevokedCertificateBuilder(serial, now)
            entry = entry.add_extension(x509.CRLReason(_STOLEN), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        made = builder.sign(_key(issuer), hashes.SHA256())
        return self._saying(made.public_bytes(Encoding.DER))

    def _answer(self, question: bytes) -> bytes:
        now = datetime.now(UTC).replace(microsecond=0)
        asked = ocsp.load_der_ocsp_request(question)
        bad = asked.serial_number in self.stolen
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self._known[asked.serial_number].x509,
            issuer=self.issuing.certificate.x509,
            algorithm=hashes.SHA256(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if bad else ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + DAY,
            revocation_time=now if bad else None,
            revocation_reason=_STOLEN if bad else None,
        )
        signer = self.issuing.certificate.x509
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, signer)
        made = builder.sign(_key(self.issuing), hashes.SHA256())
        return self._saying(made.public_bytes(Encoding.DER))

    def _saying(self, der: bytes) -> bytes:
        self.said.append(der)
        return der


def _key(one: Authority) -> ec.EllipticCurvePrivateKey:
    assert isinstance(one.key, ec.EllipticCurvePrivateKey)
    return one.key


_STOLEN = x509.ReasonFlags.key_compromise
