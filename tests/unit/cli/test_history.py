"""`gatepost cert import --history`: what other gateways export."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)
from tests import pki_builder
from tests.unit.cli.conftest import Gatepost

from gatepost.admin.history import credentials, shelf
from gatepost.admin.history.credentials import Passwords, content
from gatepost.certificate import Certificate
from gatepost.cms import ber, der
from gatepost.config import load
from gatepost.engine.service import Stores
from gatepost.mail.address import Mailbox
from gatepost.pki.pem import MAXIMUM_FILE, WrongPassword, write_key

pytestmark = pytest.mark.usefixtures("frozen", "home")
ALICE, BOB = "alice@example.com", "bob@example.com"
Pair = tuple[PrivateKeyTypes, Certificate]


def pair(address: str, *, days: int = 400, born: int = -800, **more: Any) -> Pair:
    """A key and its certificate, ending so many days from when the tests are."""
    key = pki_builder.private_key("p256", f"{address} {days}")
    start = pki_builder.BORN
    issued = pki_builder.issue(
        address,
        key,
        pki_builder.company(),
        emails=more.pop("emails", [address]),
        not_before=start + timedelta(days=born),
        not_after=start + timedelta(days=days),
        **more,
    )
    return key, issued


def p12(given: Pair, password: str, *more: Certificate) -> bytes:
    protection = BestAvailableEncryption(password.encode())
    key, certificate = given
    return pkcs12.serialize_key_and_certificates(
        b"name",
        key,  # type: ignore[arg-type]  # p256 is one of them
        certificate.x509,
        [one.x509 for one in more],
        protection,
    )


def whole_company(given: Sequence[bytes]) -> bytes:
    """One PKCS #12 with the contents of several, as key stores are exported; no MAC."""
    safes = []
    for one in given:
        info = ber.parse(one).sequence()[1].sequence()[1]
        inner = ber.parse(info.children()[0].octet_string())
        safes += [safe.raw for safe in inner.sequence()]
    whole = der.tlv(0xA0, der.octet_string(der.tlv(0x30, *safes)))
    kept = der.tlv(0x30, bytes.fromhex("06092a864886f70d010701"), whole)
    return der.tlv(0x30, b"\x02\x01\x03", kept)


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    path.write_text("first\nsecond\n\nthird\n")
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def told(gatepost: Gatepost, place: Path, passwords: Path, code: int) -> dict[str, Any]:
    ran = gatepost("cert", "import", place, "--history", "--passwords", passwords, "--json")
    assert ran.code == code, ran.err
    return {one["file"]: one for one in ran.data["files"]} | {"": ran.data}


def stored(home: Path, address: str) -> tuple[set[str], str | None]:
    """Fingerprints that open an address's mail, and the one that signs."""
    stores = Stores.open(load(home / "gatepost.toml"))
    try:
        mailbox = Mailbox.parse(address)
        openers = {one.certificate.fingerprint for one in stores.vault.decryptors_for(mailbox)}
        signer = stores.vault.signer_for(mailbox, pki_builder.BORN + timedelta(days=30))
        return openers, signer.certificate.fingerprint if signer else None
    finally:
        stores.close()


def test_a_folder_of_years(gatepost: Gatepost, home: Path, export: Path, passwords: Path) -> None:
    """Nobody changes his gateway if ten years of mail cannot be read afterwards."""
    old, new, bobs = pair(ALICE, days=-100), pair(ALICE), pair(BOB)
    (export / "2023").mkdir()
    (export / "2023" / "alice.pfx").write_bytes(
        p12(old, "second", pki_builder.company().certificate)
    )
    (export / "alice.p12").write_bytes(p12(new, "third"))
    (export / "bob.key").write_bytes(write_key(bobs[0], "first"))
    (export / "bob.crt").write_text(bobs[1].pem)
    (export / "README.txt").write_text("The passwords are in the safe.")
    found = told(gatepost, export, passwords, 0)
    assert found["2023/alice.pfx"]["told"].startswith(f"{ALICE}: expired on ")
    assert found["alice.p12"]["told"].startswith(f"{ALICE}: until ")
    assert found["bob.key"]["taken"] == [bobs[1].fingerprint]
    assert found["bob.crt"]["told"] == "certificates, and no key"
    assert set(found[""]["current"]) == {new[1].fingerprint, bobs[1].fingerprint}
    assert found[""]["taken"] == 3
    assert stored(home, ALICE) == ({old[1].fingerprint, new[1].fingerprint}, new[1].fingerprint)
    again = told(gatepost, export, passwords, 0)
    assert again["alice.p12"]["told"] == f"{ALICE}: here already"
    assert again[""]["taken"] == 0
    ran = gatepost("cert", "import", export, "--history", "--passwords", passwords)
    assert "alice.p12: " in ran.out
    assert "0 keys taken in" in ran.err


