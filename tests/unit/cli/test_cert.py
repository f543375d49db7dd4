"""`gatepost cert` and `gatepost partner`."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests import pki_builder
from tests.unit.cli.conftest import Gatepost

from gatepost.admin.credential import Credential, as_pkcs12
from gatepost.certificate import Certificate
from gatepost.mail.address import Mailbox
from gatepost.smime.correspondent import Lesson
from gatepost.store.directory import Directory

pytestmark = pytest.mark.usefixtures("frozen", "home")
BOB = "bob@partner.example"


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    path = tmp_path / "bob.pem"
    path.write_text(pki_builder.user(BOB).certificate.pem)
    return path


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    chain = (pki_builder.company_root(), pki_builder.company())
    path.write_text("".join(one.certificate.pem for one in chain))
    return path


def test_issue_list_show_delete(gatepost: Gatepost) -> None:
    """An administrator cannot look after certificates."""
    ran = gatepost("cert", "issue", "alice@example.com", "--json")
    assert [one["private_key"] for one in ran.data] == ["sign", "encrypt"]
    fingerprint = ran.data[1]["fingerprint"]
    assert fingerprint[:16] in gatepost("cert", "list", "alice").out
    shown = gatepost("cert", "show", fingerprint[:12], "--json").data
    assert shown["trusted"]
    assert shown["cannot_encrypt"] == []
    assert shown["cannot_sign"] != []
    assert "trusted: " in gatepost("cert", "show", fingerprint).out
    ran = gatepost("cert", "delete", fingerprint)
    assert ran.code == 2
    assert "--with-key" in ran.err
    assert gatepost("cert", "delete", fingerprint, "--with-key").code == 0
    assert gatepost("cert", "show", fingerprint).code == 2


def test_certificates_of_a_whole_domain(gatepost: Gatepost) -> None:
    """RFC 3183: a company could neither be written to nor write as a whole."""
    ran = gatepost("cert", "issue", "--domain", "Example.com", "--json")
    [signing, encrypting] = ran.data
    assert [one["private_key"] for one in ran.data] == ["sign", "encrypt"]
    assert signing["name"] == "domain-signing-authority@example.com"
    assert encrypting["name"] == "domain-confidentiality-authority@example.com"
    assert encrypting["addresses"][0]["address"] == "@example.com"
    assert gatepost("cert", "issue", "--domain", "partner.example").code == 2


def test_only_our_own_people_are_certified(gatepost: Gatepost) -> None:
    """The company CA certifies strangers."""
    ran = gatepost("cert", "issue", BOB)
    assert ran.code == 2
    assert "not a domain of ours" in ran.err
    assert gatepost("cert", "issue", "nonsense").code == 2


def test_several_for_one_address(gatepost: Gatepost) -> None:
    """The wrong one of two certificates is deleted."""
    gatepost("cert", "issue", "alice@example.com")
    ran = gatepost("cert", "delete", "alice@example.com")
    assert ran.code == 2
    assert "2 certificates are for" in ran.err


def test_nothing_found(gatepost: Gatepost) -> None:
    """A script takes 'none' for 'some'."""
    assert gatepost("cert", "list", "nobody").code == 1
    assert gatepost("cert", "list", "nobody", "--json").data == []
    assert gatepost("cert", "show", "ffffffff").code == 2
    assert gatepost("cert", "show", "nobody@nowhere.example").code == 2


def test_import_a_correspondent(gatepost: Gatepost, bob: Path, ca: Path) -> None:
    """A correspondent's certificate cannot be taken in."""
    ran = gatepost("cert", "import", bob, "--json")
    assert [one["address"] for one in ran.data[0]["addresses"]] == [BOB]
    assert not gatepost("cert", "show", BOB, "--json").data["trusted"]
    gatepost("partner", "add", "partner.example", "--ca", ca)
    assert gatepost("cert", "show", BOB, "--json").data["trusted"]


