"""`gatepost config`."""

import json
from pathlib import Path

from tests.unit.cli.conftest import Gatepost

from gatepost.config import load, parse


def test_shown_settings_are_the_ones_in_force(gatepost: Gatepost, home: Path) -> None:
    """What `config show` prints is not what counts."""
    ran = gatepost("config", "show")
    assert parse(ran.out, home / "gatepost.toml") == load(home / "gatepost.toml", {})
    assert gatepost("config", "show", "--json").data["gateway"]["domains"] == ["example.com"]


def test_validate(gatepost: Gatepost, home: Path) -> None:
    """A wrong file passes, or a right one does not."""
    assert gatepost("config", "validate").code == 0
    path = home / "gatepost.toml"
    path.write_text(path.read_text().replace("direction", "directoin", 1))
    ran = gatepost("config", "validate")
    assert ran.code == 2
    assert "did you mean direction?" in ran.out
    data = gatepost("config", "validate", "--json").data
    assert [one["key"] for one in data["problems"]] == ["listener[1].directoin"]


def test_schema_is_json(gatepost: Gatepost) -> None:
    """Editors cannot load the schema."""
    assert json.loads(gatepost("config", "schema").out)["title"] == "gatepost.toml"
