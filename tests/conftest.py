"""What every test may ask for: peer programs, the message corpus, a clock that stands still."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine, however slow: a search for new ones is `make fuzz`.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

REQUIRE = os.environ.get("GATEPOST_REQUIRE_PEERS") == "1"
ROOT = Path(__file__).resolve().parent.parent


def absent(reason: str) -> None:
    """Skip on a user's machine, fail where peers are required (CI)."""
    if REQUIRE:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def peer(*programs: str) -> None:
    """Require programs on the PATH (Postfix keeps its own in /usr/sbin)."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    for program in programs:
        if shutil.which(program, path=path) is None:
            absent(f"needs {program} (scripts/install-peers)")
    if {"postfix", "exim4"} & set(programs) and os.geteuid() != 0:
        absent("needs root to start a mail server of its own")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour @pytest.mark.peer("openssl", …)."""
    for mark in item.iter_markers("peer"):
        peer(*mark.args)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real messages, keys and attacks."""
    folder = Path(os.environ.get("GATEPOST_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not (folder / "expected.jsonl").is_file():
        absent("needs the message corpus (GATEPOST_CORPUS)")
    return folder


@pytest.fixture
def now() -> datetime:
    """A moment at which nothing expires by surprise."""
    return datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
