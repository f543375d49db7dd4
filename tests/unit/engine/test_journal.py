"""The log: no failure of its own may reach the mail, and no octets of a mail may reach it."""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from gatepost.engine.journal import Journal, configure_log, reason_of
from gatepost.events import Event, Name


class FullDisk(io.StringIO):
    """Standard error redirected to a file on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def now() -> datetime:
    """A clock that stands."""
    return datetime(2026, 6, 1, tzinfo=UTC)


def test_a_log_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail stored safely would be answered 451, sent again and stored again, for ever."""
    monkeypatch.setattr(sys, "stderr", FullDisk())
    configure_log()
    assert Journal(now).note(Name.MESSAGE_ACCEPTED, "1A", size=7).queue_id == "1A"
    structlog.get_logger("gatepost.net").error("service.error")  # whoever logs, not only we


def test_an_observer_that_fails() -> None:
    """A counter's mistake would do the same."""
    seen: list[Event] = []
    journal = Journal(now)

    def wrong(_event: Event) -> None:
        raise RuntimeError

    journal.observe(wrong)
    journal.observe(seen.append)
    journal.note(Name.MESSAGE_ACCEPTED)
    assert [one.name for one in seen] == [Name.MESSAGE_ACCEPTED]


def test_reasons_hold_no_octets() -> None:
    """A decoding error carries the whole text it was about in its repr."""
    with pytest.raises(UnicodeDecodeError) as caught:
        b"the secret figures \xff".decode("ascii")
    assert "secret" in repr(caught.value)
    assert "secret" not in reason_of(caught.value)
    assert "UnicodeDecodeError" in reason_of(caught.value)
