"""The envelope of a mail transaction (RFC 5321 section 2.3.1) and its DSN wishes (RFC 3461)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gatepost.mail.address import Mailbox

Body = Literal["7BIT", "8BITMIME"]


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path with what the originator asked to be told about it."""

    mailbox: Mailbox
    notify: str | None = None  # RFC 3461 section 4.1, e.g. "SUCCESS,FAILURE"
    orcpt: str | None = None  # RFC 3461 section 4.2, still xtext-encoded

    def __str__(self) -> str:
        return str(self.mailbox)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent it (`return_path`, None is the null path) and to whom it goes."""

    return_path: Mailbox | None
    recipients: tuple[Recipient, ...]
    body: Body | None = None  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    ret: str | None = None  # RFC 3461 section 4.3: FULL or HDRS
    envid: str | None = None  # RFC 3461 section 4.4, still xtext-encoded
    requiretls: bool = False  # RFC 8689: never in clear text, nor to a server that will not promise
    secure: bool = False  # over a verified connection only, which policy took for encryption
    origin: tuple[tuple[str, str], ...] = ()  # XFORWARD attributes: whose mail it was before ours

    def to(self, *recipients: Recipient) -> Envelope:
        """The same envelope addressed to these recipients only."""
        return self if recipients == self.recipients else replace(self, recipients=recipients)
