"""Messages, people and settings the S/MIME tests share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests import pki_builder
from tests.pki_builder import User

from gatepost.cms.capability import KeyTransport, SignatureScheme
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.pki.validate import Anchors
from gatepost.smime import decrypt as opening
from gatepost.smime import encrypt as closing
from gatepost.smime import sign as signing
from gatepost.smime import verify as verifying
from gatepost.smime.protection import Protection
from gatepost.smime.sign import Form

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ALICE = Mailbox("alice", "example.com")
ANCHORS = Anchors(frozenset({pki_builder.company_root().certificate}))
NOBODY = Anchors(frozenset())

HEADER = (
    b"From: Alice <alice@example.com>\r\n"
    b"To: Bob <bob@example.net>\r\n"
    b"Subject: Offer\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n"
)
BODY = b"Dear Bob,\r\n\r\nten thousand, as agreed.\r\n"


@dataclass(slots=True)
class Chance:
    """Entropy from a counter: different every time, the same in every run."""

    state: itertools.count[int] = field(default_factory=itertools.count)

    def __call__(self, size: int) -> bytes:
        """As many octets as asked for."""
        return b"".join(next(self.state).to_bytes(4, "big") for _ in range(-(-size // 4)))[:size]


def names() -> Callable[[], str]:
    """Tokens for boundaries."""
    numbers = itertools.count(1)
    return lambda: f"token{next(numbers)}"


def alice() -> User:
    """The author."""
    return pki_builder.user("alice@example.com", "p256")


def bob() -> User:
    """The recipient."""
    return pki_builder.user("bob@example.net", "p256")


def sign(
    header: bytes = HEADER,
    body: bytes = BODY,
    *,
    by: User | None = None,
    scheme: SignatureScheme | None = None,
    form: Form = "clear",
    now: datetime = NOW,
    protect: Protection | None = None,
) -> tuple[bytes, Content]:
    """A signed message."""
    return signing.sign(
        header,
        Octets(body),
        (by or alice()).signer,
        now=now,
        names=names(),
        scheme=scheme,
        form=form,
        protect=protect,
    )


def verify(
    header: bytes,
    body: Content | bytes,
    *,
    anchors: Anchors = ANCHORS,
    author: Mailbox | None = ALICE,
    moment: datetime = NOW,
    keep_signature: bool = True,
) -> verifying.Verified:
    """Verify as the gateway would on the day the mail was sent."""
    content = Octets(body) if isinstance(body, bytes) else body
    return verifying.verify(header, content, anchors, moment, author, keep_signature=keep_signature)


def encrypt(
    header: bytes = HEADER,
    body: Content | bytes = BODY,
    *,
    to: tuple[User, ...] = (),
    cipher: str = "aes256-gcm",
    key_transport: KeyTransport = closing.PKCS1,
    protect: Protection | None = None,
) -> tuple[bytes, Content]:
    """An encrypted message."""
    content = Octets(body) if isinstance(body, bytes) else body
    certificates = [user.certificate for user in to or (bob(),)]
    return closing.encrypt(
        header,
        content,
        certificates,
        cipher=cipher,
        entropy=Chance(),
        key_transport=key_transport,
        protect=protect,
    )


def decrypt(header: bytes, body: Content | bytes, *users: User) -> opening.Opened:
    """Open a message with these users' keys."""
    content = Octets(body) if isinstance(body, bytes) else body
    keys = [user.decryptor for user in users or (bob(),)]
    elsewhere = Chance(itertools.count(1 << 24))  # never the keys that were drawn to encrypt
    return opening.decrypt(header, content, keys, elsewhere)


def octets(message: tuple[bytes, Content]) -> bytes:
    """A message as one."""
    return message[0] + b"\r\n" + join(message[1])
