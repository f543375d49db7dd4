"""Names, policies and lengths along a path, and the search for one."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from tests.unit.pki.forge import NOW, authority, forge, name

from gatepost.certificate import Certificate
from gatepost.certificate.name import key as folded
from gatepost.pki import build
from gatepost.pki.policy import ANY, PolicyRules, objection
from gatepost.pki.validate import Anchors, PathReport, validate

ROOT = authority("Root")
MAIL, DNS, URI, DIR = (
    x509.RFC822Name,
    x509.DNSName,
    x509.UniformResourceIdentifier,
    x509.DirectoryName,
)
NET = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))


def judge(leaf: Certificate, *extra: Certificate, rules: PolicyRules | None = None) -> PathReport:
    anchors = Anchors(frozenset({ROOT}))
    rules = rules or PolicyRules()
    return validate(leaf, extra, anchors, moment=NOW, purpose="any", rules=rules)


def utf8_mailbox(address: str) -> x509.OtherName:
    octets = address.encode()
    oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
    return x509.OtherName(oid, b"\x0c" + bytes([len(octets)]) + octets)


@pytest.mark.parametrize(
    ("tree", "inside", "outside"),
    [
        (MAIL("example.com"), [MAIL("a@Example.COM")], [MAIL("a@sub.example.com")]),
        (MAIL(".example.com"), [MAIL("a@sub.example.com")], [MAIL("a@example.com")]),
        (MAIL("a@example.com"), [MAIL("a@example.com")], [MAIL("b@example.com")]),
        (MAIL("xn--mnchen-3ya.example"), [utf8_mailbox("ü@münchen.example")], []),
        (MAIL("example.com"), [], [utf8_mailbox("ü@münchen.example")]),
        (DNS("example.com"), [DNS("a.example.com"), DNS("example.com")], [DNS("badexample.com")]),
        (URI(".example.com"), [URI("http://a.example.com:80/x")], [URI("http://example.com/")]),
        (URI("example.com"), [URI("http://u@example.com/")], [URI("http://a.example.com/")]),
        (DIR(name("O")), [DIR(name(" o "))], [DIR(name("P"))]),
        (
            NET,
            [x509.IPAddress(ipaddress.ip_address("10.1.2.3"))],
            [x509.IPAddress(ipaddress.ip_address("11.0.0.1"))],
        ),
    ],
)
def test_name_constraints(
    tree: x509.GeneralName, inside: Sequence[x509.GeneralName], outside: Sequence[x509.GeneralName]
) -> None:
    """A CA for one company could certify addresses of every other."""
    permitting = authority("C", "Root", constraints=x509.NameConstraints([tree], None))
    excluding = authority("C", "Root", constraints=x509.NameConstraints(None, [tree]))
    subject = "" if not isinstance(tree, DIR) else "O"
    for names, allowed in ((inside, True), (outside, False)):
        for one in names:
            leaf = _named(one, subject)
            assert judge(leaf, permitting).trusted is allowed, one
            assert judge(_named(one, "P" if subject else ""), excluding).trusted is not allowed, one


def _named(one: x509.GeneralName, subject: str) -> Certificate:
    alternative = (x509.SubjectAlternativeName([one]), False)
    return forge(subject or "leaf", "C", emails=None, extra=[alternative])


@pytest.mark.parametrize(
    ("tree", "doubtful"),
    [
        (MAIL("example.com"), MAIL("a b@example.org")),
        (URI("example.com"), URI("mailto:a@example.com")),
        (URI("example.com"), URI("http://10.0.0.1/")),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), x509.RegisteredID(NameOID.TITLE)),
        (DNS(".example.com"), DNS("a.example.com")),
    ],
)
def test_names_that_cannot_be_compared(tree: x509.GeneralName, doubtful: x509.GeneralName) -> None:
    """A name nobody can read would slip past the constraint."""
    for constraints in (x509.NameConstraints([tree], None), x509.NameConstraints(None, [tree])):
        held = authority("C", "Root", constraints=constraints)
        assert not judge(_named(doubtful, ""), held).trusted


def test_constraints_and_names_by_the_thousand() -> None:
    """A product of two long lists would occupy a processor for minutes."""
    trees = [DNS(f"x{n}.example") for n in range(1000)]
    held = authority("C", "Root", constraints=x509.NameConstraints(None, trees))
    names = x509.SubjectAlternativeName([DNS(f"y{n}.example") for n in range(1000)])
    leaf = forge("leaf", "C", emails=None, extra=[(names, False)])
    start = time.process_time()
    assert "too many to compare" in judge(leaf, held).reasons[0]
    assert time.process_time() - start < 1


def test_names_are_compared_folded() -> None:
    """A CA that spells its name in two ways would break its own paths."""
    assert folded(name("Example  CA")) == folded(name(" example ca"))
    assert folded(name("Straße")) == folded(name("STRASSE"))
    assert folded(name("a")) != folded(name("a", "a@example.com"))
    issuing = authority("Issuing  Ltd", "Root", key_name="K")
    assert judge(forge("leaf", "issuing ltd", by="p256"), issuing).reasons  # another key
    leaf = forge("leaf", "K")
    assert judge(leaf, authority("k", "Root", key_name="K")).trusted


def test_self_issued_authorities_do_not_count_for_length() -> None:
    """A CA that renews its key would break every path below."""
    first = authority("A", "Root", path_length=0, key_name="A")
    renewed = authority("A", "A", key_name="A2", path_length=0)
    leaf = forge("leaf", "A", by="p256")
    assert judge(leaf, first, renewed).trusted
    assert not judge(forge("leaf", "B"), first, authority("B", "A")).trusted


def test_a_key_may_not_sign_for_another_algorithm() -> None:
    """A signature under one algorithm would be read as one under another."""
    edwards = authority("E", "Root", kind="ed25519")
    pq = authority("Q", "Root", kind="mldsa65")
    assert judge(forge("a", "E", by="ed25519"), edwards).trusted
    assert judge(forge("a", "Q", by="mldsa65"), pq).trusted
    assert not judge(forge("a", "E", by="mldsa65"), edwards).trusted
    assert not judge(forge("a", "Q", by="ed25519"), pq).trusted


# Policies; PKITS has the rules, here is what it lacks


def _policies(*oids: str) -> tuple[x509.ExtensionType, bool]:
    found = [x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in oids]
    return x509.CertificatePolicies(found), False


def test_an_unreadable_mapping_ends_the_path() -> None:
    """What cannot be read would map as an attacker likes."""
    oid = x509.ObjectIdentifier("2.5.29.33")
    for octets in (b"\x30\x05", b"\x30\x00", b"\x04\x00", b"\x30\x03\x30\x01\x06", b""):
        broken = (x509.UnrecognizedExtension(oid, octets), True)
        held = authority("C", "Root", extra=[_policies("1.2.3"), broken])
        assert not judge(forge("leaf", "C", extra=[_policies("1.2.3")]), held).trusted


def test_a_hostile_chain_of_mappings_is_linear() -> None:
    """CVE-2023-0464: a graph of policies would grow with the power of the path's length."""
    many = [f"1.2.3.{n}" for n in range(100)]
    oids = [bytes((6, 3, 0x2A, 3, n)) for n in range(100)]
    pairs = b"".join(b"\x30\x0a" + one + other for one in oids for other in oids)
    mappings = b"\x30\x83" + len(pairs).to_bytes(3, "big") + pairs
    one = authority("C", "Root")
    said = one.traits._replace(policies=frozenset(many), mappings=mappings)
    hostile = replace(one, traits=said)
    rules = PolicyRules(accepted=frozenset(many), explicit=True)
    start = time.process_time()
    objection([hostile] * 9, rules)
    assert time.process_time() - start < 2


