"""What a signer brought along of his revocation: of use, and nothing that he could gain by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.x509 import ocsp
from tests.unit.pki.forge import DAY, NOW, authority, forge, key
from tests.unit.pki.revoke import answered, listed, revoked

from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence, Finding
from gatepost.pki.ocsp import Answer
from gatepost.pki.validate import Anchors, validate

ROOT = authority("Root")
ISSUING = authority("Issuing", "Root", path_length=0)
LEAF, OTHER = forge("leaf", "Issuing"), forge("other", "Issuing")
ROOT_LIST = listed("Root")
GOOD = answered(LEAF, ISSUING)
BAD = answered(LEAF, ISSUING, ocsp.OCSPCertStatus.REVOKED)
LISTED = listed("Issuing", [revoked(LEAF.serial)])


def judged(*own: Crl | Answer, brought: tuple[Crl | Answer, ...]) -> tuple[bool, Finding]:
    """Whether the path holds where it must be known, and what is known of the leaf."""
    evidence = replace(Evidence.of((ROOT_LIST, *own)), stapled=Evidence.of(brought))
    anchors = Anchors(frozenset({ROOT}), frozenset({ISSUING}), evidence)
    report = validate(LEAF, (), anchors, moment=NOW)
    return report.trusted, report.revocation[0]


@pytest.mark.parametrize("one", [GOOD, listed("Issuing")])
def test_it_counts_where_nobody_else_knows(one: Crl | Answer) -> None:
    """A gateway without a way to the world could verify nobody."""
    trusted, found = judged(brought=(one,))
    assert trusted
    assert (found.status, found.stapled) == ("good", True)
    assert found.proofs == (one,)
    assert found.as_data()["stapled"]


def test_what_we_know_ourselves_goes_first() -> None:
    """Whoever stole the key brings an answer from before the theft, which counts still."""
    assert not judged(LISTED, brought=(GOOD,))[0]
    assert not judged(BAD, brought=(GOOD, listed("Issuing")))[0]
    trusted, found = judged(listed("Issuing"), brought=(BAD,))
    assert trusted
    assert not found.stapled


def test_an_old_list_that_names_him_is_not_forgotten() -> None:
    """To keep us from fetching the next list would bring a stolen key back."""
    ended = listed("Issuing", [revoked(LEAF.serial)], days=(-9, -1))
    trusted, found = judged(ended, brought=(GOOD,))
    assert (trusted, found.status) == (False, "unknown")
    answer = answered(LEAF, ISSUING, ocsp.OCSPCertStatus.REVOKED, until=NOW - DAY / 2)
    assert not judged(answer, brought=(GOOD,))[0]
    # one that names somebody else says nothing
    assert judged(listed("Issuing", [revoked(5)], days=(-9, -1)), brought=(GOOD,))[0]


@pytest.mark.parametrize(
    "one",
    [
        answered(OTHER, ISSUING),
        answered(LEAF, ISSUING, responder=authority("Mallory")),
        answered(LEAF, ISSUING, ocsp.OCSPCertStatus.UNKNOWN),
        answered(LEAF, ISSUING, until=None),
        answered(LEAF, ISSUING, until=NOW - DAY / 2),
        listed("Issuing", days=(-9, -1)),
        listed("Issuing", signing=key("p256", "Mallory")),
        listed("Issuing", days=(1, 9)),
        listed("Root", number=2),
    ],
)
def test_it_is_judged_as_any(one: Crl | Answer) -> None:
    """Anybody can write that he is good."""
    trusted, found = judged(brought=(one,))
    assert (trusted, found.status, found.stapled) == (False, "unknown", False)


def test_a_revoked_one_that_says_so() -> None:
    """What he brings against himself would be passed over."""
    trusted, found = judged(brought=(BAD,))
    assert (trusted, found.status, found.stapled) == (False, "revoked", True)
