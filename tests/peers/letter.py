"""Mails as people's programs write them, ways to submit them, ways to read what arrived."""

import smtplib
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime, localtime
from itertools import count
from uuid import uuid4

NUMBERS = count(1)


@dataclass(frozen=True)
class Letter:
    """One mail.  `headers` are whole further header lines, `body` the octets after them."""

    sender: str
    to: str
    subject: str = "The Henderson file"
    body: bytes = b"Our client accepts the offer.\r\n"
    headers: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: f"<{next(NUMBERS)}.{uuid4().hex}@letter.test>")

    @property
    def octets(self) -> bytes:
        """The mail."""
        lines = (
            f"From: {self.sender}",
            f"To: {self.to}",
            f"Subject: {self.subject}",
            f"Date: {format_datetime(localtime())}",
            f"Message-ID: {self.id}",
            *self.headers,
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def submit(
    port: int,
    letter: Letter,
    *recipients: str,
    sender: str | None = None,
    options: tuple[str, ...] = (),
) -> dict[str, tuple[int, bytes]]:
    """Send in one transaction; returns the recipients refused, raises for a refused mail."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("mail.letter.test")
        return client.sendmail(
            letter.sender if sender is None else sender,
            recipients or (letter.to,),
            letter.octets,
            options,
        )


def read(octets: bytes) -> EmailMessage:
    """What arrived, parsed by Python's own parser."""
    found = message_from_bytes(octets, policy=default)
    assert isinstance(found, EmailMessage)
    return found


def text(octets: bytes) -> str:
    """The text a person reads first, with plain line ends."""
    part = read(octets).get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def verdict(octets: bytes, gateway: str) -> str:
    """The S/MIME result in the Authentication-Results of this gateway (RFC 7281)."""
    fields = [
        " ".join(str(one).split()) for one in read(octets).get_all("Authentication-Results", [])
    ]
    ours = [one for one in fields if one.startswith(f"{gateway};")]
    assert len(ours) == 1, f"Authentication-Results of {gateway}: {fields}"
    return ours[0].partition("smime=")[2].split(" ")[0].rstrip(";")