def test_policies_asked_for() -> None:
    """A company that asks for a policy would get any."""
    held = authority("C", "Root", extra=[_policies("1.2.3", "1.2.4")])
    leaf = forge("leaf", "C", extra=[_policies("1.2.3")])
    assert judge(leaf, held, rules=PolicyRules(frozenset({"1.2.3"}), explicit=True)).trusted
    assert not judge(leaf, held, rules=PolicyRules(frozenset({"1.2.4"}), explicit=True)).trusted
    assert not judge(forge("b", "C"), held, rules=PolicyRules(explicit=True)).trusted
    twice = forge("c", "C", extra=[_policies("1.2.3", "1.2.3")])
    assert judge(twice, held).trusted
    assert not judge(twice, held, rules=PolicyRules(frozenset({"1.2.3"}), explicit=True)).trusted
    every = authority("D", "Root", extra=[_policies(ANY)])
    below = forge("leaf", "D", extra=[_policies("1.2.3")])
    assert judge(below, every, rules=PolicyRules(frozenset({"1.2.3"}), explicit=True)).trusted
    strict = PolicyRules(frozenset({"1.2.3"}), explicit=True, inhibit_any=True)
    assert not judge(below, every, rules=strict).trusted


# The search


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []

    def count(child: Certificate, issuer: Certificate) -> bool:
        calls.append(child.name)
        return real(child, issuer)

    real = build._signed
    monkeypatch.setattr(build, "_signed", count)
    return calls