def test_import_for_another_address(gatepost: Gatepost, bob: Path, ca: Path) -> None:
    """A shared mailbox cannot be given a certificate."""
    ran = gatepost("cert", "import", bob, "--for", "sales@partner.example", "--json")
    assert [one["address"] for one in ran.data[0]["addresses"]] == ["sales@partner.example"]
    assert "one certificate at a time" in gatepost("cert", "import", ca, "--for", BOB).err


def test_import_and_export_a_key(gatepost: Gatepost, tmp_path: Path, letter: Path) -> None:
    """Keys are locked in, or leave unprotected."""
    user = pki_builder.user("carol@example.com")
    path, secret = tmp_path / "carol.p12", tmp_path / "secret"
    path.write_bytes(as_pkcs12(Credential(user.certificate, user.chain, user.key), b"geheim"))
    secret.write_text("geheim\n")
    ran = gatepost("cert", "import", path, "--passphrase-file", secret, "--json")
    assert ran.data[0]["private_key"] == "both"
    assert gatepost("sign", letter, "--as", "carol@example.com").code == 0
    for form in ("pkcs12", "pem"):
        out = tmp_path / f"out.{form}"
        arguments = ("cert", "export", "carol@example.com", "--with-key", "--form", form)
        assert gatepost(*arguments, "-o", out, "--passphrase-file", secret).code == 0
        assert out.stat().st_mode & 0o077 == 0
        assert gatepost("sign", letter, "-k", out, "--passphrase-file", secret).code == 0
        assert b"BEGIN PRIVATE KEY" not in out.read_bytes()
    secret.write_text("\n")
    ran = gatepost("cert", "export", "carol@example.com", "--with-key", "--passphrase-file", secret)
    assert ran.code == 2
    assert ran.raw == b""


def test_a_key_without_its_certificate(gatepost: Gatepost, tmp_path: Path, bob: Path) -> None:
    """A key is filed under somebody else's certificate."""
    path = tmp_path / "key.pem"
    path.write_bytes(pki_builder.user("carol@example.com").key_pem)
    ran = gatepost("cert", "import", path, "--certificate", bob)
    assert ran.code == 2
    assert "--certificate" in ran.err


def test_export_the_company_ca(gatepost: Gatepost, tmp_path: Path) -> None:
    """Partners cannot be given what they need to trust us, or to follow a path to our people."""
    path = tmp_path / "ca.pem"
    assert gatepost("cert", "export", "ca", "-o", path).code == 0
    root, issuing = Certificate.from_pem(path.read_bytes())
    assert root.is_authority
    assert root.issuer == root.subject
    assert issuing.is_authority
    assert issuing.issuer == root.subject


def test_what_is_known_of_a_correspondent(gatepost: Gatepost, home: Path, bob: Path) -> None:
    """Nobody can see why mail to two partners is encrypted in different ways."""
    assert gatepost("partner", "show", BOB).code == 2
    assert gatepost("partner", "show", "partner.example").code == 2
    gatepost("cert", "import", bob, "--for", BOB)
    (path,) = home.rglob("directory.db")
    signed_at = datetime(2026, 5, 1, tzinfo=UTC)
    with Directory(path) as directory:
        lesson = Lesson(
            Mailbox.parse(BOB), signed_at, frozenset({"aes256-gcm"}), frozenset({"rsa-pss"})
        )
        directory.note(lesson, now=signed_at)
    for whom in (BOB, "partner.example"):
        out = gatepost("partner", "show", whom).out
        assert "announced  aes256-gcm (signed 2026-05-01 00:00 UTC)" in out
        assert "rsa-pss (2026-05-01)" in out
        assert "RSA 2048" in out
    (one,) = gatepost("partner", "show", BOB, "--json").data["correspondents"]
    assert one["announced"] == ["aes256-gcm"]
    assert one["announced_at"] == one["used"]["rsa-pss"] == "2026-05-01T00:00:00+00:00"
    assert one["certificates"][0]["key"] == "RSA 2048"


