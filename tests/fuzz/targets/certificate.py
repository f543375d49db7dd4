"""What is read of keys and certificates: X.509, CRL, OCSP, PEM, PKCS #7, PKCS #8, #12, zip.

Invariant: a value, or an error the function names; nothing but what our authority signed is
trusted, revoked or answered for; what is written reads back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.fuzz import choice, papers, people

from gatepost.admin.history import credentials, shelf
from gatepost.certificate import Certificate, mend
from gatepost.cms import ber
from gatepost.errors import LimitExceeded, Malformed, Unsupported
from gatepost.lookup import freshness
from gatepost.pki import der, issuer, p12, pem, place, rounds
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence
from gatepost.pki.ocsp import Answer
from gatepost.pki.pem import WrongPassword
from gatepost.pki.point import Point, out_of_scope
from gatepost.pki.usable import usable_for
from gatepost.pki.validate import Anchors, validate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PASSWORD = "secret"
ROUNDS = 2_000  # of key derivation; what more of them do is known
ZIP = Path(f"/proc/self/fd/{os.memfd_create('zip')}")

WORDS = (
    *(b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", b"-----BEGIN PKCS7-----"),
    *(b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"-----BEGIN PKCS12-----", b"PK\x01\x02", b"a.pem"),
    *(b"\x06\x03\x55\x1d" + bytes((one,)) for one in (14, 15, 17, 18, 19, 20, 27, 28, 30, 31, 46)),
    *(b"\x0b99991231235959Z", b"\x18\x0f00010101000000Z", b"\x01\x01\x00", b"\x14\x01\xfc"),
    *(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c", b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03"),
    *(b"\x30\x80", b"\x82\xff\xff", b"\x02\x04\x7f\xff\xff\xff"),
)  # fmt: skip


def target(octets: bytes) -> None:
    """One input."""
    choice.read(READERS, octets)


def certificate(octets: bytes) -> None:
    """A certificate, and everything that is asked of it."""
    with suppress(Malformed):
        one = Certificate.from_der(octets)
        assert one.der == octets
        assert Certificate.from_pem(one.pem.encode()) == (one,)
        told = one.name, one.folded_subject, one.traits.alternative, one.subject_emails
        assert all(each is not None for each in told)
        place.list_places(one), place.delta_places(one), place.responder_places(one)
        issuer.places(one)
        for point in one.traits.points:
            Point.of(point, one)
        usable_for(one, "encrypt", NOW)
        report = validate(one, (), people.anchors(), moment=NOW)
        assert not report.trusted or one.signed in {each.signed for each in papers.everybody()}
        validate(people.person("bob@example.net", "p256").certificate, (one,), people.anchors(), moment=NOW)  # fmt: skip


def mended(octets: bytes) -> None:
    """A second reading mends once and for all."""
    with suppress(ValueError):
        made = mend.mended(octets)
        assert mend.mended(made) == made


def element(octets: bytes) -> None:
    """The little DER, beside the reader of BER."""
    with suppress(IndexError):
        found = list(der.items(octets))
        assert octets.endswith(b"".join(found))
        with suppress(Malformed):
            assert [one.raw for one in ber.parse(octets).children()] == found
        for one in found[:20]:
            with suppress(IndexError, ValueError):
                assert der.dotted(one) == ber.dotted(one[der.inside(one, 0) :])


def revocations(octets: bytes) -> None:
    """A list of strangers decides nothing; one of ours what it says."""
    with suppress(Malformed):
        found = Crl.from_der(octets)
        assert found.der == octets
        assert found.reasons
        for one in papers.everybody():
            out_of_scope(found, Point.usual(one.folded_issuer), one)
        freshness.due(found, NOW, 0.5)
        signed = found.parsed.tbs_certlist_bytes in {
            one.parsed.tbs_certlist_bytes for one in papers.lists()
        }
        assert signed or not found.is_signed_by(people.authority().certificate)
        judged(Evidence(lists=(found,)), is_known=signed)


def answers(octets: bytes) -> None:
    """The same for an answer of a responder."""
    with suppress(Malformed):
        found = Answer.from_der(octets)
        freshness.due(found, NOW, 0.5)
        root = people.authority().certificate
        known = {Answer.from_der(one).response.tbs_response_bytes for one in papers.answered()}
        signed = found.response.tbs_response_bytes in known
        assert signed or not found.is_signed_by(root)
        for one in papers.everybody():
            found.about(one, root)
        tuple(found.signers(root, NOW))
        judged(Evidence(answers=(found,)), is_known=signed)


def judged(evidence: Evidence, *, is_known: bool) -> None:
    """Bob's certificate is neither revoked nor good by what nobody of ours has signed."""
    bob = people.person("bob@example.net", "p256").certificate
    anchors = Anchors(people.anchors().roots, evidence=evidence)
    report = validate(bob, (), anchors, moment=NOW)
    assert is_known or [one.status for one in report.revocation] in ([], ["unknown"])


def certificates(octets: bytes) -> None:
    """A file of certificates."""
    with suppress(Malformed, Unsupported):
        found = pem.read_certificates(octets)
        assert found
        assert pem.read_certificates("".join(one.pem for one in found).encode()) == found


def key(octets: bytes) -> None:
    """A file with a private key; what it holds is kept and read again."""
    for password in (None, PASSWORD):
        with suppress(Malformed, Unsupported, WrongPassword), few_rounds():
            found = pem.read_key(octets, password)
            again = pem.read_key(pem.write_key(found, None))
            form = Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
            assert again.private_bytes(*form) == found.private_bytes(*form)


def bundle(octets: bytes) -> None:
    """A file of any kind that was exported elsewhere."""
    with suppress(Malformed, Unsupported, WrongPassword), few_rounds():
        found = credentials.content(octets, PASSWORD)
        assert found.keys or found.certificates
    with suppress(Malformed, Unsupported, WrongPassword, LimitExceeded), few_rounds():
        one = p12.read(octets, PASSWORD)
        assert one.certificate.public_key is not None


def archive(octets: bytes) -> None:
    """A zip archive; what cannot be read says why."""
    with ZIP.open("wb") as file:
        file.write(octets)
    for one in shelf._unpacked(ZIP, "a.zip"):
        assert not (one.octets and one.fault)
        assert len(one.octets) <= pem.MAXIMUM_FILE


READERS: tuple[choice.Reader, ...] = (
    certificate,
    mended,
    element,
    revocations,
    answers,
    certificates,
    key,
    bundle,
    archive,
)


def few_rounds() -> mock._patch[int]:
    """Whatever a file asks for, it gets little."""
    return mock.patch.object(rounds, "MAXIMUM", ROUNDS)


def seeds() -> Iterator[bytes]:
    """Papers of every kind that we write or that are written to us."""
    files = papers.files(PASSWORD)
    return choice.sown(
        READERS,
        {
            certificate: [one.der for one in papers.everybody()] + papers.odd(),
            mended: [one.der for one in papers.everybody()] + papers.odd(),
            element: [
                papers.everybody()[0].der[:40],
                *(one.key_info for one in papers.everybody()),
            ],
            revocations: [one.der for one in papers.lists()],
            answers: papers.answered(),
            certificates: [*files.certificates, papers.everybody()[1].der],
            key: files.keys,
            bundle: [*files.bundles, *files.keys, *files.certificates],
            archive: files.archives,
        },
    )
