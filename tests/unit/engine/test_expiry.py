"""Alerts of certificates that end: each once, whoever looks and however often."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.pki_builder import company_root, user

from gatepost.engine.expiry import alert
from gatepost.engine.journal import Journal
from gatepost.events import Event
from gatepost.store.directory import Directory

BORN = datetime(2026, 6, 1, tzinfo=UTC)


def test_each_end_is_told_four_times_and_no_more(tmp_path: Path) -> None:
    """A partner's certificate would end unheard, or nobody would read the hundredth alert."""
    path = tmp_path / "directory.sqlite"
    partner = user("bob@partner.example", "p256").certificate
    harvested = user("eve@partner.example", "p256").certificate
    told: list[Event] = []
    now = partner.not_after - timedelta(days=40)
    journal = Journal(lambda: now)
    journal.observe(told.append)
    with Directory(path) as one, Directory(path) as other:
        one.add_certificate(partner, ["bob@partner.example"], source="imported", now=BORN)
        one.add_certificate(harvested, ["eve@partner.example"], source="harvested", now=BORN)
        for hour in range(0, 40 * 24, 6):
            at = now + timedelta(hours=hour)
            for node in (one, other):
                alert(node.alerts, journal, at, more=lambda: (company_root().certificate,))
        assert one.alerts.given() == 8  # Bob's, and the one that stands in no directory
    names = [each.fields["subject"] for each in told]
    assert names.count(partner.name) == 4
    assert harvested.name not in names
