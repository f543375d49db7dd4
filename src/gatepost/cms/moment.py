"""Points in time as CMS writes them: UTCTime and GeneralizedTime (RFC 5652 section 11.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from gatepost.cms import ber, der

UTC_TIME = 0x17
GENERALIZED_TIME = 0x18

_FORM = re.compile(
    rb"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:[.,]\d{1,9})?(?:Z|([+-])(\d{2})(\d{2}))?"
)


def compose(when: datetime) -> bytes:
    """A Time: "through the year 2049" as UTCTime, later as GeneralizedTime."""
    when = when.astimezone(UTC)
    # strftime would take ten times as long, for every mail.
    rest = f"{when.month:02d}{when.day:02d}{when.hour:02d}{when.minute:02d}{when.second:02d}Z"
    if 1950 <= when.year < 2050:
        return der.tlv(UTC_TIME, f"{when.year % 100:02d}{rest}".encode("ascii"))
    return der.tlv(GENERALIZED_TIME, f"{when.year:04d}{rest}".encode("ascii"))


def parse(element: ber.Element) -> datetime | None:
    """What either form says, also with an offset or without seconds; None if it is no time."""
    if element.tag not in (UTC_TIME, GENERALIZED_TIME):
        return None
    form = _FORM.fullmatch(element.value(element.tag)[:40])
    if form is None or len(form[1]) != (2 if element.tag == UTC_TIME else 4):
        return None
    year = int(form[1])
    if element.tag == UTC_TIME:  # RFC 5652 11.3: "greater than or equal to 50 … 19YY"
        year += 1900 if year >= 50 else 2000
    try:
        numbers = [int(form[group] or 0) for group in (2, 3, 4, 5, 6)]
        return datetime(year, *numbers, tzinfo=_zone(form))  # type: ignore[arg-type, misc]  # five numbers
    except ValueError:
        return None


def _zone(form: re.Match[bytes]) -> tzinfo:
    if form[7] is None:
        return UTC
    offset = timedelta(hours=int(form[8]), minutes=int(form[9]))
    return timezone(offset if form[7] == b"+" else -offset)
