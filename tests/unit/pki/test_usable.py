"""What a certificate may be used for."""

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.pki_builder import user
from tests.unit.pki.forge import NOW, forge

from gatepost.certificate import Certificate
from gatepost.pki.usable import Use, usable_for

ANY = [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]


@pytest.mark.parametrize(
    ("certificate", "use", "reason"),
    [
        (forge(), "sign", None),
        (forge(), "encrypt", None),
        (forge(purposes=None), "encrypt", None),
        (forge(purposes=ANY), "encrypt", None),
        (forge(purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]), "sign", "e-mail protection"),
        (forge(usages=["digital_signature"]), "sign", None),
        (forge(usages=["content_commitment"]), "sign", None),
        (forge(usages=["digital_signature"]), "encrypt", "keyAgreement"),
        (forge(usages=["key_agreement"]), "encrypt", None),
        (forge(usages=["key_agreement"]), "sign", "neither digitalSignature"),
        (forge(usages=["key_encipherment"]), "encrypt", "keyAgreement"),
        (forge(kind="rsa2048", usages=["key_encipherment"]), "encrypt", None),
        (forge(kind="rsa2048", usages=["key_agreement"]), "encrypt", "keyEncipherment"),
        (forge(kind="rsa1024"), "encrypt", "1024 bits"),
        (forge(kind="ed25519"), "sign", None),
        (forge(kind="ed25519"), "encrypt", "not supported for encryption"),
        (forge("x", "Root", kind="x25519"), "sign", "can only agree"),
        (forge("x", "Root", kind="x25519", usages=["key_agreement"]), "encrypt", None),
        (forge("x", "Root", kind="x25519", usages=["key_encipherment"]), "encrypt", "keyAgreement"),
        (user("k@x.example", kind="ml-kem-768").certificate, "encrypt", None),
        (user("k@x.example", kind="ml-kem-1024").certificate, "encrypt", None),
        (user("k@x.example", kind="ml-kem-768").certificate, "sign", "only encapsulate"),
        (forge(days=(-9, -1)), "encrypt", "expired on 2026-05-31"),
    ],
)
def test_each_rule(certificate: Certificate, use: Use, reason: str | None) -> None:
    """We would encrypt to a signature key, which its owner's card cannot open."""
    reasons = usable_for(certificate, use, NOW)
    assert (reason is None) == (reasons == ())
    assert reason is None or reason in reasons[0]


def test_every_reason_is_told_at_once() -> None:
    """An administrator would repair one thing only to meet the next."""
    bad = forge(kind="rsa1024", days=(-9, -1), purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])
    assert len(usable_for(bad, "sign", NOW)) == 3
