"""What must be looked after is told by `gatepost check` before it hurts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.pki_builder import company_root

from gatepost.admin.check import registry
from gatepost.admin.check.registry import Finding
from gatepost.pki.place import Status
from gatepost.store.directory import Directory

NOW = datetime.now(UTC)
IDS = ("REV-01", "REV-02", "REV-03", "CA-02", "CRT-02")


@pytest.fixture
def directory(home: Path) -> Iterator[Directory]:
    """The installation's."""
    (found,) = home.rglob("directory.db")
    with Directory(found) as opened:
        yield opened


def found(home: Path, now: datetime = NOW) -> dict[str, list[Finding]]:
    """What the checks say at that time."""
    report = registry.run(home / "gatepost.toml", IDS, now)
    return {id_: [one for one in report.findings if one.id == id_] for id_ in IDS}


def test_revocation(home: Path, directory: Directory) -> None:
    """Nobody notices that nobody is asked, or that nobody answers."""
    said = found(home)
    assert [one.status for one in said["REV-01"]] == ["PASS"]
    assert [one.status for one in said["REV-02"]] == ["PASS"]
    directory.statuses.write(
        Status("ab", "crl", "http://crl.example/1", None, NOW, NOW, "nobody there")
    )
    path = home / "gatepost.toml"
    assert [one.status for one in said["REV-03"]] == ["PASS"]
    path.write_text(path.read_text() + '\n[revocation]\ninbound = "off"\nstaple = "answers"\n')
    said = found(home)
    assert [one.detail for one in said["REV-01"]] == ["nobody is asked: inbound is off"]
    assert [one.detail for one in said["REV-02"]] == ["http://crl.example/1: nobody there"]
    assert ["gpgsm" in one.detail for one in said["REV-03"]] == [True]


def test_the_roots_list(home: Path, directory: Directory) -> None:
    """A root in a safe, forgotten for thirteen months."""
    assert [one.status for one in found(home)["CA-02"]] == ["SKIP"]
    path = home / "gatepost.toml"
    path.write_text(path.read_text().replace('# url = "http', 'url = "http'))
    assert [one.status for one in found(home)["CA-02"]] == ["PASS"]
    root = directory.entry(directory.setting("authority.root") or "").certificate
    directory.forget_key(root)
    (one,) = found(home)["CA-02"]
    assert "no list" in one.detail


def test_others(home: Path, directory: Directory) -> None:
    """The partner's CA ended yesterday, and all mail to him bounces."""
    assert [one.status for one in found(home)["CRT-02"]] == ["PASS"]
    root = company_root().certificate
    directory.add_partner("partner.example", [root], now=NOW)
    (one,) = found(home, root.not_after - timedelta(days=5))["CRT-02"]
    assert one.status == "WARN"
    assert one.detail.startswith(f"{root.name} ends {root.not_after:%Y-%m-%d}")
