"""The whole corpus in the ordinary test run, source by source."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.entry import FOLDER, entries
from tests.conformance.report import exceptions, rows, run

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
