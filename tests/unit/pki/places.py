"""Certificates that say where to ask: for their issuer, for lists, for answers."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID
from tests.pki_builder import Authority, MlKemKey, MontgomeryKey, PureKey

from gatepost.certificate import Certificate


def pointing(one: Certificate, issuer: Authority, *urls: str) -> Certificate:
    """The same certificate, issued again with these caIssuers."""
    kind = AuthorityInformationAccessOID.CA_ISSUERS
    said = [x509.AccessDescription(kind, x509.UniformResourceIdentifier(url)) for url in urls]
    return again(one, issuer, x509.AuthorityInformationAccess(said))


def asking(
    one: Certificate, issuer: Authority, *, lists: str = "", responder: str = ""
) -> Certificate:
    """The same, issued again with a place of lists, or of a responder."""
    extensions: list[x509.ExtensionType] = []
    if lists:
        where = [x509.UniformResourceIdentifier(lists)]
        point = x509.DistributionPoint(where, None, None, None)
        extensions.append(x509.CRLDistributionPoints([point]))
    if responder:
        kind, place = AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder)
        said = [x509.AccessDescription(kind, place)]
        extensions.append(x509.AuthorityInformationAccess(said))
    return again(one, issuer, *extensions)


def again(one: Certificate, issuer: Authority, *extensions: x509.ExtensionType) -> Certificate:
    """The same, issued again with these extensions, too."""
    old = one.x509
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for each in old.extensions:
        builder = builder.add_extension(each.value, critical=each.critical)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    assert not isinstance(issuer.key, MontgomeryKey | MlKemKey | PureKey)
    made = builder.sign(issuer.key, hashes.SHA256())
    return Certificate.from_der(made.public_bytes(Encoding.DER))
