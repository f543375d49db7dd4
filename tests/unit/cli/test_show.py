"""Printing: nothing from outside drives the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.cli import show


@given(st.text())
def test_clean_text_has_no_controls(text: str) -> None:
    """A subject or a certificate's name rewrites the administrator's screen."""
    kinds = {unicodedata.category(one) for one in show.clean(text) if one not in "\n\t"}
    assert not kinds & {"Cc", "Cf", "Cs"}


def test_umlauts_stay() -> None:
    """Names are shown as question marks."""
    assert show.clean("Grüße, 東京") == "Grüße, 東京"


@pytest.mark.parametrize(
    ("octets", "expected"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes(octets: int, expected: str) -> None:
    """Sizes mislead."""
    assert show.size(octets) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-5, "0s"), (90, "90s"), (600, "10m"), (7200, "2h"), (864000, "10d")]
)
def test_ages(seconds: float, expected: str) -> None:
    """Ages mislead."""
    assert show.age(seconds) == expected


def test_tables_align_wide_letters(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns run into each other."""
    show.table(("A", "B"), [("東京", 1), ("x", 2)])
    assert capsys.readouterr().out == "A     B\n東京  1\nx     2\n"


def test_no_colour_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs fill with escape sequences."""
    show.say("hello", "good")
    assert capsys.readouterr().out == "hello\n"
