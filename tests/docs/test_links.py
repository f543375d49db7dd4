"""Links in the documents lead somewhere, and decisions are numbered once."""

import re
from collections import Counter

from tests.conftest import ROOT

LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_links_lead_somewhere() -> None:
    """A reader would follow a link to nothing."""
    broken = [
        (page.name, target)
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_once() -> None:
    """A citation of a decision would mean two."""
    numbers = Counter(p.name[:4] for p in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [number for number, count in numbers.items() if count > 1] == []
