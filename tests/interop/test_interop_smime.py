"""Independent S/MIME programs read what we write and write what we read.

Plaintexts are compared, never exit codes.  What a peer lacks stands in `expected.LACKS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib

import pytest
from tests.interop import matrix, page
from tests.interop.case import (
    DIRECTIONS,
    FORMS,
    KEYS,
    SIGNATURES,
    TABLES,
    Direction,
    Form,
    Recipient,
    applies,
)
from tests.interop.company import PROGRAMS
from tests.interop.expected import LACKS, PEERS, lack
from tests.interop.peers.shape import Peer, PeerRefusedError
from tests.interop.people import (
    ENTITY,
    LARGE,
    our_ciphertext,
    our_reading,
    our_signature,
    our_verdict,
    person,
    signers,
)

from gatepost.errors import GatepostError
from gatepost.smime.report import Verdict

RSA = next(case for case in SIGNATURES if case.name == "rsa-pkcs1-sha256")
TRANSPORT = next(case for case in KEYS if case.name == "rsa-pkcs1")


def each(*names: str) -> pytest.MarkDecorator:
    """One test per peer, with the programs it needs."""
    marked = [
        pytest.param(name, name, id=name, marks=pytest.mark.peer(*PROGRAMS[name.partition("-")[0]]))
        for name in names
    ]
    return pytest.mark.parametrize(("peer", "name"), marked, indirect=["peer"])


def fingerprint(octets: bytes) -> str:
    """Short enough to compare in a failure message."""
    return hashlib.sha256(octets).hexdigest()


@each(*PEERS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("table", TABLES)
def test_table(peer: Peer, name: str, direction: Direction, table: str) -> None:
    """A partner cannot read Alice's mail, or we cannot read the partner's: one cell each."""
    known = page.versions(page.PAGE.read_text(encoding="utf-8"))[name] == peer.version
    found = matrix.complaints(peer, name, direction, TABLES[table], known=known)

    assert found == []


@each(*PEERS)
@pytest.mark.parametrize("form", FORMS)
def test_they_see_what_we_see_in_a_changed_message(peer: Peer, name: str, form: Form) -> None:
    """If only one side notices the forgery, one side is wrong."""
    del name
    message = our_signature(RSA, form)
    place = message.index(b"QUJDREVG" if form == "clear" else b"\r\n\r\n") + 1500
    changed = message[:place] + _other(message[place]) + message[place + 1 :]

    with pytest.raises(PeerRefusedError):
        peer.verify(changed)
    with contextlib.suppress(GatepostError):
        assert our_verdict(changed)[0].verdict is Verdict.INVALID


@each("openssl")
@pytest.mark.parametrize("form", FORMS)
def test_we_verify_what_is_streamed(peer: Peer, name: str, form: Form) -> None:
    """KIM and every `-stream` user sends indefinite lengths; DER-only readers fail."""
    del name
    streamed = dataclasses.replace(RSA, trait="stream")
    report, entity = our_verdict(peer.sign(LARGE, streamed, signers(RSA), form))

    assert report.verdict is Verdict.VALID, report.all_reasons
    assert fingerprint(LARGE) == fingerprint(entity)


@each("openssl")
@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"])
def test_we_read_what_is_streamed(peer: Peer, name: str, cipher: str) -> None:
    """The same for ciphertext in a thousand pieces."""
    del name
    case = dataclasses.replace(
        TRANSPORT, cipher=cipher, recipients=(Recipient("p256"),), trait="stream"
    )
    bob = person("bob@example.com", "p256")
    _, entity = our_reading(peer.encrypt(LARGE, case, [bob]), bob)

    assert fingerprint(LARGE) == fingerprint(entity)


@each(*PEERS)
def test_signed_then_encrypted(peer: Peer, name: str) -> None:
    """The everyday message: a signature inside an envelope, both ways."""
    bob = person("bob@example.com", "rsa2048")
    signed = our_signature(RSA, "clear")
    inside = signed[signed.index(b"Content-Type: multipart/signed") :]
    ours = our_ciphertext(TRANSPORT, inside)

    assert fingerprint(inside) == fingerprint(peer.decrypt(ours, bob))
    assert fingerprint(ENTITY) == fingerprint(peer.verify(inside))

    theirs = peer.sign(ENTITY, RSA, signers(RSA), "clear")
    _, opened = our_reading(peer.encrypt(theirs, TRANSPORT, [bob]), bob)
    report, entity = our_verdict(opened)
    assert report.verdict is Verdict.VALID, (name, report.all_reasons)
    assert fingerprint(ENTITY) == fingerprint(entity)


def test_page_is_current() -> None:
    """Somebody trusts a page that says other than the tests."""
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.render(page.versions(text)) == text, "run scripts/make-interop"


def test_every_lack_is_about_something() -> None:
    """A reason nobody needs any more hides the next one."""
    cells = [
        (peer, direction, case)
        for peer in PEERS
        for direction in DIRECTIONS
        for table in TABLES.values()
        for case in table
        if applies(case, direction)
    ]
    used = {lack(*cell) for cell in cells}
    assert [one for one in LACKS if one not in used] == []
    assert sum(lack(*cell) is None for cell in cells) > len(cells) // 2


def _other(octet: int) -> bytes:
    return b"B" if octet == ord("A") else b"A"
