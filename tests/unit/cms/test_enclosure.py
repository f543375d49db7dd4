"""Lists and OCSP answers inside a signature: as others write and read them, and broken ones."""

from __future__ import annotations

from datetime import datetime

import pytest
from asn1crypto import cms as asn1  # type: ignore[import-untyped]  # it has no types
from asn1crypto import ocsp
from tests.pki_builder import user
from tests.unit.pki.forge import NOW, authority, forge
from tests.unit.pki.revoke import answered, listed

from gatepost.cms import der, enclosure, signed
from gatepost.cms.enclosure import Enclosed
from gatepost.mail.content import Octets, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
ALICE = user("alice@example.com", "p256")
LIST = Enclosed("crl", listed("Issuing").der)
ANSWER = Enclosed("ocsp", answered(forge("leaf", "Issuing"), authority("Issuing", "Root")).der)


def made(*enclosed: Enclosed, detached: bool = True, now: datetime = NOW) -> bytes:
    """A signature that carries these along."""
    return join(
        signed.sign(
            Octets(TEXT), [ALICE.signer], None, detached=detached, when=now, enclosed=enclosed
        )
    )


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("enclosed", [(LIST,), (ANSWER,), (ANSWER, LIST)])
def test_others_read_it(enclosed: tuple[Enclosed, ...], *, detached: bool) -> None:
    """A partner's program finds no evidence, or cannot read the mail at all."""
    octets = made(*enclosed, detached=detached)
    read = asn1.ContentInfo.load(octets, strict=True)["content"]
    # RFC 5652 section 5.1: 5 where anything but lists stands there
    assert read["version"].native == ("v5" if ANSWER in enclosed else "v1")
    found = {(one.name, one.chosen) for one in read["crls"]}
    assert {name for name, _ in found} == {
        "crl" if one.kind == "crl" else "other" for one in enclosed
    }
    for name, one in found:
        if name == "crl":
            assert one.dump() == LIST.der
        else:
            assert one["other_rev_info_format"].native == "ocsp_response"
            assert one["other_rev_info"].dump() == ANSWER.der
    again = signed.parse(octets)
    assert set(again.enclosed) == set(enclosed)
    (verdict,) = signed.verify(again, Octets(TEXT) if detached else None)
    assert verdict.intact


def test_others_write_it() -> None:
    """What another program enclosed is not found."""
    info = asn1.ContentInfo.load(made())
    body = info["content"]
    assert not body["crls"]
    other = asn1.OtherRevocationInfoFormat(
        {
            "other_rev_info_format": "ocsp_response",
            "other_rev_info": ocsp.OCSPResponse.load(ANSWER.der),
        }
    )
    body["version"] = "v5"
    body["crls"] = asn1.RevocationInfoChoices(
        [
            asn1.RevocationInfoChoice("other", other),
            asn1.RevocationInfoChoice("crl", asn1.CertificateList.load(LIST.der)),
        ]
    )
    found = signed.parse(info.dump(force=True))
    assert set(found.enclosed) == {ANSWER, LIST}
    (verdict,) = signed.verify(found, Octets(TEXT))
    assert verdict.intact


def test_the_smallest_signature_stays_as_it_was() -> None:
    """Old readers want version 1 and no field more."""
    read = asn1.ContentInfo.load(made(), strict=True)["content"]
    assert read["version"].native == "v1"
    assert not read["crls"]
    assert signed.parse(made()).enclosed == ()


@pytest.mark.parametrize(
    "inside",
    [
        b"\x04",  # cut short
        b"\x02\x01\x05",  # not a choice
        der.explicit(1),  # nothing in it
        der.explicit(1, der.oid("1.2.3"), der.NULL),  # of another kind
        der.explicit(1, der.oid("1.2.3"), der.NULL, der.NULL),
        der.explicit(1, der.NULL, der.NULL),
        der.sequence(bytes(enclosure.MAXIMUM_SIZE)),  # larger than anybody needs
    ],
)
def test_what_is_broken_is_passed_over(inside: bytes) -> None:
    """A mail that everybody else reads is broken for us by what nobody needs to read it."""
    found = signed.parse(made(Enclosed("crl", inside)))
    assert found.enclosed == ()
    (verdict,) = signed.verify(found, Octets(TEXT))
    assert verdict.intact


def test_no_more_than_a_few_are_looked_at() -> None:
    """A mail full of lists would keep us busy."""
    many = tuple(Enclosed("crl", listed("Issuing", number=one).der) for one in range(1, 20))
    assert len(signed.parse(made(*many)).enclosed) == enclosure.MAXIMUM
