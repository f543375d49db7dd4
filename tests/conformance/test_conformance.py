"""The whole corpus in the ordinary test run, source by source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.entry import FOLDER, entries
from tests.conformance.observe import observe
from tests.conformance.report import exceptions, rows, run
from tests.conformance.seen import Seen

pytestmark = pytest.mark.corpus

HERE = (FOLDER / "expected.jsonl").is_file()
SOURCES = sorted({one.source for one in entries()}) if HERE else []


@pytest.mark.parametrize("source", SOURCES)
def test_source(corpus: Path, source: str) -> None:
    """Mail other programs agree about is shown wrongly, or an attack known for years works."""
    results = run(corpus, source)

    assert [str(one) for one in results if one.is_unexpected] == []
    assert [one.entry.id for one in results if one.is_stale] == []
    assert rows(results)[-1].counts["accepted"] == 0


def test_exceptions_are_entries(corpus: Path) -> None:
    """A reason stays in the list although its entry is long gone."""
    assert exceptions().keys() <= {one.id for one in entries(corpus)}


def test_large_mail_is_read_as_small_is(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signature covers, or which attack works, depends on the size of the mail.

    Layers around a part only are not looked for in large mail.
    """
    kinds = {"p12-imports", "tnef-attachments"}
    chosen = [one for one in entries(corpus) if one.kind != "path" and one.label not in kinds]

    def seen() -> dict[str, Seen]:
        return {one.id: replace(observe(one), seconds=0, errant=()) for one in chosen}

    small = seen()
    monkeypatch.setattr("gatepost.mail.content.LARGE", -1)
    large = seen()
    assert [one for one in small if small[one] != large[one]] == []
