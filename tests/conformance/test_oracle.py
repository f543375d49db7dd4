"""Generated chains before three judges, and the page that tells where they differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.oracle import CLASSES, PAGE, cases, compare, judge

CHAINS = 150  # of those the page tells of


@pytest.mark.peer("openssl")
def test_three_judges_agree(tmp_path: Path) -> None:
    """A chain that everybody else refuses would be trusted here, or the other way round."""
    some = judge(tmp_path, CHAINS)
    found, others = compare(some)
    assert others == []
    assert len(found) == len(CLASSES)  # what is explained is also seen
    assert sum(not one.verdicts["ours"] for one in some) > CHAINS // 3


def test_chains_hold_and_do_not() -> None:
    """Judges who agree about nothing but easy chains prove little."""
    bent = {what for one in cases() for what in one.bent}
    assert len(bent) > 30
    assert max(len(one.above) for one in cases(CHAINS)) == 4


def test_the_page_has_every_class() -> None:
    """Somebody reads that the judges agree where they do not."""
    page = PAGE.read_text()
    assert [one.reason for one in CLASSES if one.reason not in page] == []
