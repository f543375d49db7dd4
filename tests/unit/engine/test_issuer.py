"""What `[[certificate_source]]` makes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from gatepost.config.certificate_source import CertificateSource as SourceSettings
from gatepost.engine import issuer as registry
from gatepost.engine.issuer import Surroundings, issuer, kinds
from gatepost.engine.journal import Journal
from gatepost.enrol.source import Issued, Wanted
from gatepost.errors import ConfigError

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
AROUND = cast("Surroundings", None)  # which plug-ins never see
PLUGIN = """
from datetime import timedelta
from gatepost.enrol.source import Issued, Pending
from gatepost.errors import ConfigError

class Source:
    def __init__(self, name, project):
        self.name, self.project = name, project

    async def request(self, wanted, now):
        return Pending(self.project, timedelta(hours=1), "the vendor's approval")

    async def collect(self, wanted, state, now):
        return Issued(())

def make(name, options):
    if "project" not in options:
        raise ConfigError("options.project is missing")
    if options["project"] == "crash":
        raise RuntimeError("bug")
    if options["project"] == "empty":
        return object()
    return Source(name, options["project"])
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a plug-in where pip would."""

    def into(kind: str, package: str = "acme_vendor_plugin") -> None:
        (tmp_path / f"{package}.py").write_text(PLUGIN)
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        text = f"[{registry.GROUP}]\n{kind} = {package}:make\n"
        (about / "entry_points.txt").write_text(text)

    monkeypatch.syspath_prepend(str(tmp_path))
    yield into
    for name in [one for one in sys.modules if one.endswith("vendor_plugin")]:
        del sys.modules[name]


def of(kind: str, **options: object) -> SourceSettings:
    return SourceSettings("vendor", kind, options)


async def test_a_plug_in_is_found_by_its_entry_point(install: Install) -> None:
    """Whoever has a managed PKI would have to change Gatepost itself."""
    install("managed")
    assert "managed" in kinds()
    source = issuer(of("managed", project="7"), AROUND)
    assert source.name == "vendor"
    wanted = Wanted("alice@example.com", "both", b"")
    pending = await source.request(wanted, NOW)
    assert not isinstance(pending, Issued)
    assert pending.state == "7"
    assert await source.collect(wanted, pending.state, NOW) == Issued(())


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("other", {"project": "7"}, "no kind 'other'; known here: .*managed"),
        ("managed", {}, "'vendor': options.project is missing"),
        ("managed", {"project": "crash"}, "failed: RuntimeError: bug"),
        ("managed", {"project": "empty"}, "without 'name'"),
    ],
)
def test_what_is_wrong_is_said(
    install: Install, kind: str, options: dict[str, object], said: str
) -> None:
    """An administrator would see a stack trace of somebody else's code, or nothing at all."""
    install("managed")
    with pytest.raises(ConfigError, match=said):
        issuer(of(kind, **options), AROUND)


def test_two_plug_ins_of_one_kind(install: Install) -> None:
    """Which of two vendors certifies our people would depend on the order of files."""
    install("managed")
    install("managed", "other_vendor_plugin")
    with pytest.raises(ConfigError, match="2 plug-ins"):
        issuer(of("managed", project="7"), AROUND)


def test_a_source_that_cannot_be_made_does_not_stop_the_others(install: Install) -> None:
    """Mail of everybody would stand still because one vendor's plug-in was uninstalled."""
    install("managed")
    seen: list[str] = []
    journal = Journal(lambda: NOW)
    journal.observe(lambda event: seen.append(str(event.fields["reason"])))

    class Settings:
        certificate_source = (SourceSettings("gone", "other"), of("managed", project="7"))

    around = Surroundings(Settings, None, None, lambda: NOW, journal)  # type: ignore[arg-type]  # not looked at
    assert list(registry.issuers(around)) == ["vendor"]
    assert "'gone'" in seen[0]
