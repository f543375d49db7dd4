"""Paths to anchors, and the reason when there is none."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.unit.pki.forge import DAY, NOW, authority, forge

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError
from gatepost.pki.pem import read_certificates
from gatepost.pki.validate import Anchors, PathReport, validate

ROOT = authority("Root")
ISSUING = authority("Issuing", "Root", path_length=0)
SERVER = [ExtendedKeyUsageOID.SERVER_AUTH]
ELSEWHERE = x509.NameConstraints([x509.RFC822Name("example.org")], None)
HERE = x509.NameConstraints([x509.RFC822Name("example.com")], None)


def judge(
    leaf: Certificate, *extra: Certificate, roots: Sequence[Certificate] = (ROOT,)
) -> PathReport:
    return validate(leaf, extra, Anchors(frozenset(roots)), moment=NOW)


def test_a_path_through_an_intermediate() -> None:
    """No signature of any correspondent would ever be trusted."""
    leaf = forge("leaf", "Issuing")
    report = judge(leaf, ISSUING)
    assert report == PathReport(trusted=True, chain=(leaf, ISSUING, ROOT))


def test_intermediates_may_come_with_the_anchors() -> None:
    """Senders who leave out their intermediate would be distrusted."""
    leaf = forge("leaf", "Issuing")
    anchors = Anchors(frozenset({ROOT}), frozenset({ISSUING}))
    assert validate(leaf, (), anchors, moment=NOW).trusted


def test_an_intermediate_may_be_the_anchor() -> None:
    """A partner who gives us only his issuing CA could not be added."""
    assert judge(forge("leaf", "Issuing"), roots=[ISSUING]).trusted


def test_an_authority_may_sign_mail() -> None:
    """RFC 8550 has nothing against it, and PKITS 4.14.13 wants it; its key usage may forbid it."""
    assert judge(forge("leaf", "Root", ca=True)).trusted


def test_rsa_pss_and_ed25519_leaf_keys() -> None:
    """Certificates of modern CAs would be refused."""
    rsa_root = authority("RSA Root", kind="rsa2048")
    assert judge(forge("a", "RSA Root", by="rsa2048", pss=True), roots=[rsa_root]).trusted
    assert judge(forge("b", "Issuing", kind="ed25519"), ISSUING).trusted
    edwards = authority("Edwards", "Root", kind="ed25519")
    assert judge(forge("c", "Edwards", by="ed25519"), edwards).trusted


@pytest.mark.parametrize(
    ("leaf", "extra", "reason"),
    [
        (forge("leaf", "Issuing"), [], "the certificate of its issuer 'CN=Issuing' is not known"),
        (forge("a", "Issuing", days=(-10, -1)), [ISSUING], "it expired on 2026-05-31"),
        (
            forge("a", "Issuing", days=(1, 9)),
            [ISSUING],
            "it is not valid before 2026-06-02 12:00 UTC",
        ),
        (
            forge("a", "Issuing", purposes=SERVER),
            [ISSUING],
            "extended key usage does not include e-mail",
        ),
        (
            forge("a", "Issuing", kind="rsa1024"),
            [ISSUING],
            "RSA key of 1024 bits is shorter than 2048",
        ),
        (
            forge("a", "Issuing", kind="dsa2048"),
            [ISSUING],
            "a DSA key, which is no longer accepted",
        ),
        (forge("a", "Issuing", kind="p192"), [ISSUING], "curve secp192r1 is shorter than 256 bits"),
        (
            forge("a", "Issuing", by="rsa2048", sha1=True),
            [ISSUING],
            "'a' is signed with SHA1, which can be forged",
        ),
        (
            forge("a", "Issuing", constraints=HERE),
            [ISSUING],
            "it has name constraints and is no certification authority",
        ),
        (forge("self"), [], "the path ends at 'self', which is not trusted here"),
        (
            forge("a", "Stray"),
            [authority("Stray")],
            "the path ends at 'Stray', which is not trusted here",
        ),
        (
            forge("a", "Old"),
            [authority("Old", "Root", days=(-9, -1))],
            "its issuer 'Old' does not count: it expired on 2026-05-31",
        ),
        (
            forge("a", "Weak", by="rsa1024"),
            [authority("Weak", "Root", kind="rsa1024")],
            "its issuer 'Weak' does not count: its RSA key of 1024 bits",
        ),
        (
            forge("a", "Sha1"),
            [authority("Sha1", "Root", by="rsa2048", sha1=True)],
            "its issuer 'Sha1' does not count: 'Sha1' is signed with SHA1",
        ),
        (forge("a", "User"), [forge("User", "Root")], "it is not a certification authority"),
        (
            forge("a", "Bare"),
            [forge("Bare", "Root", ca=None)],
            "it is not a certification authority",
        ),
        (
            forge("a", "NoSign"),
            [authority("NoSign", "Root", usages=["digital_signature"])],
            "it may not sign certificates",
        ),
        (
            forge("a", "Web"),
            [authority("Web", "Root", purposes=SERVER)],
            "a certificate on the path is not for e-mail",
        ),
        (
            forge("a", "Below"),
            [authority("Below", "Issuing"), ISSUING],
            "allows no further authority below it",
        ),
        (
            forge("a", "Elsewhere"),
            [authority("Elsewhere", "Root", constraints=ELSEWHERE)],
            "its e-mail address 'a@example.com' is not among the names",
        ),
        (
            forge(
                "a",
                "Issuing",
                extra=[
                    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)
                ],
            ),
            [ISSUING],
            "has a critical extension that is not understood: 1.2.3.4",
        ),
        (
            forge("a", "Issuing", extra=[(x509.SubjectKeyIdentifier(b"a"), True)]),
            [ISSUING],
            "has a critical extension that is not understood: 2.5.29.14",
        ),
        (forge("a", "Issuing", key_name="x", by="rsa2048"), [ISSUING], "the path does not hold"),
    ],
)
def test_what_is_not_trusted_says_why(
    leaf: Certificate, extra: list[Certificate], reason: str
) -> None:
    """A forged or useless certificate would count, or nobody could tell what to repair."""
    report = judge(leaf, *extra)
    assert not report.trusted
    assert reason in report.reasons[0]
    assert len(report.reasons[0]) < 300


def test_without_anchors_nothing_is_trusted() -> None:
    """An empty set of anchors would be an error, or worse, trust."""
    assert not judge(forge("leaf", "Issuing"), ISSUING, roots=[]).trusted


def test_a_pinned_certificate_is_its_own_anchor() -> None:
    """Self-signed correspondents, pinned by hand, could not be written to."""
    own = forge("self", ca=None)
    assert judge(own, roots=[own]) == PathReport(trusted=True, chain=(own,))
    authority_too = forge("openssl req -x509", ca=True)
    assert judge(authority_too, roots=[authority_too]).trusted
    assert not judge(forge("old", days=(-9, -1)), roots=[forge("old", days=(-9, -1))]).trusted
    issued = forge("leaf", "Unknown CA")
    assert judge(issued, roots=[issued]).trusted


def test_an_address_in_the_subject_does_not_escape_its_issuers_constraints() -> None:
    """A CA allowed for one company could certify addresses of every other."""
    subject = forge("a", "Here", emails=None, subject_email="ceo@bank.example")
    report = judge(subject, authority("Here", "Root", constraints=HERE))
    assert not report.trusted
    assert "is not among the names its issuer may certify" in report.reasons[0]
    assert judge(forge("b", "Issuing", emails=None, subject_email="a@example.com"), ISSUING).trusted
    assert judge(forge("c", "Here"), authority("Here", "Root", constraints=HERE)).trusted


def test_a_report_is_not_a_boolean() -> None:
    """`if validate(…):` would be true for every stranger."""
    with pytest.raises(TypeError, match="trusted"):
        bool(judge(forge("leaf", "Issuing")))


def test_verdicts_end_to_the_second() -> None:
    """A remembered verdict would outlive the certificate by up to an hour."""
    leaf = forge("leaf", "Issuing", days=(-1, 0.5 / 24))  # until 12:30
    anchors = Anchors(frozenset({ROOT}))
    before, after = NOW + timedelta(minutes=29), NOW + timedelta(minutes=31)
    assert validate(leaf, [ISSUING], anchors, moment=before).trusted
    assert not validate(leaf, [ISSUING], anchors, moment=after).trusted
    young = forge("young", "Issuing", days=(0.5 / 24, 9))
    assert not validate(young, [ISSUING], anchors, moment=before).trusted
    assert validate(young, [ISSUING], anchors, moment=after).trusted
    assert validate(young, [ISSUING], anchors, moment=NOW + DAY).trusted


def test_a_remembered_verdict_costs_microseconds() -> None:
    """Thousands of mails from one author would each build the path again."""
    leaf = forge("leaf", "Issuing")
    judge(leaf, ISSUING)
    start = time.process_time()
    for _ in range(200):
        judge(leaf, ISSUING)
    assert (time.process_time() - start) / 200 < 0.001


def test_a_hostile_bag_of_certificates_costs_little() -> None:
    """One mail with CAs that certify each other would occupy a processor for ever."""
    loops = [authority("Loop", key_name="Loop") for _ in range(60)]
    chain = [authority(f"C{n}", f"C{n + 1}") for n in range(60)]
    for leaf, extra in ((forge("a", "Loop"), loops), (forge("b", "C0"), chain)):
        start = time.process_time()
        assert not judge(leaf, *extra, *loops, *chain).trusted
        assert time.process_time() - start < 2


def test_ml_dsa() -> None:
    """The first post-quantum correspondents could not be trusted."""
    root = authority("PQ Root", kind="mldsa65")
    own = forge("pq", kind="mldsa65")
    assert judge(own, roots=[own]).trusted
    assert judge(forge("leaf", "Issuing", kind="mldsa65"), ISSUING).trusted
    assert judge(forge("leaf", "PQ Root", by="mldsa65"), roots=[root]).trusted


def test_purpose_any_asks_no_extended_key_usage() -> None:
    """A certificate for another purpose could not be judged by its path alone."""
    leaf = forge("leaf", "Issuing", purposes=SERVER)
    anchors = Anchors(frozenset({ROOT}))
    assert validate(leaf, (ISSUING,), anchors, moment=NOW, purpose="any").trusted
    assert not validate(leaf, (ISSUING,), anchors, moment=NOW).trusted


def test_the_last_second_counts_as_a_whole() -> None:
    """Mail signed in a certificate's last second is refused or not by chance."""
    leaf = forge("leaf", "Issuing", days=(-9, 1))
    last = leaf.not_after.replace(microsecond=999_999)
    anchors = Anchors(frozenset({ROOT}), frozenset({ISSUING}))
    assert validate(leaf, (), anchors, moment=last).trusted
    assert not validate(leaf, (), anchors, moment=last + timedelta(seconds=1)).trusted


@pytest.mark.corpus
def test_no_certificate_of_the_corpus_raises(corpus: Path) -> None:
    """A strange certificate in a mail would stop the mail instead of being judged."""
    seen = 0
    for path in sorted(corpus.rglob("*")):
        if path.suffix not in {".crt", ".cer", ".der", ".pem"} or not path.is_file():
            continue
        try:
            found = read_certificates(path.read_bytes())
        except GatepostError:
            continue
        for one in found:
            report = judge(one, *found)
            assert report.trusted is False
            assert report.reasons
            seen += 1
    assert seen > 400
