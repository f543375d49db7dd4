"""`gatepost check` on who gets certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gatepost.admin.check import registry
from gatepost.store.directory import Directory
from gatepost.store.request import Outcome, Request

NOW = datetime.now(UTC)


@pytest.fixture
def directory(home: Path) -> Iterator[Directory]:
    """The installation's."""
    (found,) = home.rglob("directory.db")
    with Directory(found) as opened:
        yield opened


def said(home: Path, id_: str, now: datetime = NOW) -> list[tuple[str, str]]:
    report = registry.run(home / "gatepost.toml", (id_,), now)
    return [(one.status.value, one.detail) for one in report.findings]


def test_lists_and_groups(home: Path, tmp_path: Path) -> None:
    """Mail of everybody is answered 451 because of a file name, and nobody knows why."""
    assert said(home, "ID-01")[0][0] == "SKIP"
    config, people = home / "gatepost.toml", tmp_path / "people"
    rule = f'\n[[identity]]\nlist = "{people}"\n[[identity]]\ngroup = "cn=x"\n'
    config.write_text(config.read_text() + rule)
    people.write_text("alice@example.com\nbob@example.com\n")
    (group, listed) = said(home, "ID-01")
    assert group[0] == "FAIL"
    assert "cn=x" in group[1]
    assert listed == ("PASS", f"{people}: 2 addresses")
    people.write_text("alice\n")
    assert "line 1" in said(home, "ID-01")[1][1]


def test_requests(home: Path, directory: Directory) -> None:
    """A whole department waits for certificates that were refused a week ago."""
    assert said(home, "ID-02") == [("PASS", "nothing is waited for")]
    asked = Request("alice@example.com", "both", "ca", "id", b"", b"", created=NOW, due=NOW)
    directory.requests.open(asked)
    assert said(home, "ID-02") == [("PASS", "1 are under way")]
    week = timedelta(days=7)
    [(status, detail)] = said(home, "ID-02", NOW + week)
    assert status == "WARN"
    assert "alice@example.com waits since" in detail
    directory.requests.claim(asked, "me", NOW)
    directory.requests.settle(asked, "me", Outcome(NOW, ended=True, fault="no contract"))
    assert said(home, "ID-02") == [("WARN", "ca refused one for alice@example.com: no contract")]
