"""Independent S/MIME programs read what we write and write what we read.

Plaintexts are compared, never exit codes: `openssl cms -decrypt` may print garbage and
call it a success.  What a peer lacks stands in `expected.LACKS` with its reason.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import pytest
from tests.interop.expected import CIPHERS, PEERS, PROGRAMS, SIGNATURES, TRANSPORTS, lack
from tests.interop.peers.shape import Peer, PeerRefusedError
from tests.interop.people import (
    ENTITY,
    LARGE,
    ROOT,
    our_ciphertext,
    our_reading,
    our_signature,
    our_verdict,
    person,
)
from tests.pki_builder import User

from gatepost.errors import GatepostError
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form

FORMS: tuple[Form, ...] = ("clear", "opaque")


def each(*peers: str) -> Iterator[object]:
    """One parameter per peer, with the programs it needs."""
    for name in peers:
        programs = PROGRAMS[name.partition("-")[0]]
        yield pytest.param(name, name, id=name, marks=pytest.mark.peer(*programs))


peers = pytest.mark.parametrize(("peer", "name"), list(each(*PEERS)), indirect=["peer"])


def fingerprint(octets: bytes) -> str:
    """Short enough to compare in a failure message."""
    return hashlib.sha256(octets).hexdigest()


@peers
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", SIGNATURES)
def test_they_verify_what_we_sign(peer: Peer, name: str, algorithm: str, form: Form) -> None:
    """A partner's program calls Alice's signature broken."""
    message = our_signature(person("alice@example.com", algorithm), algorithm, form)

    if lack(name, "ours", algorithm):
        with pytest.raises(PeerRefusedError):
            peer.verify(message, ROOT)
        return
    assert fingerprint(ENTITY) == fingerprint(peer.verify(message, ROOT))


@peers
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", SIGNATURES)
def test_we_verify_what_they_sign(peer: Peer, name: str, algorithm: str, form: Form) -> None:
    """Bob is warned of a partner's good signature."""
    user = person("alice@example.com", algorithm)
    if lack(name, "theirs", algorithm):
        with pytest.raises(PeerRefusedError):
            peer.sign(ENTITY, user, algorithm, form)
        return
    report, entity = our_verdict(peer.sign(ENTITY, user, algorithm, form))

    assert report.verdict is Verdict.VALID, report.all_reasons
    assert fingerprint(ENTITY) == fingerprint(entity)
    leading = report.leading
    assert leading is not None
    assert algorithm.startswith(leading.scheme)
    assert algorithm.endswith(leading.digest)


@peers
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_they_read_what_we_encrypt(peer: Peer, name: str, cipher: str, transport: str) -> None:
    """A partner cannot open Alice's offer."""
    user = person("bob@example.com", transport)
    message = our_ciphertext((user,), cipher, transport)

    if lack(name, "ours", cipher, transport):
        with pytest.raises(PeerRefusedError):
            peer.decrypt(message, user)
        return
    assert fingerprint(ENTITY) == fingerprint(peer.decrypt(message, user))


@peers
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_we_read_what_they_encrypt(peer: Peer, name: str, cipher: str, transport: str) -> None:
    """A partner's order stays closed to Bob."""
    user = person("bob@example.com", transport)
    if lack(name, "theirs", cipher, transport):
        with pytest.raises(PeerRefusedError):
            peer.encrypt(ENTITY, [user], cipher, transport)
        return
    opened, entity = our_reading(peer.encrypt(ENTITY, [user], cipher, transport), user)

    assert fingerprint(ENTITY) == fingerprint(entity)
    assert opened.report.cipher == cipher
    assert opened.report.used == user.certificate
    assert opened.report.suspicions == ()


@peers
@pytest.mark.parametrize("form", FORMS)
def test_they_see_what_we_see_in_a_changed_message(peer: Peer, name: str, form: Form) -> None:
    """If only one side notices the forgery, one side is wrong."""
    del name
    message = our_signature(person("alice@example.com", "rsa"), "rsa-pkcs1-sha256", form)
    place = message.index(b"QUJDREVG" if form == "clear" else b"\r\n\r\n") + 1500
    changed = message[:place] + _other(message[place]) + message[place + 1 :]

    with pytest.raises(PeerRefusedError):
        peer.verify(changed, ROOT)
    with contextlib.suppress(GatepostError):
        assert our_verdict(changed)[0].verdict is Verdict.INVALID


