"""Commands go by what a domain announced, as mail does."""

from datetime import datetime
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost


@pytest.fixture
def partner(gatepost: Gatepost, tmp_path: Path, frozen: datetime) -> Path:
    """Another company's installation."""
    config = tmp_path / "partner" / "gatepost.toml"
    assert gatepost("init", "partner.example", "--yes", "--json", "--config", config).code == 0
    return config


def test_commands_know_what_a_domain_announced(
    gatepost: Gatepost, home: Path, partner: Path, tmp_path: Path
) -> None:
    """The gateway would take a signature for good, and its administrator be told it is not."""
    bobs, said = tmp_path / "bob.eml", tmp_path / "partner.json"
    bobs.write_text("From: bob@partner.example\nTo: alice@example.com\nSubject: Hi\n\nHello\n")
    signed, other = tmp_path / "signed.eml", ("--config", partner)
    assert gatepost("cert", "issue", "bob@partner.example", *other).code == 0
    made = gatepost("sign", bobs, "--as", "bob@partner.example", "-o", signed, *other)
    assert made.code == 0, made.err
    assert gatepost("verify", signed).code == 1
    letter = tmp_path / "letter.eml"
    letter.write_text("From: alice@example.com\nTo: bob@partner.example\nSubject: Hi\n\nHello\n")
    to_bob = ("encrypt", letter, "--for", "bob@partner.example", "-o", tmp_path / "sealed.eml")
    assert gatepost(*to_bob).code == 2
    assert gatepost("federation", "export", "--output", said, *other).code == 0
    taken = gatepost("federation", "import", said)
    assert taken.code == 0, taken.err
    assert gatepost("verify", signed).code == 0
    assert gatepost(*to_bob).code == 0
    opened = gatepost("decrypt", tmp_path / "sealed.eml", "--as", "bob@partner.example", *other)
    assert "Hello" in opened.out
