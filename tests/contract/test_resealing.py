"""Private keys sealed anew under another key-encryption key, on both databases."""

from datetime import datetime
from pathlib import Path

import pytest
from tests.contract.shelf import Shelf
from tests.pki_builder import user

from gatepost.store import resealing
from gatepost.store.record import StoredKey
from gatepost.store.request import Request
from gatepost.store.resealing import Box, Boxes


@pytest.fixture(params=["sqlite", "postgres"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """Each engine in turn."""
    if request.param == "postgres":
        return Shelf(request.getfixturevalue("postgres").address)
    return Shelf(str(tmp_path / "directory.db"))


def test_replaced_unless_changed_meanwhile(
    shelf: Shelf, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key imported during the rotation would be overwritten by the one it replaced."""
    monkeypatch.setattr(resealing, "BATCH", 2)
    ones = [user(f"{name}@example.com", "p256").certificate for name in "abc"]
    with shelf.open() as directory:
        for one in ones:
            directory.add_key(StoredKey(one, "id", "both", b"old"), [], source="issued", now=now)
        generation = directory.generation()
        database = shelf.database()
        boxes = Boxes(database)
        found = boxes.all()
        assert len(found) == 3
        late = StoredKey(ones[0], "id", "both", b"late")
        directory.add_key(late, [], source="imported", now=now)

        def seal(one: Box) -> bytes:
            return b"new " + one.sealed

        assert boxes.replace(found, seal) == 2
        assert sorted(one.sealed for one in boxes.all()) == [b"late", b"new old", b"new old"]
        assert directory.generation() != generation
        database.close()


def test_the_keys_of_requests_too(shelf: Shelf, now: datetime) -> None:
    """A certificate that comes after the rotation would be for a key that opens no more."""
    with shelf.open() as directory:
        asked = Request("a@example.com", "both", "ca", "id", b"old", b"p10", created=now, due=now)
        assert directory.requests.open(asked)
        database = shelf.database()
        boxes = Boxes(database)
        assert boxes.all() == (Box("", "id", b"old"),)
        assert boxes.replace(boxes.all(), lambda one: b"new " + one.sealed) == 1
        database.close()
        certificate = user("a@example.com", "p256").certificate
        assert directory.requests.finish(asked, (certificate,), now=now)  # as it was read before
        found = directory.key_of(certificate)
        assert found is not None
        assert found.sealed == b"new old"