def test_signatures_are_checked_below_anchors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's bag of certificates would cost signatures although no anchor is above."""
    calls = _counted(monkeypatch)
    issuing = authority("Mid", "Root")
    assert judge(forge("leaf", "Mid"), issuing).trusted
    assert calls == ["Mid", "leaf"]
    calls.clear()
    assert not judge(forge("stranger", "Nowhere"), authority("Nowhere", "Beyond")).trusted
    assert calls == []


def test_another_path_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken or constrained certificate of a CA would hide its good one."""
    calls = _counted(monkeypatch)
    good = authority("Mid", "Root", key_name="Mid", days=(-1, 5))
    constraints = x509.NameConstraints([MAIL("example.org")], None)
    held = authority("Mid", "Root", key_name="Mid", days=(-1, 90), constraints=constraints)
    forged = authority("Mid", "Root", key_name="Mallory", days=(-1, 99))
    report = judge(forge("leaf", "Mid"), held, forged, good)
    assert report.chain[1:] == (good, ROOT)
    assert len(calls) <= 6


def test_forgeries_by_the_dozen_cost_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates that all claim to come from the root would each be checked with each."""
    calls = _counted(monkeypatch)
    layers = [
        authority(f"L{n}", f"L{n + 1}" if n < 5 else "Root", key_name=f"forged {n} {copy}")
        for n in range(6)
        for copy in range(5)
    ]
    start = time.process_time()
    assert not judge(forge("leaf", "L0", by="p256"), *layers).trusted
    assert len(calls) <= build.MAXIMUM_SIGNATURES + 8
    assert time.process_time() - start < 2


def test_authorities_that_bloat_every_path() -> None:
    """Real CAs of one attacker, each full of constraints, would be multiplied by all their ways."""
    trees = x509.NameConstraints(None, [DNS(f"x{n}.example") for n in range(700)])
    layers = [
        authority(f"N{n}", f"N{n + 1}" if n < 5 else "Root", constraints=trees, days=(-1, 9 + copy))
        for n in range(6)
        for copy in range(5)
    ]
    names = x509.SubjectAlternativeName([DNS(f"y{n}.example") for n in range(700)])
    leaf = forge("leaf", "N0", emails=None, extra=[(names, False)])
    start = time.process_time()
    assert not judge(leaf, *layers).trusted
    assert time.process_time() - start < 2
