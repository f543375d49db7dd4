"""The generated pages say what the program says, and the life of a message stays short."""

import subprocess
import sys

from tests.conftest import ROOT


def test_reference_is_current() -> None:
    """An administrator would read about options that are gone."""
    done = subprocess.run(
        [sys.executable, "scripts/make-docs", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_flow_is_short() -> None:
    """A page of more than 80 lines would not be read before the first change."""
    assert len((ROOT / "docs" / "flow.md").read_text().splitlines()) < 80


def test_no_file_outgrows_its_room() -> None:
    """Files over 500 lines hide what they do."""
    files = (ROOT / "src").rglob("*.py")
    assert [p.name for p in files if len(p.read_text().splitlines()) > 500] == []
