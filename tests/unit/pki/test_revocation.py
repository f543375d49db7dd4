"""Revoked certificates, by list and by answer, and what is not known."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.unit.pki.forge import DAY, NOW, authority, forge, key, name
from tests.unit.pki.revoke import answered, listed, revoked, scope

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence, moved
from gatepost.pki.ocsp import Answer
from gatepost.pki.place import delta_places
from gatepost.pki.validate import Anchors, PathReport, validate

ROOT = authority("Root")
ISSUING = authority("Issuing", "Root", path_length=0)
LEAF = forge("leaf", "Issuing")
ROOT_LIST = listed("Root")
GOOD, REVOKED, UNKNOWN = "good", "revoked", "unknown"
KEY, FLAGS = x509.ReasonFlags.key_compromise, frozenset({x509.ReasonFlags.key_compromise})


def judge(
    *lists: Crl, leaf: Certificate = LEAF, answers: tuple[Answer, ...] = (), **changes: Any
) -> PathReport:
    evidence = Evidence((ROOT_LIST, *lists), answers, **changes)
    anchors = Anchors(frozenset({ROOT}), frozenset({ISSUING}), evidence)
    return validate(leaf, (), anchors, moment=NOW)


def status(*lists: Crl, **changes: Any) -> str:
    report = judge(*lists, **changes)
    assert report.trusted == (report.revocation[0].status == GOOD)
    return report.revocation[0].status


def test_without_evidence_nobody_asks() -> None:
    """Every mail would be distrusted as soon as a server for lists is down."""
    report = validate(LEAF, (), Anchors(frozenset({ROOT}), frozenset({ISSUING})), moment=NOW)
    assert report.trusted
    assert report.revocation == ()


def test_listed_or_not() -> None:
    """A stolen key would go on signing."""
    assert status(listed("Issuing", [revoked(12345)])) == GOOD
    report = judge(listed("Issuing", [revoked(LEAF.serial)]))
    assert report.reasons == ("'leaf' was revoked on 2026-05-31 (keyCompromise)",)
    assert not report.trusted


def test_a_revoked_authority() -> None:
    """A broken CA's certificates would count until they expire."""
    report = judge(listed("Issuing"), listed("Root", [revoked(ISSUING.serial)], number=2))
    assert not report.trusted
    assert "'Issuing' was revoked" in report.reasons[0]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "there is no list of its issuer"),
        ([listed("Issuing", days=(-9, -1))], "it was to be renewed by 2026-05-31 12:00 UTC"),
        ([listed("Issuing", days=(1, 9))], "it is from the future"),
        ([listed("Issuing", signing=key("p256", "Mallory"))], "nobody trusted signed it"),
        ([listed("Issuing", number=None)], "it has no number"),
        (
            [listed("Issuing", extra=[scope(only_contains_ca_certs=True)])],
            "it lists authorities' certificates only",
        ),
        (
            [listed("Issuing", extra=[scope(only_contains_attribute_certs=True)])],
            "it lists attribute certificates only",
        ),
        (
            [listed("Issuing", extra=[scope(only_some_reasons=FLAGS)])],
            "not every reason is covered",
        ),
        (
            [
                listed(
                    "Issuing",
                    extra=[scope(full_name=[x509.UniformResourceIdentifier("http://a.example/1")])],
                )
            ],
            "it is for another distribution point",
        ),
        (
            [
                listed(
                    "Issuing",
                    extra=[
                        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)
                    ],
                )
            ],
            "a critical extension that is not understood: 1.2.3",
        ),
    ],
)
def test_what_is_not_known_says_why(found: list[Crl], why: str) -> None:
    """Whoever holds back a list, or sends an old one, would undo the revocation."""
    report = judge(*found)
    assert not report.trusted
    assert why in report.reasons[0]
    soft = judge(*found, required=False)
    assert soft.trusted
    assert why in soft.revocation[0].reason


