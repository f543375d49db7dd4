"""What an administrator said of certificates, and what correspondents were written to with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract.shelf import Shelf
from tests.unit.pki.forge import NOW, authority, forge

from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known
from gatepost.pki.choose import choose
from gatepost.pki.validate import validate
from gatepost.store.directory import Directory
from gatepost.store.record import Judged

A = Mailbox.parse("a@example.com")
ROOT = authority("Root")
ISSUING = authority("Issuing", "Root")
ONE = forge("one", "Issuing")
KNOWN = Known("ab" * 32, "CN=Root", 128, frozenset({"cd" * 32, "ef" * 32}))
LATER = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    """Each engine in turn."""
    is_shared = request.param == "postgres"
    place = request.getfixturevalue("postgres").address if is_shared else str(tmp_path / "d.db")
    with Shelf(place).open() as opened:
        yield opened


def says(*, allowed: bool, which: str = ONE.fingerprint) -> Judged:
    return Judged(which, allowed, "lost card", "root")


def test_a_key_is_remembered_once(directory: Directory) -> None:
    """The postmaster hears of one change from every node, or never."""
    assert directory.known_keys.of(A) is None
    assert directory.known_keys.remember(A, KNOWN, now=NOW)
    assert directory.known_keys.of(A) == KNOWN
    generation = directory.generation()
    assert not directory.known_keys.remember(A, KNOWN, now=LATER)
    assert directory.generation() == generation
    other = replace(KNOWN, bits=112, rivals=frozenset())
    assert directory.known_keys.remember(A, other, now=LATER)
    assert directory.known_keys.of(A) == other
    assert directory.known_keys.of(Mailbox.parse("b@example.com")) is None


def test_what_is_denied_is_not_used_whatever_speaks_for_it(directory: Directory) -> None:
    """Mail goes on to a key whose card was stolen, because its authority says nothing."""
    directory.add_anchors([ROOT, ISSUING], now=NOW)
    directory.add_certificate(ONE, [A], source="pinned", now=NOW)
    directory.judgements.judge(says(allowed=False), now=NOW)
    anchors = directory.anchors_for("example.com")
    choice = choose(directory.candidates_for(A), A, anchors, NOW)
    assert choice.chosen is None
    assert [one.reason for one in choice.rejected] == ["it is denied here: lost card"]
    report = validate(ONE, [ISSUING], anchors, moment=NOW)
    assert (report.trusted, report.reasons) == (False, ("it is denied here: lost card",))
    assert directory.judgements.withdraw(ONE.fingerprint)
    assert not directory.judgements.withdraw(ONE.fingerprint)
    anchors = directory.anchors_for("example.com")
    assert choose(directory.candidates_for(A), A, anchors, NOW).chosen == ONE


@pytest.mark.parametrize("which", [ROOT, ISSUING])
def test_what_a_denied_authority_issued_is_not_trusted(directory: Directory, which: object) -> None:
    """An authority that was broken into goes on to vouch for people."""
    directory.add_anchors([ROOT, ISSUING], now=NOW)
    assert validate(ONE, [ISSUING], directory.anchors_for("example.com"), moment=NOW).trusted
    directory.judgements.judge(says(allowed=False, which=which.fingerprint), now=NOW)  # type: ignore[attr-defined]  # both have one
    anchors = directory.anchors_for("example.com")
    assert not validate(ONE, [ISSUING], anchors, moment=NOW).trusted
    named_again = replace(anchors, roots=frozenset({ROOT}))
    assert not validate(ONE, [ISSUING], named_again, moment=NOW).trusted


def test_what_is_allowed_needs_no_path_and_lends_none(directory: Directory) -> None:
    """A partner without authority cannot be written to, or speaks for others as well."""
    own = forge("self", ca=None)
    directory.learn(own, A, now=NOW)
    assert not validate(own, [], directory.anchors_for("example.com"), moment=NOW).trusted
    directory.judgements.judge(says(allowed=True, which=own.fingerprint), now=NOW)
    anchors = directory.anchors_for("example.com")
    assert choose(directory.candidates_for(A), A, anchors, NOW).chosen == own
    below = forge("below", "self")
    assert not validate(below, [own], anchors, moment=NOW).trusted
    assert not validate(own, [], anchors, moment=LATER.replace(year=2030)).trusted  # expired


def test_a_partners_authority_counts_for_its_domains_only(directory: Directory) -> None:
    """A partner's CA could speak for the tax office, or for another partner."""
    directory.add_partner("example.com", [ROOT, ISSUING], now=NOW)
    directory.add_partner("example.org", [ROOT, ISSUING], now=NOW)
    trusted = {
        domain: validate(ONE, [ISSUING], directory.anchors_for(domain), moment=NOW).trusted
        for domain in (
            "example.com",
            "EXAMPLE.com",
            "example.org",
            "mail.example.com",
            "com",
            "example.net",
            "notexample.com",
            "example.com.evil.example",
        )
    }
    assert [domain for domain, one in trusted.items() if one] == [
        "example.com",
        "EXAMPLE.com",
        "example.org",
    ]
    directory.remove_partner("example.com")
    assert not validate(ONE, [ISSUING], directory.anchors_for("example.com"), moment=NOW).trusted
    assert validate(ONE, [ISSUING], directory.anchors_for("example.org"), moment=NOW).trusted
