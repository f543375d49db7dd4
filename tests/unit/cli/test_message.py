"""`gatepost sign|encrypt|decrypt|verify|inspect`, alone and against OpenSSL."""

import json
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from tests import pki_builder
from tests.pki_builder import KeyKind, User
from tests.unit.cli.conftest import Gatepost

from gatepost.admin.credential import Credential, as_pkcs12

pytestmark = pytest.mark.usefixtures("frozen")


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    """A PEM file with Alice's key, certificate and issuer."""
    return pem(tmp_path / "alice.pem", pki_builder.user("alice@example.com"))


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    return pem(tmp_path / "bob.pem", pki_builder.user("bob@partner.example"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_text(pki_builder.company_root().certificate.pem)
    return path


def pem(path: Path, user: User) -> Path:
    certificates = "".join(one.pem for one in (user.certificate, *user.chain))
    path.write_bytes(user.key_pem + certificates.encode())
    return path


def openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, check=False, timeout=30
    )


@pytest.mark.parametrize("form", [(), ("--opaque",)])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_there_and_back(
    gatepost: Gatepost,
    tmp_path: Path,
    letter: Path,
    alice: Path,
    bob: Path,
    root: Path,
    form: tuple[str, ...],
    cipher: str,
) -> None:
    """What one command makes another cannot read."""
    signed, sealed, opened = (tmp_path / name for name in ("signed", "sealed", "opened"))
    assert gatepost("sign", letter, "-k", alice, "-o", signed, *form).code == 0
    ran = gatepost("encrypt", signed, "--to", bob, "-o", sealed, "--cipher", cipher, "--json")
    assert ran.data["cipher"] == cipher
    assert "Grüße".encode() not in sealed.read_bytes()
    assert gatepost("decrypt", sealed, "-k", bob, "-o", opened).code == 0
    ran = gatepost("verify", opened, "--ca", root, "--json", "-o", tmp_path / "text")
    assert ran.code == 0
    assert ran.data["verdict"] == "valid"
    assert ran.data["emails"] == ["alice@example.com"]
    assert b"Sch=C3=B6ne Gr=C3=BC=C3=9Fe" in (tmp_path / "text").read_bytes()


def test_the_subject_can_stay_inside(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, bob: Path, root: Path
) -> None:
    """What the gateway does by itself cannot be done by hand, or the Subject is lost by it."""
    signed, sealed, opened = (tmp_path / name for name in ("signed", "sealed", "opened"))
    gatepost("sign", letter, "-k", alice, "-o", signed, "--header-protection", "baseline")
    gatepost("encrypt", signed, "--to", bob, "-o", sealed)
    assert b"\nSubject: [...]" in sealed.read_bytes()
    gatepost("decrypt", sealed, "-k", bob, "-o", opened)
    ran = gatepost("verify", opened, "--ca", root, "--json", "-o", tmp_path / "text")
    assert ran.data["headers"]["scheme"] == "hp=cipher"
    assert b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=" in (tmp_path / "text").read_bytes()
    gatepost("encrypt", letter, "--to", bob, "-o", sealed, "--header-protection", "baseline")
    assert b"Gr=C3=BC" not in sealed.read_bytes()
    gatepost("decrypt", sealed, "-k", bob, "-o", opened)
    assert b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=" in opened.read_bytes()


@pytest.mark.parametrize(("wished", "scheme"), [("clear", "hp=clear"), ("off", None)])
def test_header_fields_are_signed_unless_told_otherwise(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, wished: str, scheme: str | None
) -> None:
    """Anybody on the way could put another Subject over a signed text."""
    signed = tmp_path / "signed"
    gatepost("sign", letter, "-k", alice, "-o", signed, "--header-protection", wished)
    found = gatepost("verify", signed, "--json").data["headers"]
    assert (found["scheme"] if found else None) == scheme


def test_a_changed_letter_is_invalid(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, root: Path
) -> None:
    """Forgery passes."""
    signed = tmp_path / "signed"
    gatepost("sign", letter, "-k", alice, "-o", signed)
    signed.write_bytes(signed.read_bytes().replace(b"Sch=C3=B6ne", b"Sch=C3=B6re"))
    ran = gatepost("verify", signed, "--ca", root)
    assert ran.code == 1
    assert ran.out.startswith("INVALID")


def test_trust_and_author_count(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, bob: Path, root: Path
) -> None:
    """Anybody's signature counts as the author's."""
    signed = tmp_path / "signed"
    gatepost("sign", letter, "-k", alice, "-o", signed)
    other = tmp_path / "other.pem"
    other.write_text(pki_builder.company_root("Other").certificate.pem)
    assert gatepost("verify", signed, "--ca", other, "--json").data["verdict"] == "valid-untrusted"
    gatepost("sign", letter, "-k", bob, "-o", signed)
    ran = gatepost("verify", signed, "--ca", root, "--json")
    assert (ran.code, ran.data["verdict"]) == (1, "mismatch")


def test_terminal_escapes_do_not_pass(gatepost: Gatepost, tmp_path: Path, letter: Path) -> None:
    """A mail rewrites the screen of whoever inspects it."""
    text = letter.read_text().replace("Subject: ", "Subject: \x1b[2J")
    letter.write_text(text)
    assert b"\x1b" not in gatepost("inspect", letter).raw


def test_inspect_shows_the_layers(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, bob: Path
) -> None:
    """Nobody can see why a mail is unreadable."""
    signed, sealed = tmp_path / "signed", tmp_path / "sealed"
    gatepost("sign", letter, "-k", alice, "-o", signed)
    gatepost("encrypt", signed, "--to", bob, "-o", sealed)
    tree = gatepost("inspect", sealed, "-k", bob, "--json").data["tree"]
    assert tree["kind"] == "enveloped-data"
    assert tree["children"][0]["kind"] == "multipart-signed"
    assert tree["children"][0]["children"][0]["kind"] == "text/plain"
    closed = gatepost("inspect", sealed).out
    assert "not opened: no key given" in closed
    assert "of CN=Example Issuing CA" in closed
    assert "Grüße" in closed


@pytest.mark.parametrize(
    "octets", [b"", b"\0" * 99, b"no header", b"A: b\n\n", b"Content-Type: multipart/signed\n\nx"]
)
def test_rubbish_is_no_crash(gatepost: Gatepost, tmp_path: Path, octets: bytes) -> None:
    """A broken file ends in a traceback."""
    path = tmp_path / "rubbish"
    path.write_bytes(octets)
    has_header = octets[:1].isalpha() and b":" in octets
    assert gatepost("inspect", path).code == (0 if has_header else 2)
    for command in ("verify", "decrypt"):
        ran = gatepost(command, path, *(("-k", path) if command == "decrypt" else ()))
        assert ran.code == 2
        assert "internal error" not in ran.err


def test_the_corpus_can_be_inspected(gatepost: Gatepost, corpus: Path) -> None:
    """Somebody's real mail is a crash."""
    for path in sorted((corpus / "rfc4134").rglob("*.eml"))[:20]:
        ran = gatepost("inspect", path)
        assert ran.code == 0, path
        assert "internal" not in ran.err


def test_errors_say_what_to_do(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, bob: Path
) -> None:
    """People are left alone with their mistake."""
    sealed = tmp_path / "sealed"
    gatepost("encrypt", letter, "--to", bob, "-o", sealed)
    assert "not encrypted to any of these keys" in gatepost("decrypt", sealed, "-k", alice).err
    assert "no encryption covers" in gatepost("decrypt", letter, "-k", bob).err
    assert "no signature covers" in gatepost("verify", letter).err
    assert "--key FILE" in gatepost("sign", letter).err
    assert "--to CERTIFICATE-FILE" in gatepost("encrypt", letter).err
    mistaken = gatepost("encrypt", letter, "--to", "bob@partner.example")
    assert "--for bob@partner.example" in mistaken.err
    assert "holds no certificate" in gatepost("encrypt", letter, "--to", letter).err
    assert "neither a certificate nor a private key" in gatepost("sign", letter, "-k", letter).err
    assert "would mix" in gatepost("sign", letter, "-k", alice, "--json").data["error"]
    assert gatepost("sign", tmp_path / "absent", "-k", alice).err.endswith(
        "No such file or directory\n"
    )
    sealed.write_bytes(sealed.read_bytes()[:-400])
    assert gatepost("decrypt", sealed, "-k", bob).code == 2


def test_passphrases(
    gatepost: Gatepost, tmp_path: Path, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protected key cannot be used, or its passphrase stands in the process list."""
    user = pki_builder.user("alice@example.com")
    path, secret = tmp_path / "alice.p12", tmp_path / "secret"
    path.write_bytes(
        as_pkcs12(Credential(user.certificate, user.chain, user.key), "gehéim".encode())
    )
    secret.write_bytes("gehéim\n".encode())
    assert gatepost("sign", letter, "-k", path, "--passphrase-file", secret).code == 0
    secret.write_bytes(b"wrong\n")
    assert "does not open" in gatepost("sign", letter, "-k", path, "--passphrase-file", secret).err
    monkeypatch.setenv("GATEPOST_PASSPHRASE", "gehéim")
    assert gatepost("sign", letter, "-k", path).code == 0


def test_standard_input_and_output(gatepost: Gatepost, letter: Path, alice: Path) -> None:
    """The commands cannot be used in a pipe."""
    assert gatepost("sign", letter, "-k", alice).raw.startswith(b"From: Alice")


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_openssl_reads_what_we_make(
    gatepost: Gatepost, tmp_path: Path, letter: Path, root: Path, kind: KeyKind
) -> None:
    """Nobody else can read what these commands make."""
    author = pki_builder.user("alice@example.com", kind)
    reader = pki_builder.user("bob@partner.example", kind)
    key, reading = pem(tmp_path / "author.pem", author), pem(tmp_path / "reader.pem", reader)
    signed, sealed, opened = (tmp_path / name for name in ("signed", "sealed", "opened"))
    gatepost("sign", letter, "-k", key, "-o", signed)
    gatepost("encrypt", signed, "--to", reading, "-o", sealed)
    done = openssl("cms", "-decrypt", "-in", sealed, "-recip", reading, "-out", opened)
    assert done.returncode == 0, done.stderr
    done = openssl("cms", "-verify", "-in", opened, "-CAfile", root, "-no_check_time")
    assert done.returncode == 0, done.stderr
    assert "Gr=C3=BC=C3=9Fe" in done.stdout.decode()


@pytest.mark.peer("openssl")
def test_we_read_what_openssl_makes(
    gatepost: Gatepost, tmp_path: Path, letter: Path, alice: Path, bob: Path, root: Path
) -> None:
    """These commands do not replace the ones they are to replace."""
    signed, sealed = tmp_path / "signed", tmp_path / "sealed"
    fields = ("-from", "alice@example.com", "-to", "bob@partner.example", "-subject", "hi")
    issuer = tmp_path / "issuer.pem"
    issuer.write_text(pki_builder.company().certificate.pem)
    # -noattr: no signing time, which would be this machine's and not the tests' clock
    openssl(
        *("cms", "-sign", "-noattr", "-in", letter, "-signer", alice),
        *("-certfile", issuer, "-out", signed),
    )
    done = openssl(
        *("cms", "-encrypt", "-aes-256-cbc", "-in", signed, *fields, "-out", sealed, bob)
    )
    assert done.returncode == 0, done.stderr
    ran = gatepost("decrypt", sealed, "-k", bob)
    assert ran.code == 0, ran.err
    opened = tmp_path / "opened"
    opened.write_bytes(ran.raw)
    ran = gatepost("verify", opened, "--ca", root, "--json")
    assert ran.data["verdict"] == "valid"


def test_keys_of_the_vault(gatepost: Gatepost, home: Path, tmp_path: Path, letter: Path) -> None:
    """The gateway's own keys cannot be used for one message."""
    assert home.exists()
    ran = gatepost("sign", letter, "--as", "alice@example.com")
    assert "gatepost cert issue alice@example.com" in ran.err
    gatepost("cert", "issue", "alice@example.com")
    signed, sealed = tmp_path / "signed", tmp_path / "sealed"
    assert gatepost("sign", letter, "--as", "alice@example.com", "-o", signed).code == 0
    assert gatepost("verify", signed).code == 0
    assert gatepost("encrypt", signed, "--for", "alice@example.com", "-o", sealed).code == 0
    tree = gatepost("inspect", sealed, "--as", "alice@example.com", "--json").data["tree"]
    assert tree["children"][0]["kind"] == "multipart-signed"
    assert gatepost("decrypt", sealed, "--as", "alice@example.com").code == 0
    ran = gatepost("encrypt", letter, "--for", "bob@partner.example")
    assert "partner add" in ran.err


def test_json_of_errors(gatepost: Gatepost, letter: Path) -> None:
    """A program that asked for JSON gets prose."""
    assert json.loads(gatepost("decrypt", letter, "--json").out)["error"] == "with which key?"


def test_the_clock_is_frozen(frozen: datetime) -> None:
    """These tests would fail one day, when their certificates have expired."""
    assert pki_builder.BORN < frozen < pki_builder.DIES
