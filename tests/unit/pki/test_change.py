"""Which changes of a correspondent's key somebody is told of."""

from __future__ import annotations

from typing import Any

from tests.unit.pki.forge import NOW, authority, forge

from gatepost.certificate import Certificate
from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known
from gatepost.pki.choose import Candidate, Choice, choose, watched
from gatepost.pki.strength import security
from gatepost.pki.validate import Anchors

ANCHORS = Anchors(frozenset({authority("Root"), authority("Other")}))
A = Mailbox.parse("a@example.com")


def key(name: str, issuer: str = "Root", **changes: Any) -> Certificate:
    return forge("a", issuer, key_name=name, **changes)


def seen(*certificates: Certificate | Candidate, known: Known | None = None) -> Choice:
    given = [one if isinstance(one, Candidate) else Candidate(one) for one in certificates]
    chosen = choose(given, A, ANCHORS, NOW)
    return watched(chosen, given, A, ANCHORS, NOW, known=known)


def test_the_first_is_remembered_and_the_same_is_nothing_new() -> None:
    """Every mail would be a write, or the first one an alarm."""
    one = key("one")
    first = seen(one)
    assert (first.chosen, first.changes) == (one, ())
    assert first.known is not None
    assert first.known.fingerprint == one.fingerprint
    again = seen(one, known=first.known)
    assert (again.chosen, again.changes, again.known) == (one, (), None)


def test_a_renewal_is_no_alarm() -> None:
    """Everybody renews every year; alarms that come with it are not read."""
    old = seen(key("one", days=(-300, 20))).known
    both = seen(key("one", days=(-300, 20)), key("two", days=(-1, 360)), known=old)
    assert both.changes == ()
    assert both.known is not None


def test_another_issuer_is_told() -> None:
    """Any trusted authority in the world could put itself between two people."""
    old = seen(key("one")).known
    new = seen(key("two", "Other"), known=old)
    assert new.changes == ("its issuer is now 'CN=Other' and was 'CN=Root'",)


def test_a_weaker_key_is_told() -> None:
    """Somebody is led back to a key that can be broken."""
    old = seen(key("one")).known
    new = seen(key("two", kind="rsa2048"), known=old)
    assert new.changes == ("its key has 112 bits of security and had 128",)
    assert seen(key("one"), known=new.known).changes == ()


def test_a_second_one_from_elsewhere_is_told_once() -> None:
    """Which of two keys is the person's own nobody asks, or everybody at every mail."""
    one, two = key("one", days=(-1, 300)), key("two", "Other", days=(-1, 200))
    old = seen(one).known
    new = seen(one, two, known=old)
    assert new.chosen == one
    assert new.changes == ("1 other certificate for it by another issuer can be used as well",)
    assert seen(one, two, known=new.known) == choose(
        [Candidate(one), Candidate(two)], A, ANCHORS, NOW
    )


def test_what_cannot_be_used_is_no_second_one() -> None:
    """Junk that somebody mails us would sound the alarm."""
    one, old = key("one"), seen(key("one")).known
    assert seen(one, key("x", "Nobody"), key("y", "Other", days=(-9, -1)), known=old).changes == ()


def test_an_administrators_word_is_not_doubted() -> None:
    """What somebody has just imported would be held back until he says so again."""
    old = seen(key("one")).known
    new = seen(Candidate(key("two", "Other"), "imported"), known=old)
    assert new.changes == ()
    assert new.known is not None


def test_a_domains_certificate_is_nobodys_key() -> None:
    """A partner's new gateway certificate would be an alarm for each of its people."""
    old = seen(key("one")).known
    domain = Candidate(key("gate", "Other"), "imported", domain=True)
    assert (seen(domain, known=old).changes, seen(domain, known=old).known) == ((), None)


def test_strength_in_one_measure() -> None:
    """An elliptic key in place of a long RSA key would be an alarm."""
    kinds = {"rsa2048": 112, "rsa3072": 128, "p256": 128, "ed25519": 128, "x25519": 128}
    assert {kind: security(forge(kind, "Root", kind=kind)) for kind in kinds} == kinds
