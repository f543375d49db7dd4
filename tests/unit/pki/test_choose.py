"""Which certificate mail is encrypted to."""

from tests.unit.pki.forge import NOW, authority, forge

from gatepost.mail.address import Mailbox
from gatepost.pki.choose import MAXIMUM_BESIDE, MAXIMUM_CANDIDATES, Candidate, choose
from gatepost.pki.validate import Anchors

ROOT = authority("Root")
ISSUING = authority("Issuing", "Root")
ANCHORS = Anchors(frozenset({ROOT}))
A = Mailbox.parse("a@example.com")


def found(*candidates: Candidate) -> tuple[object, list[str]]:
    choice = choose(candidates, A, ANCHORS, NOW)
    return choice.chosen, [one.reason for one in choice.rejected]


def test_the_longest_valid_wins_and_the_others_are_told_why() -> None:
    """Mail would go to a certificate about to expire, or nobody could explain the choice."""
    short, long = forge("s", "Root", days=(-1, 100)), forge("l", "Root", days=(-5, 200))
    expired = forge("e", "Root", days=(-9, -1))
    chosen, reasons = found(Candidate(short), Candidate(expired), Candidate(long))
    assert chosen == long
    assert reasons == [
        "it expired on 2026-05-31",
        "usable, but the chosen one is better: it is valid until 2026-12-18",
    ]


def test_the_newest_wins_a_tie_and_order_does_not_matter() -> None:
    """Two nodes would choose differently."""
    old, new = forge("o", "Root", days=(-50, 100)), forge("n", "Root", days=(-1, 100))
    assert found(Candidate(old), Candidate(new))[0] == new
    assert found(Candidate(new), Candidate(old))[0] == new


def test_seen_in_mail_needs_name_and_path() -> None:
    """Mallory could send his certificate and read Alice's mail from then on."""
    other = forge("m", "Root", emails=["mallory@example.com"])
    stray = forge("x", "Stray")
    chosen, reasons = found(Candidate(other), Candidate(stray, issuers=(authority("Stray"),)))
    assert chosen is None
    assert reasons == [
        "it is not issued to a@example.com",
        "the path ends at 'Stray', which is not trusted here",
    ]


def test_the_administrators_word_replaces_the_name_and_the_pin_the_path() -> None:
    """Role mailboxes and self-signed partners could not be written to."""
    other = forge("m", "Root", emails=["office@example.com"])
    assert found(Candidate(other, "imported"))[0] == other
    own = forge("self", ca=None)
    assert found(Candidate(own, "imported"))[0] is None
    assert found(Candidate(own, "pinned"))[0] == own
    dead = forge("self", days=(-9, -1))
    assert found(Candidate(dead, "pinned"))[0] is None


def test_a_personal_certificate_comes_before_the_domains() -> None:
    """Mail would be opened at the partner's gateway though its reader has a card."""
    person = forge("p", "Root", days=(-1, 10))
    domain = forge("d", "Root", emails=["gateway@example.com"], days=(-1, 200))
    candidates = Candidate(domain, "imported", domain=True), Candidate(person)
    chosen, reasons = found(*candidates)
    assert chosen == person
    assert reasons == ["usable, but a personal certificate comes before the domain's"]
    assert found(candidates[0])[0] == domain
    assert choose(candidates[:1], A, ANCHORS, NOW).domain
    assert not choose(candidates, A, ANCHORS, NOW).domain


def test_known_intermediates_complete_the_path() -> None:
    """Certificates from an LDAP directory, which come alone, would never be usable."""
    leaf = forge("leaf", "Issuing")
    assert found(Candidate(leaf))[0] is None
    assert found(Candidate(leaf, issuers=(ISSUING,)))[0] == leaf


def test_a_flood_of_candidates_is_bounded() -> None:
    """One address with thousands of certificates would stop the gateway."""
    flood = [Candidate(forge("f", "Stray"))] * (MAXIMUM_CANDIDATES + 50)
    choice = choose(flood, A, ANCHORS, NOW)
    assert len(choice.rejected) == MAXIMUM_CANDIDATES


def test_what_might_be_used_beside_the_best() -> None:
    """Policy may want every key of a mailbox; its domain's or a useless one is none of them."""
    best, other = forge("b", "Root", days=(-1, 200)), forge("o", "Root", days=(-1, 100))
    expired, domain = forge("e", "Root", days=(-9, -1)), forge("d", "Root")
    given = [Candidate(expired), Candidate(other), Candidate(domain, "imported", domain=True)]
    choice = choose([*given, Candidate(best)], A, ANCHORS, NOW)
    assert choice.chosen == best
    assert [one.certificate for one in choice.beside] == [other]
    assert choose(given[2:], A, ANCHORS, NOW).beside == ()
    many = [Candidate(forge(f"{n}", "Root", days=(-1, n))) for n in range(1, 20)]
    assert len(choose(many, A, ANCHORS, NOW).beside) == MAXIMUM_BESIDE
