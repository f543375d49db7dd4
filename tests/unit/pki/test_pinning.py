"""Federation documents: whoever can change, replay or replace one reads other people's mail."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.pki_builder import company_root, private_key, user

from gatepost.errors import LimitExceeded, Malformed, Refused
from gatepost.pki import announcement
from gatepost.pki.announcement import Announcement, read, thumbprint, write
from gatepost.pki.pinning import Peer, follow

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DOMAIN = "a.example"
Keys = tuple[ec.EllipticCurvePublicKey, Callable[[bytes], bytes]]


def keys(name: str) -> Keys:
    key = private_key("p256", f"federation {name}")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.public_key(), lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


OLD, NEW = keys("old"), keys("new")


def said(number: int = 5, key: Keys = OLD, **more: Any) -> Announcement:
    made = Announcement(
        DOMAIN,
        number,
        NOW - timedelta(days=1),
        NOW + timedelta(days=13),
        thumbprint(key[0]),
        (company_root("A").certificate,),
        algorithms=("aes256-gcm",),
    )
    return replace(made, **more)


def document(number: int = 5, key: Keys = OLD, *also: Keys, **more: Any) -> str:
    return write(said(number, key, **more), (key, *also))


def pinned(text: str = "") -> Peer:
    return follow(None, text or document(), DOMAIN, NOW, evidence="https")


def test_what_is_written_is_read() -> None:
    """A partner must understand what we say."""
    found = read(document())
    assert found.announcement == said()
    assert found.signers == {thumbprint(OLD[0])}
    peer = pinned()
    assert Peer.restored(peer.written()) == peer


@pytest.mark.parametrize("one", ["\u00e9", "a", 7, None, ["a"]])
def test_what_is_no_certificate(one: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner's odd document ends the command that imports it without a word why."""
    said = announcement._data
    monkeypatch.setattr(announcement, "_data", lambda of: {**said(of), "authorities": [one]})
    with pytest.raises(Malformed):
        read(document())


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"first_seen": 1e999}'])
def test_what_is_kept_is_damaged(text: str) -> None:
    """One damaged row ends what looks at all partners."""
    with pytest.raises(Malformed):
        Peer.restored(text)


def test_every_changed_octet_is_noticed() -> None:
    """Whoever sits on the way can swap the CA for his own unless every octet counts."""
    text = document()
    outer = json.loads(text)
    for name in ("payload", "signatures"):
        held = outer[name] if name == "payload" else outer[name][0]["protected"]
        for at in range(0, len(held), 7):
            octet = "A" if held[at] != "A" else "B"
            changed = held[:at] + octet + held[at + 1 :]
            forged = json.loads(text)
            if name == "payload":
                forged[name] = changed
            else:
                forged[name][0]["protected"] = changed
            with pytest.raises(Malformed):
                read(json.dumps(forged))


def test_follows_the_next_number() -> None:
    """A renewed document with a new CA takes the old one's place; the first evidence stays."""
    text = document(6, authorities=(company_root("B").certificate,))
    peer = follow(pinned(), text, DOMAIN, NOW, evidence="file")
    assert peer.announcement.authorities == (company_root("B").certificate,)
    assert (peer.evidence, peer.first_seen) == ("https", NOW)
    assert follow(peer, text, DOMAIN, NOW, evidence="https") == peer


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (document(4), "plays an old one back"),
        (document(5, encryption="none"), "two documents with number 5"),
        (document(6, NEW), "another key"),
        (document(6, domain="b.example"), "not of a.example"),
        (document(6, issued=NOW + timedelta(hours=2)), "from the future"),
        (document(6, expires=NOW - timedelta(minutes=1)), "expired on"),
        (document(6, expires=NOW + timedelta(days=100)), "longer than 90 days"),
    ],
)
def test_refuses(text: str, why: str) -> None:
    """Roll-back, replay, another's document, and one that would hold for ever."""
    with pytest.raises(Refused, match=why):
        follow(pinned(), text, DOMAIN, NOW, evidence="https")


def test_key_changes_by_the_old_ones_word() -> None:
    """Both sign once; from then on the old key has nothing to say."""
    peer = follow(pinned(), document(6, NEW, OLD), DOMAIN, NOW, evidence="https")
    assert peer.announcement.key == thumbprint(NEW[0])
    with pytest.raises(Refused, match="another key"):
        follow(peer, document(7), DOMAIN, NOW, evidence="https")
    follow(peer, document(7, NEW), DOMAIN, NOW, evidence="https")


def test_administrator_changes_the_key() -> None:
    """A partner that lost its key is met again by a person's word, and never at an old number."""
    peer = follow(pinned(), document(6, NEW), DOMAIN, NOW, evidence="file", new_key=True)
    assert (peer.announcement.key, peer.evidence) == (thumbprint(NEW[0]), "file")
    with pytest.raises(Refused, match="plays an old one back"):
        follow(pinned(), document(4, NEW), DOMAIN, NOW, evidence="file", new_key=True)


def _with(**members: object) -> str:
    """A document whose payload has these members, rightly signed."""
    data = announcement._data(said()) | members
    payload = announcement._encoded(json.dumps(data).encode())
    return _signed(payload, {})


def _signed(payload: str, more: dict[str, object]) -> str:
    header: dict[str, object] = {"alg": "ES256", "jwk": announcement._jwk(OLD[0]), **more}
    protected = announcement._encoded(json.dumps(header).encode())
    first, second = decode_dss_signature(OLD[1](f"{protected}.{payload}".encode()))
    raw = first.to_bytes(32, "big") + second.to_bytes(32, "big")
    signature = {"protected": protected, "signature": announcement._encoded(raw)}
    return json.dumps({"payload": payload, "signatures": [signature]})


STRANGER = base64.b64encode(user("alice@a.example").certificate.der).decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"payload": "", "payload": ""}', "not JSON"),
        ("x" * 70_000, "larger than"),
        (json.dumps({"payload": "e30", "signatures": []}), "signatures are missing"),
        (json.dumps({"payload": "e30", "signatures": [{}] * 5}), "more than 4 signatures"),
        (json.dumps({"payload": "e30", "signatures": [1]}), "not an object"),
        (_signed("e30", {"alg": "none"}), "not ES256"),
        (_signed("e30", {"alg": "HS256"}), "not ES256"),
        (_signed("e30", {"crit": ["exp"]}), "demands something"),
        (_signed("e30", {"jwk": {"kty": "RSA"}}), "not on P-256"),
        (_signed("e30", {"jwk": announcement._jwk(NEW[0])}), "does not hold"),
        (_with(version=2), "version 2"),
        (_with(version=True), "version True"),
        (_with(sequence=0), "not a positive number"),
        (_with(sequence=1.5), "not a positive number"),
        (_with(sequence=2**60), "not a positive number"),
        (_with(expires="tomorrow"), "not a time"),
        (_with(key="else"), "not signed by the key it names"),
        (_with(encryption="maybe"), "none of"),
        (_with(authorities=["?"]), "not base64"),
        (_with(authorities=["AAAA"]), "not a certificate"),
        (_with(authorities=[STRANGER]), "not a certification authority"),
        (_with(certificates=[STRANGER] * 5), "more than 4 certificates"),
        (_with(domain=7), "domain is missing"),
    ],
)
def test_nonsense_gets_one_sentence(text: str, why: str) -> None:
    """A stranger's web server may say anything."""
    with pytest.raises((Malformed, LimitExceeded), match=why) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_unknown_members_are_skipped() -> None:
    """Later versions may add members without losing older readers."""
    assert read(_with(colour="blue")).announcement == said()