@pytest.mark.parametrize(("peer", "name"), list(each("openssl-stream")), indirect=["peer"])
@pytest.mark.parametrize("form", FORMS)
def test_we_verify_what_is_streamed(peer: Peer, name: str, form: Form) -> None:
    """KIM and every `-stream` user sends indefinite lengths; DER-only readers fail."""
    del name
    user = person("alice@example.com", "rsa")
    report, entity = our_verdict(peer.sign(LARGE, user, "rsa-pkcs1-sha256", form))

    assert report.verdict is Verdict.VALID, report.all_reasons
    assert fingerprint(LARGE) == fingerprint(entity)


@pytest.mark.parametrize(("peer", "name"), list(each("openssl-stream")), indirect=["peer"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_we_read_what_is_streamed(peer: Peer, name: str, cipher: str) -> None:
    """The same for ciphertext in a thousand pieces."""
    del name
    user = person("bob@example.com", "ecdh")
    _, entity = our_reading(peer.encrypt(LARGE, [user], cipher, "ecdh-sha256"), user)

    assert fingerprint(LARGE) == fingerprint(entity)


@pytest.mark.parametrize(("peer", "name"), list(each("openssl")), indirect=["peer"])
@pytest.mark.parametrize(
    ("cipher", "transport"),
    [
        ("aes256-cbc", "rsa-oaep-sha1"),
        ("aes256-cbc", "ecdh-sha1"),
        ("3des-cbc", "rsa-pkcs1"),
        ("aes192-cbc", "rsa-pkcs1"),
    ],
)
def test_we_read_what_we_would_not_write(
    peer: Peer, name: str, cipher: str, transport: str
) -> None:
    """Old programs and bare defaults: SHA-1 in the key derivation, 3DES."""
    del name
    user = person("bob@example.com", transport)
    opened, entity = our_reading(peer.encrypt(ENTITY, [user], cipher, transport), user)

    assert fingerprint(ENTITY) == fingerprint(entity)
    assert opened.report.weak is (cipher == "3des-cbc")


READERS = pytest.mark.parametrize(
    ("peer", "name"), list(each("openssl", "bouncycastle")), indirect=["peer"]
)


@READERS
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_rsa_and_curve_keys_in_one_message(peer: Peer, name: str, cipher: str) -> None:
    """A reader must skip the RecipientInfos of another kind, theirs and ours alike."""
    users = (person("bob@example.com", "rsa"), person("carol@example.com", "ecdh"))
    ours = our_ciphertext(users, cipher, "rsa-pkcs1")
    readable = users[:1] if lack(name, "ours", cipher, "ecdh-sha256") else users

    assert [ENTITY] * len(readable) == [peer.decrypt(ours, user) for user in readable]
    if name == "openssl":
        theirs = _by_both(peer, users, cipher)
        assert [our_reading(theirs, user)[1] for user in users] == [ENTITY] * 2


def _by_both(peer: Peer, users: tuple[User, ...], cipher: str) -> bytes:
    """`-keyopt` for ECDH does not suit RSA, so OpenSSL's defaults: PKCS #1 v1.5, SHA-1 KDF."""
    return peer.encrypt(ENTITY, users, cipher, "ecdh-sha1")


@pytest.mark.parametrize(
    ("peer", "name"), list(each("openssl", "gpgsm", "nss", "bouncycastle")), indirect=["peer"]
)
def test_signed_then_encrypted(peer: Peer, name: str) -> None:
    """The everyday message: a signature inside an envelope, both ways."""
    cipher = "aes128-cbc"
    author, reader = person("alice@example.com", "rsa"), person("bob@example.com", "rsa")
    signed = our_signature(author, "rsa-pkcs1-sha256", "clear")
    inside = signed[signed.index(b"Content-Type: multipart/signed") :]
    ours = our_ciphertext((reader,), cipher, "rsa-pkcs1", inside)

    assert fingerprint(inside) == fingerprint(peer.decrypt(ours, reader))
    assert fingerprint(ENTITY) == fingerprint(peer.verify(inside, ROOT))

    theirs = peer.sign(ENTITY, author, "rsa-pkcs1-sha256", "clear")
    _, opened = our_reading(peer.encrypt(theirs, [reader], cipher, "rsa-pkcs1"), reader)
    report, entity = our_verdict(opened)
    assert report.verdict is Verdict.VALID, (name, report.all_reasons)
    assert fingerprint(ENTITY) == fingerprint(entity)


def _other(octet: int) -> bytes:
    return b"B" if octet == ord("A") else b"A"