def test_what_cannot_be_read_changes_nothing(
    gatepost: Gatepost, home: Path, export: Path, passwords: Path
) -> None:
    """One damaged file would end the import of thousands, or be passed over in silence."""
    good, lost = pair(ALICE), pair(BOB)
    octets = p12(lost, "first")
    files = {
        "a-unknown.p12": p12(lost, "nobody knows"),
        "b-damaged.p12": octets[: len(octets) // 2],
        "c-large.cer": bytes(MAXIMUM_FILE + 1),
        "d-noise.pem": b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
        "e-alone.key": write_key(lost[0], None),
        "f-nameless.p12": p12(pair("nameless", emails=[]), "first"),
        "g-ca.p12": p12(pair("A CA", authority=True), "first"),
        "h-noise.der": b"\x30\x03\x02\x01",
        "i-good.p12": p12(good, "second"),
        "j-empty.p12": b"",
        "k-not.zip": b"PK\x03\x04 nothing",
    }
    for name, octets in files.items():
        (export / name).write_bytes(octets)
    found = told(gatepost, export, passwords, 1)
    for name, said in {
        "a-unknown.p12": "none of 3 passwords opens it",
        "b-damaged.p12": "",
        "c-large.cer": "larger than 10 MiB",
        "d-noise.pem": "not a certificate",
        "e-alone.key": "no certificate was found for its key",
        "f-nameless.p12": "names no address",
        "g-ca.p12": "is a CA",
        "h-noise.der": "neither PKCS #12 nor a key",
        "j-empty.p12": "neither",
        "k-not.zip": "no zip archive",
    }.items():
        assert not found[name]["good"], name
        assert said in found[name]["told"], found[name]
        assert found[name]["taken"] == []
    assert found["i-good.p12"]["good"]
    assert (found[""]["taken"], found[""]["failed"]) == (1, 10)
    assert stored(home, BOB) == (set(), None)
    assert stored(home, ALICE)[1] == good[1].fingerprint


@pytest.mark.parametrize("form", ["der", "indefinite"])
def test_one_file_for_a_whole_company(
    gatepost: Gatepost, home: Path, export: Path, passwords: Path, form: str
) -> None:
    """A key store would give up the first of its thousand keys, and lose the others."""
    alices, bobs = pair(ALICE), pair(BOB)
    octets = whole_company([p12(alices, "third"), p12(bobs, "third")])
    if form == "indefinite":  # as Java's libraries write it
        _, inner, _ = ber.head(octets, 0, len(octets))
        octets = b"\x30\x80" + octets[inner:] + b"\0\0"
    path = export / "keys.p12"
    path.write_bytes(octets)
    found = told(gatepost, path, passwords, 0)
    assert found["keys.p12"]["taken"] == [alices[1].fingerprint, bobs[1].fingerprint]
    assert stored(home, BOB)[1] == bobs[1].fingerprint


def test_pem_with_several_keys(
    gatepost: Gatepost, home: Path, export: Path, passwords: Path
) -> None:
    """OpenSSL writes everything below each other; all but the first would be lost."""
    alices, bobs = pair(ALICE), pair(BOB)
    blocks = [write_key(alices[0], "second"), alices[1].pem.encode()]
    blocks += [write_key(bobs[0], "second"), bobs[1].pem.encode()]
    (export / "all.pem").write_bytes(b"Bag Attributes\n".join(blocks))
    assert told(gatepost, export, passwords, 0)[""]["taken"] == 2


def test_a_zip_archive(
    gatepost: Gatepost, home: Path, export: Path, passwords: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive of some KiB would fill the memory, or its one bad file end the others."""
    alices = pair(ALICE)
    path = export / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("users/alice.p12", p12(alices, "first"))
        archive.writestr("users/bomb.p12", bytes(MAXIMUM_FILE + 1))
        archive.writestr("users/notes.txt", b"not looked at")
        archive.writestr("inner.zip", b"not looked at")
        archive.writestr("users/late.p12", p12(pair(BOB), "first"))
    damaged = bytearray(path.read_bytes())
    at = damaged.rindex(b"users/late.p12", 0, damaged.index(b"PK\x01\x02"))
    damaged[at + 40] ^= 1
    path.write_bytes(damaged)
    found = told(gatepost, export, passwords, 1)
    assert found["export.zip/users/alice.p12"]["taken"] == [alices[1].fingerprint]
    assert "larger than 10 MiB" in found["export.zip/users/bomb.p12"]["told"]
    assert not found["export.zip/users/late.p12"]["good"]
    assert set(found) == {
        "",
        *(f"export.zip/users/{name}.p12" for name in ("alice", "bomb", "late")),
    }
    nameless = path.read_bytes().replace(b"users/notes.txt", b"\0sers/notes.txt")
    (export / "odd.zip").write_bytes(nameless)  # the library cuts a name there, to nothing
    assert "no zip archive" in told(gatepost, export, passwords, 1)["odd.zip"]["told"]
    (export / "odd.zip").unlink()
    monkeypatch.setattr(shelf, "MAXIMUM_UNPACKED", 10)
    found = told(gatepost, export, passwords, 1)
    assert "holds too much" in found["export.zip/users/bomb.p12"]["told"]


def test_links_lead_nowhere(gatepost: Gatepost, export: Path, passwords: Path) -> None:
    """Whoever may write into the folder would have root read any file."""
    secret = export.parent / "secret.p12"
    secret.write_bytes(p12(pair(ALICE), "first"))
    (export / "link.p12").symlink_to(secret)
    assert told(gatepost, export, passwords, 0)[""]["files"] == []
    ran = gatepost("cert", "import", export / "nowhere", "--history")
    assert ran.code == 2


def test_passwords_are_tried_the_last_good_one_first() -> None:
    """Ten thousand files times ten thousand passwords would take days."""
    octets = write_key(pair(ALICE)[0], "third")
    ticks = iter(range(0, 10_000, 20))
    passwords = Passwords(["first", "second", "third"], clock=lambda: next(ticks))
    assert len(passwords.opened(octets).keys) == 1
    assert passwords.known == ["third", "first", "second"]
    many = Passwords([str(number) for number in range(100)], clock=lambda: next(ticks))
    with pytest.raises(WrongPassword, match="of the first 3 passwords"):
        many.opened(octets)
    assert credentials.PATIENCE == 60


def test_a_bare_key_in_der() -> None:
    """In DER only a failure says that the password was wrong; the next one would not be tried."""
    key = pair(ALICE)[0]
    octets = key.private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"second")
    )
    for password in ("", "first"):
        with pytest.raises(WrongPassword):
            content(octets, password)
    assert len(content(octets, "second").keys) == 1