def test_grace() -> None:
    """One failed download of a list would stop all mail at once."""
    old = listed("Issuing", days=(-9, -1))
    assert status(old, grace=2 * DAY) == GOOD
    assert status(old, grace=timedelta(hours=23)) == UNKNOWN


@pytest.mark.parametrize("grace", [timedelta(), DAY])
def test_a_list_that_counts_until_the_calendar_ends(grace: timedelta) -> None:
    """Whoever publishes such a list, as RFC 5280 lets him, stops the mail of everybody."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    forever = listed("Issuing", days=(-1, (last - NOW) / DAY))
    assert forever.next_update == last
    assert status(forever, grace=grace) == GOOD
    first = listed("Issuing", days=((datetime(1950, 1, 1, tzinfo=UTC) - NOW) / DAY, 1))
    assert status(first, grace=grace) == GOOD
    assert moved(datetime.min.replace(tzinfo=UTC), -DAY) == datetime.min.replace(tzinfo=UTC)


def test_delta() -> None:
    """What was revoked since the last whole list would be missed."""
    base, indicator = listed("Issuing", number=5), (x509.DeltaCRLIndicator(5), True)
    assert status(base, listed("Issuing", [revoked(LEAF.serial)], number=6, extra=[indicator])) == (
        REVOKED
    )
    assert status(listed("Issuing", number=6, extra=[indicator])) == UNKNOWN  # without its base
    held = listed("Issuing", [revoked(LEAF.serial)], number=5)
    freed = [revoked(LEAF.serial, x509.ReasonFlags.remove_from_crl)]
    assert status(held, listed("Issuing", freed, number=6, extra=[indicator])) == GOOD
    other = listed("Issuing", freed, number=6, extra=[(x509.DeltaCRLIndicator(9), True)])
    assert status(held, other) == REVOKED


def test_a_delta_keeps_its_base_alive() -> None:
    """A CA that signs whole lists each month and deltas each hour would be unknown for weeks."""
    base = listed("Issuing", number=5, days=(-9, -1))
    indicator = (x509.DeltaCRLIndicator(5), True)
    fresh = listed("Issuing", number=7, extra=[indicator])
    report = judge(base, fresh)
    assert report.revocation[0].proofs == (base, fresh)
    assert report.revocation[0].this_update == fresh.this_update
    assert status(base, listed("Issuing", number=7, days=(-9, -2), extra=[indicator])) == UNKNOWN
    forged = listed("Issuing", number=7, extra=[indicator], signing=key("p256", "Mallory"))
    assert status(base, forged) == UNKNOWN
    gone = listed("Issuing", [revoked(LEAF.serial)], number=6, extra=[indicator])
    back = [revoked(LEAF.serial, x509.ReasonFlags.remove_from_crl)]
    freed = listed("Issuing", back, number=8, days=(-0.5, 1), extra=[indicator])
    assert status(base, gone) == REVOKED
    assert status(base, freed, gone) == GOOD  # the newest delta speaks for all before


def test_where_deltas_are_told() -> None:
    """A revocation of the last hour would be heard with the next whole list, in a month."""
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://a.example/d.crl")], None, None, None
    )
    told = listed("Issuing", extra=[(x509.FreshestCRL([point]), False)])
    assert told.freshest == ("http://a.example/d.crl",)
    assert Crl.from_der(told.der).digest == told.digest
    leaf = forge("leaf", "Issuing", extra=[(x509.FreshestCRL([point]), False)])
    assert delta_places(leaf) == ("http://a.example/d.crl",)
    assert delta_places(LEAF) == ()


def test_required_where_somebody_could_be_asked() -> None:
    """A partner whose own CA has no list could never be written to."""
    strict: dict[str, Any] = {"where_told": True}
    assert judge(**strict).trusted
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://a.example/")], None, None, None
    )
    asked = forge("leaf", "Issuing", extra=[(x509.CRLDistributionPoints([point]), False)])
    assert not judge(leaf=asked, **strict).trusted


@pytest.mark.parametrize(("before", "expected"), [(15, GOOD), (16, UNKNOWN)])
def test_no_more_points_than_anybody_has(before: int, expected: str) -> None:
    """One certificate with thousands of points would keep a processor busy for seconds."""
    names = [*(f"No {number}" for number in range(before)), "Lists"]
    points = [
        x509.DistributionPoint(None, None, None, [x509.DirectoryName(name(one))]) for one in names
    ]
    leaf = forge("leaf", "Issuing", extra=[(x509.CRLDistributionPoints(points), False)])
    signer = authority("Lists", "Root", ca=False, usages=("crl_sign",))
    found = listed("Lists", extra=[scope(indirect_crl=True)])
    assert status(found, leaf=leaf, certificates=(signer,)) == expected


def test_indirect() -> None:
    """A list that one authority keeps for others would be unreadable, or count for all."""
    point = x509.DistributionPoint(None, None, None, [x509.DirectoryName(name("Lists"))])
    leaf = forge("leaf", "Issuing", extra=[(x509.CRLDistributionPoints([point]), False)])
    signer = authority("Lists", "Root", ca=False, usages=("crl_sign",))
    theirs = (x509.CertificateIssuer([x509.DirectoryName(name("Issuing"))]), True)
    indirect = [scope(indirect_crl=True)]
    bad = listed("Lists", [revoked(leaf.serial, extra=[theirs])], extra=indirect)
    assert status(bad, leaf=leaf, certificates=(signer,)) == REVOKED
    foreign = listed("Lists", [revoked(leaf.serial)], extra=indirect)  # the same serial, theirs
    assert status(foreign, leaf=leaf, certificates=(signer,)) == GOOD
    assert status(foreign, leaf=leaf) == UNKNOWN  # its signer is not known
    assert status(listed("Lists"), leaf=leaf, certificates=(signer,)) == UNKNOWN  # not indirect
    stranger = authority("Lists", "", ca=False, usages=("crl_sign",))
    assert status(foreign, leaf=leaf, certificates=(stranger,)) == UNKNOWN


def test_a_list_by_a_key_that_may_not_sign_lists() -> None:
    """Any certificate below a CA could clear itself."""
    weak = authority("Weak", "Root", usages=("key_cert_sign",))
    report = validate(
        forge("a", "Weak"),
        (weak,),
        Anchors(frozenset({ROOT}), evidence=Evidence((ROOT_LIST, listed("Weak")))),
        moment=NOW,
    )
    assert "nobody trusted signed it" in report.reasons[0]


def test_a_signer_of_lists_whose_list_is_its_own() -> None:
    """A proof in a circle would prove, or never end."""
    point = x509.DistributionPoint(None, None, None, [x509.DirectoryName(name("Own"))])
    where = (x509.CRLDistributionPoints([point]), False)
    signer = authority("Own", "Root", ca=False, usages=("crl_sign",), extra=[where])
    leaf = forge("leaf", "Issuing", extra=[where])
    circle = listed("Own", extra=[scope(indirect_crl=True)])
    only = Evidence((circle,), certificates=(signer,))
    anchors = Anchors(frozenset({ROOT}), frozenset({ISSUING}), only)
    assert not validate(leaf, (), anchors, moment=NOW).trusted


def test_verdicts_change_when_a_list_ends() -> None:
    """A remembered verdict would outlive the list it rests on."""
    short = listed("Issuing", days=(-1, 0.5 / 24))
    anchors = Anchors(frozenset({ROOT}), frozenset({ISSUING}), Evidence((ROOT_LIST, short)))
    for minutes, trusted in ((29, True), (31, False), (29, True)):
        moment = NOW + timedelta(minutes=minutes)
        assert validate(LEAF, (), anchors, moment=moment).trusted is trusted


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x00", b"-----BEGIN X509 CRL-----"])
def test_what_is_no_list_or_answer(octets: bytes) -> None:
    """An error page in place of a list would stop the gateway."""
    with pytest.raises(Malformed):
        Crl.from_der(octets)
    with pytest.raises(Malformed):
        Answer.from_der(octets)


def test_damaged_lists_and_answers() -> None:
    """One bit flipped on the way would stop the gateway instead of being judged."""
    entries = [revoked(LEAF.serial)]
    crl = listed("Issuing", entries, extra=[scope(indirect_crl=True)])
    whole = crl.parsed.public_bytes(Encoding.DER)
    answer = answered(LEAF, ISSUING).der
    for position in range(len(whole)):
        with suppress(Malformed):
            judge(Crl.from_der(_flipped(whole, position)))
    for position in range(len(answer)):
        with suppress(Malformed):
            assert status(answers=(Answer.from_der(_flipped(answer, position)),)) != REVOKED


def _flipped(octets: bytes, position: int) -> bytes:
    changed = bytearray(octets)
    changed[position] ^= 1 << position % 8
    return bytes(changed)


def test_a_list_of_thousands() -> None:
    """Each mail would search through a list of megabytes."""
    crl = listed("Issuing", [revoked(10_000 + n, None) for n in range(2_000)])
    issuer = LEAF.folded_issuer
    assert crl.entry(issuer, 11_999) is not None
    start = time.process_time()
    for serial in range(20_000):
        crl.entry(issuer, serial)
    assert (time.process_time() - start) / 20_000 < 0.000_01  # ten times what it takes


# OCSP

SIGNING = [ExtendedKeyUsageOID.OCSP_SIGNING]
BAD = ocsp.OCSPCertStatus.REVOKED


def test_an_answer_of_the_issuer() -> None:
    """Revocation told by OCSP only would not be heard."""
    assert status(answers=(answered(LEAF, ISSUING),)) == GOOD
    assert status(answers=(answered(LEAF, ISSUING, BAD),)) == REVOKED
    assert status(answers=(answered(LEAF, ISSUING, ocsp.OCSPCertStatus.UNKNOWN),)) == UNKNOWN
    assert status(listed("Issuing"), answers=(answered(LEAF, ISSUING, BAD),)) == REVOKED


def test_an_answer_of_a_delegate() -> None:
    """Most responders sign with a certificate of their own; not every certificate may."""
    exempt = (x509.OCSPNoCheck(), False)
    for responder, expected in (
        (forge("r", "Issuing", purposes=SIGNING, extra=[exempt]), GOOD),
        (forge("r", "Issuing", extra=[exempt]), UNKNOWN),  # not for OCSP
        (forge("r", "Root", purposes=SIGNING, extra=[exempt]), UNKNOWN),  # another issuer's
        (forge("r", "Issuing", purposes=SIGNING, days=(-9, -1), extra=[exempt]), UNKNOWN),
    ):
        answer = answered(LEAF, ISSUING, responder=responder, delegates=[responder])
        assert status(answers=(answer,)) == expected
    checked = forge("r", "Issuing", purposes=SIGNING)
    answer = answered(LEAF, ISSUING, responder=checked, delegates=[checked])
    assert status(
        listed("Issuing", [revoked(checked.serial)], days=(-9, 1)), answers=(answer,)
    ) == (
        GOOD  # by the list
    )
    assert judge(answers=(answer,)).revocation[0].source == "ocsp"


def test_answers_that_do_not_count() -> None:
    """An old or forged answer would clear a revoked certificate."""
    good = answered(LEAF, ISSUING).der
    forged = Answer.from_der(good[:-1] + bytes([good[-1] ^ 1]))
    old = answered(LEAF, ISSUING, until=NOW - timedelta(hours=1))
    other = answered(forge("other", "Issuing", serial=LEAF.serial + 1), ISSUING)
    for answer in (forged, old, other, answered(LEAF, ISSUING, until=None)):
        assert status(answers=(answer,)) == UNKNOWN
        assert status(listed("Issuing", [revoked(LEAF.serial)]), answers=(answer,)) == REVOKED
