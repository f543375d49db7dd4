"""TLSA records against certificate chains (RFC 6698, 7671, 7672)."""

import hashlib
from datetime import timedelta

import pytest
from tests.unit.route.people import NOW, Card, card

from gatepost.mail.delivery import Tlsa
from gatepost.route.tlsa import Unproven, proven, usable

HOST = "mx.partner.example"
ROOT = card("Root", ca=True)
MIDDLE = card("Middle", issuer=ROOT, ca=True)
LEAF = card(HOST, issuer=MIDDLE)
CHAIN = [LEAF.der, MIDDLE.der, ROOT.der]


def record(usage: int, selector: int, matching: int, of: Card, flip: bool = False) -> Tlsa:
    data = of.spki if selector else of.der
    data = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
    return Tlsa(usage, selector, matching, bytes([data[0] ^ flip]) + data[1:])


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_the_certificate_itself(selector: int, matching: int) -> None:
    """A DANE-EE partner gets no mail, or an impostor does."""
    assert "its certificate" in proven([record(3, selector, matching, LEAF)], CHAIN, (), NOW)
    with pytest.raises(Unproven):
        proven([record(3, selector, matching, LEAF, flip=True)], CHAIN, (HOST,), NOW)
    with pytest.raises(Unproven):
        proven([record(3, selector, matching, MIDDLE)], CHAIN, (HOST,), NOW)


def test_neither_name_nor_time_of_the_certificate_itself_counts() -> None:
    """RFC 7672 section 3.1.1: whoever published the key need not renew the certificate."""
    old = card("another.example", days=5, age=100)
    assert proven([record(3, 1, 1, old)], [old.der], (HOST,), NOW)


@pytest.mark.parametrize("anchor", [MIDDLE, ROOT])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [1, 2])
def test_issuer(anchor: Card, selector: int, matching: int) -> None:
    """A DANE-TA partner gets no mail, or somebody below another issuer does."""
    assert "its issuer" in proven([record(2, selector, matching, anchor)], CHAIN, (HOST,), NOW)
    with pytest.raises(Unproven, match="no TLSA record names"):
        proven([record(2, selector, matching, anchor, flip=True)], CHAIN, (HOST,), NOW)


def test_issuer_in_the_dns_only() -> None:
    """RFC 7671 section 5.2.2: a whole certificate in the record need not be sent."""
    assert proven([record(2, 0, 0, ROOT)], CHAIN[:2], (HOST,), NOW)


@pytest.mark.parametrize(
    ("chain", "names", "days"),
    [
        (CHAIN, ("mx.other.example",), 0),  # names count here
        (CHAIN, (), 0),
        (CHAIN, (HOST,), 40),  # and so does the time
        ([card(HOST).der, MIDDLE.der], (HOST,), 0),  # the issuer is shown, but signed nothing
        ([LEAF.der, card("Middle", ca=True).der, ROOT.der], (HOST,), 0),
        ([card(HOST, issuer=LEAF).der, LEAF.der, MIDDLE.der, ROOT.der], (HOST,), 0),  # no authority
        ([LEAF.der, b"nonsense", ROOT.der], (HOST,), 0),
        ([b"", MIDDLE.der, ROOT.der], (HOST,), 0),
    ],
)
def test_issuer_needs_a_whole_path(chain: list[bytes], names: tuple[str, ...], days: int) -> None:
    """A certificate that the trusted issuer never signed for this host passes."""
    for anchor in (ROOT, MIDDLE):
        with pytest.raises(Unproven):
            proven([record(2, 1, 1, anchor)], chain, names, NOW + timedelta(days=days))


def test_wildcard_and_second_name() -> None:
    """RFC 7672 section 3.2.2: the host's name or the domain's."""
    wild = card("*.partner.example", issuer=ROOT)
    assert proven([record(2, 1, 1, ROOT)], [wild.der, ROOT.der], (HOST, "partner.example"), NOW)
    apex = card("partner.example", issuer=ROOT)
    assert proven([record(2, 1, 1, ROOT)], [apex.der, ROOT.der], (HOST, "partner.example"), NOW)


def test_unusable() -> None:
    """Records for web browsers, or with half a digest, prove something."""
    digest = bytes(32)
    useless = [Tlsa(0, 1, 1, digest), Tlsa(1, 1, 1, digest), Tlsa(3, 2, 1, digest), Tlsa(3, 1, 3, digest), Tlsa(3, 1, 1, digest[1:]), Tlsa(3, 1, 0, b""), Tlsa(4, 1, 1, digest)]  # fmt: skip
    assert usable(useless) == ()
    assert usable([*useless, Tlsa(3, 1, 1, digest)]) == (Tlsa(3, 1, 1, digest),)
    with pytest.raises(Unproven):
        proven((), CHAIN, (HOST,), NOW)
    with pytest.raises(Unproven, match="no certificate"):
        proven([record(3, 1, 1, LEAF)], [], (HOST,), NOW)


@pytest.mark.parametrize("shown", [b"", b"\x30\x00", b"\x30\x02\x30\x00", b"\x30\x82"])
def test_a_chain_of_nonsense(shown: bytes) -> None:
    """A server ends a delivery with an error nobody expects, and its mail is never tried again."""
    for usage in (2, 3):
        with pytest.raises(Unproven):
            proven([record(usage, 1, 1, LEAF)], [shown, shown], (HOST,), NOW)


def test_the_stronger_digest_counts() -> None:
    """RFC 7671 section 9: an attacker who breaks the weaker digest gets the mail."""
    weak, strong = record(3, 1, 1, LEAF), record(3, 1, 2, MIDDLE)
    assert usable([weak, strong]) == (strong,)
    assert usable([weak, record(2, 1, 2, ROOT)]) == (weak, record(2, 1, 2, ROOT))
