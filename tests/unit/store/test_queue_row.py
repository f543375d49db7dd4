"""Rows of the queue that somebody damaged: each is told, and keeps no other mail from leaving."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.store import queue_row
from gatepost.store.queue_item import NewItem

TO = Recipient(Mailbox("bob", "example.net"))
OPTIONS = queue_row._options_text(NewItem("Q1", Envelope(None, (TO,)), "hop", Octets(b"")))
LISTED = queue_row._recipients_text((TO,), (None,))


def row(**changed: Any) -> queue_row.Row:
    known = {"due": 1, "listed": LISTED, "options": OPTIONS, **changed}
    head = (1, "Q1", "Q1", "hop", "active", "", 1, known["due"], 0, 0, 0)
    return (*head, None, known["listed"], known["options"], 7, None)


def test_a_row_as_it_was_written() -> None:
    """Mail goes to somebody else, or without what its author asked for."""
    found = queue_row.restored(row(), lambda _: Octets(b""))
    assert found.envelope.recipients == (TO,)
    assert queue_row.bond_of(row())


@pytest.mark.parametrize("text", ["", "7", "[]", "{", "[" * 100_000, '{"to": 7}', '{"to": [[]]}'])
@pytest.mark.parametrize("place", ["options", "listed"])
def test_what_is_damaged(place: str, text: str) -> None:
    """The faults that whoever reads the queue expects: others would stop a whole hop."""
    if (place, text) == ("listed", "[]"):
        return  # nobody is left
    for damaged in (row(**{place: text}), row(due=1 << 62), row(listed="[[7,null,null,null]]")):
        with pytest.raises((ValueError, TypeError, LookupError)):
            read(damaged)


def read(damaged: queue_row.Row) -> None:
    """All that is read of a row."""
    queue_row.bond_of(damaged)
    queue_row.restored(damaged, lambda _: Octets(b""))
