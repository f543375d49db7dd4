"""MTA-STS policies on the disk: what somebody damaged is as if it were not there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gatepost.errors import Malformed
from gatepost.lookup.policy_file import PolicyFiles, composed, restored
from gatepost.route.sts import parse

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = parse("version: STSv1\nmode: enforce\nmx: *.a.example\nmax_age: 86400\n", "1", NOW)
WHOLE = json.loads(composed("a.example", POLICY))


def test_what_is_written_is_read() -> None:
    """A restart forgets whom mail may be sent to."""
    assert restored("a.example", composed("a.example", POLICY)) == POLICY
    assert restored("", composed("a.example", POLICY)) == POLICY


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        *(
            json.dumps({**WHOLE, **change}).encode()
            for change in (
                {"domain": "b.example"},
                {"mode": "never"},
                {"fetched": "2026-06-01T12:00:00"},
                {"fetched": "9999-12-31T12:00:00+00:00"},
                {"fetched": "0001-01-01T00:00:00+23:59"},
                {"max_age": -1},
                {"max_age": float("inf")},
                {"max_age": 10**30},
                {"mx": ["a.example"] * 1000},
                {"mx": 7},
            )
        ),
    ],
)
def test_what_is_damaged(octets: bytes, tmp_path: Path) -> None:
    """Mail to one domain fails for ever, or no old policy is ever removed."""
    with pytest.raises(Malformed):
        restored("a.example", octets)
    files = PolicyFiles(tmp_path)
    files.write("a.example", POLICY)
    (path,) = tmp_path.iterdir()
    path.write_bytes(octets)
    assert files.read("a.example") is None
    assert files.prune(NOW) == 0
