"""A seal for tests, and small things the queue's tests share."""

import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.store.queue_item import NewItem

MARKER = b"Quarterly figures: nobody may read this on the disk. "
START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class TestSeal:
    """AES-256-GCM under a fixed key."""

    __test__ = False

    def __init__(self, key: bytes = bytes(32)) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, aad: bytes, /) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, data, aad)

    def unseal(self, data: bytes, aad: bytes, /) -> bytes:
        return self._cipher.decrypt(data[:12], data[12:], aad)


class Clock:
    """Time that moves when told."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def envelope(*to: str, sender: str | None = "alice@alpha.test") -> Envelope:
    recipients = tuple(Recipient(Mailbox.parse(one)) for one in to or ("bob@beta.test",))
    return Envelope(Mailbox.parse(sender) if sender else None, recipients)


def new(
    queue_id: str, content: Content | bytes = MARKER, *to: str, hop: str = "outbound"
) -> NewItem:
    content = Octets(content) if isinstance(content, bytes) else content
    return NewItem(queue_id, envelope(*to), hop, content)


def raw(folder: Path) -> bytes:
    """Everything in every file below the folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
