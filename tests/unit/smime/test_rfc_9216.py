"""The sample people and authorities of RFC 9216: they sign, read, and are trusted on either path."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.pki_builder import PrivateKey, User
from tests.unit.smime.letters import decrypt, encrypt, sign, verify

from gatepost.certificate import Certificate
from gatepost.errors import Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.pki import p12, pem
from gatepost.pki.validate import Anchors
from gatepost.smime.report import Verdict

NOW = datetime(2021, 3, 1, tzinfo=UTC)
HEADER = b"From: {0}@smime.example\r\nContent-Type: text/plain\r\n"
PEOPLE = {"alice": 4, "bob": 5, "carlos": 7, "dana": 8}  # by the section that introduces them
ROOTS = ("3-1-*", "6-1-*")  # RSA and Ed25519
CROSSED = {"3": "6-3-*", "6": "3-3-*"}  # each root's key as certified by the other


def one(corpus: Path, pattern: str) -> bytes:
    """The file of this section."""
    (path,) = (corpus / "rfc9216" / "keys").glob(pattern)
    return path.read_bytes()


def certificate(corpus: Path, pattern: str) -> Certificate:
    """The certificate of this section."""
    (found,) = Certificate.from_pem(one(corpus, pattern))
    return found


def person(corpus: Path, section: int, purpose: int, *chain: Certificate) -> User:
    """Someone with the certificate and key of a section: 1 to sign, 3 to be encrypted to."""
    key = pem.read_key(one(corpus, f"{section}-{purpose + 1}-*"))
    assert isinstance(key, PrivateKey)
    return User(certificate(corpus, f"{section}-{purpose}-*"), key, chain)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("name", PEOPLE)
def test_they_sign(corpus: Path, name: str, root: str) -> None:
    """Trusted under their own root, and by the cross certificate under the other one."""
    section, anchor = PEOPLE[name], certificate(corpus, root)
    crossed = certificate(corpus, CROSSED[root[0]])
    signer = person(corpus, section, 1, crossed)
    message = sign(HEADER.replace(b"{0}", name.encode()), by=signer, now=NOW)
    report = verify(
        *message,
        anchors=Anchors(frozenset({anchor})),
        author=Mailbox(name, "smime.example"),
        moment=NOW,
    ).report
    assert report.verdict is Verdict.VALID, report.all_reasons


@pytest.mark.parametrize("cipher", ["aes256-gcm", "aes128-cbc"])
@pytest.mark.parametrize("name", PEOPLE)
def test_they_read(corpus: Path, name: str, cipher: str) -> None:
    """RSA for Alice and Bob, X25519 for Carlos and Dana."""
    reader = person(corpus, PEOPLE[name], 3)
    made = encrypt(HEADER, b"text\r\n", to=(reader,), cipher=cipher)
    assert join(decrypt(*made, reader).body) == b"text\r\n"


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_their_bundles_open(corpus: Path, name: str) -> None:
    """Section 4.5 and its like: the password is the name."""
    section = PEOPLE[name]
    found = p12.read(one(corpus, f"{section}-5-*"), name)
    assert found.certificate in {certificate(corpus, f"{section}-{n}-*") for n in (1, 3)}


@pytest.mark.parametrize("name", ["carlos", "dana"])
def test_what_no_bundle_holds_is_said(corpus: Path, name: str) -> None:
    """An X25519 key in PKCS #12, which the library does not read, ends in a traceback."""
    with pytest.raises(Unsupported, match="PEM"):
        p12.read(one(corpus, f"{PEOPLE[name]}-5-*"), name)
