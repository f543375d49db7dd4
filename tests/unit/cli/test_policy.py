"""`gatepost policy` and `gatepost explain`: what is explained is what is in force."""

from pathlib import Path

import pytest
from tests import pki_builder
from tests.unit.cli.conftest import Gatepost

pytestmark = pytest.mark.usefixtures("frozen", "home")
MANDATORY = '[[rule]]\nname = "contracts"\nto = "partner.example"\nencrypt = "mandatory"\n'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(MANDATORY)
    return path


def test_export_and_apply_are_lossless(gatepost: Gatepost, tmp_path: Path) -> None:
    """Comments an administrator wrote are lost."""
    path = tmp_path / "policy.toml"
    gatepost("policy", "export", "-o", path)
    before = path.read_text()
    assert "# " in before
    assert gatepost("policy", "apply", path).out == "nothing changes\n"
    path.write_text(before + "\n" + MANDATORY)
    assert gatepost("policy", "apply", path).code == 0
    assert gatepost("policy", "export").out == before + "\n" + MANDATORY


def test_history_and_rollback(gatepost: Gatepost, policy: Path) -> None:
    """A mistake cannot be taken back, and nobody knows whose it was."""
    ran = gatepost("policy", "apply", policy, "--note", "contract 42", "--json")
    assert ran.data["revision"]["rev"] == 2
    assert '+encrypt = "mandatory"' in ran.data["diff"]
    newest = gatepost("policy", "history", "--json").data[0]
    assert (newest["rev"], newest["note"]) == (2, "contract 42")
    assert newest["author"]
    assert gatepost("policy", "rollback", "1").code == 0
    assert "contracts" not in gatepost("policy", "export").out.replace("# name", "")[:50]
    assert [one["rev"] for one in gatepost("policy", "history", "--json").data] == [3, 2, 1]
    assert gatepost("policy", "rollback", "9").code == 2
    assert MANDATORY in gatepost("policy", "show", "2").out


def test_profiles_are_spelled_out(gatepost: Gatepost, policy: Path) -> None:
    """An administrator would have to look up elsewhere what a profile does."""
    text = '[[rule]]\nname = "Grid"\nto = "grid.example"\nprofile = "edi-energy"\ncipher = "aes128-gcm"\n'
    policy.write_text(text)
    assert gatepost("policy", "apply", policy).code == 0
    assert gatepost("policy", "export").out == text
    out = gatepost("policy", "show").out
    assert '# rule "Grid": profile edi-energy brings' in out
    assert '#   signature = "rsa-pss"' in out
    assert "#   cipher = " not in out
    (found,) = gatepost("policy", "show", "--json").data["profiles"]
    assert found["settings"]["key_transport"] == "rsa-oaep"
    policy.write_text(text.replace("edi-energy", "edi-enrgy"))
    ran = gatepost("policy", "apply", policy)
    assert ran.code == 2
    assert "'edi-enrgy' is not allowed; use compatible, modern, edi-energy or kim" in ran.err
    assert "line 4" in ran.err


def test_a_dry_run_changes_nothing(gatepost: Gatepost, policy: Path) -> None:
    """Looking first is not possible."""
    assert "mandatory" in gatepost("policy", "apply", policy, "--dry-run").out
    assert len(gatepost("policy", "history", "--json").data) == 1


@pytest.mark.parametrize(
    "text", ['[defaults]\nencript = "mandatory"\n', "[defaults", "[[rule]]\nto = 3\n", "\xff"]
)
def test_a_wrong_policy_is_refused(gatepost: Gatepost, policy: Path, text: str) -> None:
    """A misspelt rule means clear text."""
    policy.write_bytes(text.encode("latin-1"))
    ran = gatepost("policy", "apply", policy)
    assert ran.code == 2
    assert str(policy) in ran.err
    assert len(gatepost("policy", "history", "--json").data) == 1


def test_explain_tells_why(gatepost: Gatepost, policy: Path, letter: Path) -> None:
    """Nobody can say what would happen to a mail."""
    gatepost("cert", "issue", "alice@example.com")
    gatepost("policy", "apply", policy)
    arguments = ("explain", letter, "--from", "alice@example.com")
    ran = gatepost(*arguments, "--to", "bob@partner.example", "--to", "carol@other.example")
    assert ran.code == 1
    assert "bob@partner.example" in ran.out
    assert "550 5.7" in ran.out
    ran = gatepost(*arguments, "--to", "carol@other.example", "--json")
    assert ran.code == 0
    (outcome,) = ran.data["outcomes"]
    assert outcome["verdict"] == "continue"
    assert outcome["decisions"][0]["done"] == "sign"


def test_explain_finds_the_partners_certificate(
    gatepost: Gatepost, tmp_path: Path, letter: Path, policy: Path
) -> None:
    """What `explain` says is not what the gateway does."""
    gatepost("cert", "issue", "alice@example.com")
    gatepost("policy", "apply", policy)
    root, bob = tmp_path / "root.pem", tmp_path / "bob.pem"
    root.write_text(pki_builder.company_root().certificate.pem)
    user = pki_builder.user("bob@partner.example")
    bob.write_text("".join(one.pem for one in (user.certificate, *user.chain)))
    gatepost("partner", "add", "partner.example", "--ca", root)
    gatepost("cert", "import", bob)
    ran = gatepost("explain", letter, "--from", "alice@example.com", "--to", "bob@partner.example")
    assert ran.code == 0, ran.out
    assert "SIGN + ENCRYPT" in ran.out


def test_explain_creates_nothing(gatepost: Gatepost, letter: Path) -> None:
    """Asking issues certificates."""
    before = gatepost("cert", "list", "--json").data
    ran = gatepost("explain", letter, "--from", "alice@example.com", "--to", "bob@partner.example")
    assert ran.code in {0, 1}
    assert before == gatepost("cert", "list", "--json").data


def test_explain_inbound_and_null_sender(gatepost: Gatepost, letter: Path) -> None:
    """Half of the mail cannot be explained."""
    ran = gatepost("explain", letter, "--from", "<>", "--to", "alice@example.com", "--json")
    assert ran.data["outcomes"][0]["direction"] == "inbound"
    assert gatepost("explain", letter, "--from", "nobody", "--to", "a@b.example").code == 2
