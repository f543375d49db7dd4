"""Signing times of every form people send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gatepost.cms import ber, der, moment


@pytest.mark.parametrize(
    ("when", "octets"),
    [
        (datetime(2026, 6, 1, 12, 0, 5, tzinfo=UTC), b"\x17\x0d260601120005Z"),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), b"\x17\x0d251231230000Z"),
    ],
)
def test_written_by_the_year(when: datetime, octets: bytes) -> None:
    """RFC 5652 11.3: a wrong form is a signature strict readers refuse."""
    assert moment.compose(when) == octets
    assert moment.parse(ber.parse(octets)) == when


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x17, b"2606011200Z", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        (0x17, b"260601120000+0200", datetime(2026, 6, 1, 10, tzinfo=UTC)),
        (0x18, b"20260601120000.123Z", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        (0x17, b"261301120000Z", None),
        (0x17, b"20260601120000Z", None),
        (0x17, "２６０６０１１２００００Z".encode(), None),
        (0x17, b"260601120000+9999", None),
        (0x17, b"", None),
        (0x04, b"260601120000Z", None),
    ],
)
def test_read(tag: int, text: bytes, expected: datetime | None) -> None:
    """A time that cannot be read is no reason to lose the mail."""
    assert moment.parse(ber.parse(der.tlv(tag, text))) == expected
