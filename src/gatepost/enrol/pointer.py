"""Where the world finds what became of our certificates (RFC 5280 sections 4.2.1.13 and 4.2.2.1).

The names in the certificates and the paths that are served come from here alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from gatepost.certificate import Certificate

OCSP = "/ocsp"
OBJECTS = "/pki/"


def crl_path(authority: Certificate) -> str:
    """Where an authority's list is served."""
    return f"{OBJECTS}{authority.fingerprint[:16]}.crl"


def certificate_path(authority: Certificate) -> str:
    """Where an authority's certificate is served."""
    return f"{OBJECTS}{authority.fingerprint[:16]}.cer"


@dataclass(frozen=True, slots=True)
class Pointers:
    """What our certificates say of where to ask; without an address nothing."""

    url: str = ""  # http://pki.example.com, no slash at its end

    def added(
        self, builder: x509.CertificateBuilder, issuer: Certificate, *, ocsp: bool
    ) -> x509.CertificateBuilder:
        """The builder with the pointers to the issuer's list, certificate and responder."""
        if not self.url:
            return builder
        places = [(Access.CA_ISSUERS, certificate_path(issuer))]
        if ocsp:  # a root that lies in a safe delegates to no responder
            places.insert(0, (Access.OCSP, OCSP))
        point = x509.DistributionPoint([self._name(crl_path(issuer))], None, None, None)
        return builder.add_extension(
            x509.CRLDistributionPoints([point]), critical=False
        ).add_extension(
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(oid, self._name(path)) for oid, path in places]
            ),
            critical=False,
        )

    def _name(self, path: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(self.url + path)
