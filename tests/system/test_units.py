"""The unit files: systemd understands them, and they lock the service in."""

import subprocess
from pathlib import Path

import pytest
from tests.conftest import ROOT

UNITS = ROOT / "deploy"
pytestmark = pytest.mark.peer("systemd-analyze")


def test_units_are_understood(tmp_path: Path) -> None:
    """A word systemd does not know is ignored with a line in a log, and so is the protection."""
    for name in ("gatepost.service", "gatepost.socket"):
        text = (UNITS / name).read_text().replace("/usr/local/bin/gatepost", "/bin/true")
        (tmp_path / name).write_text(text)
    done = _analyze("verify", "--man=no", "--recursive-errors=no", *map(str, tmp_path.iterdir()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_service_is_locked_in() -> None:
    """A hole in a parser reads the machine's other secrets."""
    service = str(UNITS / "gatepost.service")
    done = _analyze("security", "--offline=yes", "--no-pager", "--threshold=20", service)
    assert done.returncode == 0, done.stdout


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