def test_partners(gatepost: Gatepost, ca: Path, bob: Path) -> None:
    """Partners come but never go, or a wrong file is trusted."""
    assert gatepost("partner", "list").code == 1
    ran = gatepost("partner", "add", "Partner.example", "--ca", ca, "--note", "by telephone")
    assert ran.code == 0
    assert pki_builder.company_root().certificate.fingerprint in gatepost("partner", "list").out
    (partner,) = gatepost("partner", "list", "--json").data
    assert partner["domain"] == "partner.example"
    assert [one["root"] for one in partner["authorities"]] == [True, False]
    assert gatepost("partner", "remove", "partner.example").code == 0
    assert gatepost("partner", "remove", "partner.example").code == 2
    ran = gatepost("partner", "add", "partner.example", "--ca", bob)
    assert ran.code == 2
    assert "not a certification authority" in ran.err
    assert "your own domain" in gatepost("partner", "add", "example.com", "--ca", ca).err
    assert gatepost("partner", "add", "*", "--ca", ca).code == 2


def test_files_that_hold_nothing(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """The reason given is an error of a parser."""
    for octets, said in (
        (b"", "is empty"),
        (b"\x00\x01\x02 noise", "neither a certificate nor a private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
    ):
        path = tmp_path / "file"
        path.write_bytes(octets)
        ran = gatepost("cert", "import", path)
        assert ran.code == 2
        assert said in ran.err
        assert "Parse" not in ran.err


def test_a_certificate_that_will_not_be_used(
    gatepost: Gatepost, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate or a CA is imported, and nobody says that this changes nothing."""
    path = tmp_path / "ca.pem"
    path.write_bytes(gatepost("cert", "export", "ca").raw)
    assert "gatepost partner add DOMAIN" in gatepost("cert", "import", path).err
    gatepost("cert", "issue", "alice@example.com")
    which = gatepost("cert", "list", "alice", "--json").data[0]["fingerprint"]
    path.write_bytes(gatepost("cert", "export", which).raw)
    early = datetime(2020, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("gatepost.admin.clock.utc_now", lambda: early)
    ran = gatepost("cert", "import", path)
    assert "cannot be used now" in ran.err
    assert ran.code == 0


def test_a_partner_is_compared(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """A fingerprint in another form than the partner's cannot be compared by telephone."""
    path = tmp_path / "ca.pem"
    path.write_bytes(gatepost("cert", "export", "ca").raw)
    ran = gatepost("partner", "add", "Partner.Example", "--ca", path)
    assert re.search(r"SHA-256  (?:[0-9A-F]{2}:){31}[0-9A-F]{2}\n", ran.out)
    assert "partner.example is a partner" in ran.out
    ran = gatepost("partner", "add", "no domain", "--ca", path)
    assert "'no domain': expected a domain name" in ran.err


def test_revoke_renew_and_show_the_list(gatepost: Gatepost, tmp_path: Path) -> None:
    """A lost key could not be called back, or its mail not be read any more."""
    first = gatepost("cert", "issue", "alice@example.com", "--json").data
    signing = first[0]["fingerprint"]
    wrong = gatepost("cert", "revoke", signing, "--reason", "whim")
    assert wrong.code == 2
    assert "keyCompromise" in wrong.err
    done = gatepost("cert", "revoke", signing, "--reason", "keyCompromise", "--new", "--json")
    assert [one["private_key"] for one in done.data] == ["sign", "sign"]
    assert gatepost("cert", "revoke", signing).code == 2
    assert gatepost("cert", "release", signing).code == 2
    output = tmp_path / "list.crl"
    assert gatepost("ca", "crl", "--output", str(output), "--json").data["number"] == 1
    listed = x509.load_der_x509_crl(output.read_bytes())
    serial = int(gatepost("cert", "show", signing, "--json").data["serial"], 16)
    assert listed.get_revoked_certificate_by_serial_number(serial) is not None


def test_one_key_for_both(gatepost: Gatepost, home: Path) -> None:
    """An administrator's command would undo what the rule says, until the next renewal."""
    config = home / "gatepost.toml"
    config.write_text(config.read_text() + '[[identity]]\nkeys = "one"\n')
    [one] = gatepost("cert", "issue", "alice@example.com", "--json").data
    assert one["private_key"] == "both"
    told = ("cert", "revoke", one["fingerprint"], "--reason", "keyCompromise", "--new", "--json")
    done = gatepost(*told).data
    assert [each["private_key"] for each in done] == ["both", "both"]
    [signing] = gatepost("cert", "issue", "bob@example.com", "--kind", "sign", "--json").data
    assert signing["private_key"] == "sign"


def test_the_root_leaves_the_vault_and_comes_for_a_visit(
    gatepost: Gatepost, tmp_path: Path
) -> None:
    """A stolen gateway would be a stolen root; a lost file, the end of the CA."""
    secrets = [tmp_path / name for name in ("first", "second")]
    for path, text in zip(secrets, ("correct horse battery", "staple and a door"), strict=True):
        path.write_text(text + "\n")
    given = ("--passphrase-file", str(secrets[0]), "--second-file", str(secrets[1]))
    out = tmp_path / "root.pem"
    short = tmp_path / "short"
    short.write_text("short")
    refused = gatepost("ca", "export-root", str(out), "--passphrase-file", str(short), "--yes")
    assert refused.code == 2
    assert not out.exists()
    unasked = gatepost("ca", "export-root", str(out), *given)
    assert (unasked.code, "--yes" in unasked.err, out.exists()) == (2, True, False)
    done = gatepost("ca", "export-root", str(out), *given, "--yes", "--json").data
    assert done["root_key_in_vault"] is False
    assert out.stat().st_mode & 0o777 == 0o600
    key = out.read_bytes()
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(key[key.index(b"-----BEGIN ENC") :], b"correct horse battery")
    assert gatepost("cert", "issue", "alice@example.com", "--json").data  # goes on without it
    assert gatepost("ca", "crl", "--root", "--output", str(tmp_path / "r.crl")).code == 0
    wrong = gatepost("ca", "import-root", str(out), "--passphrase-file", str(secrets[0]))
    assert wrong.code == 2
    back = gatepost("ca", "import-root", str(out), *given, "--issuing", "--json").data
    assert back["root_key_in_vault"] is False
    issued = gatepost("cert", "list", "Issuing CA", "--json").data
    assert len(issued) == 2


def test_one_certificate_allowed_and_denied(gatepost: Gatepost, bob: Path) -> None:
    """A stolen card goes on to be trusted, or a partner without authority cannot be written to."""
    fingerprint = gatepost("cert", "import", str(bob), "--json").data[0]["fingerprint"]
    assert not gatepost("cert", "show", fingerprint, "--json").data["trusted"]
    assert gatepost("cert", "judged").code == 1
    assert gatepost("cert", "allow", fingerprint[:12], "--reason", "by telephone").code == 0
    assert gatepost("cert", "show", fingerprint, "--json").data["trusted"]
    ran = gatepost("cert", "deny", fingerprint, "--reason", "stolen card")
    assert ran.code == 0
    assert "it is denied here: stolen card" in gatepost("cert", "show", fingerprint).out
    (word,) = gatepost("cert", "judged", "--json").data
    assert (word["word"], word["reason"]) == ("denied", "stolen card")
    assert gatepost("cert", "deny", fingerprint, "--reason", " ").code == 2
    assert gatepost("cert", "withdraw", fingerprint[:12]).code == 0
    assert gatepost("cert", "judged").code == 1
    assert gatepost("cert", "accept", BOB).code == 2  # nothing to accept: it cannot be used
