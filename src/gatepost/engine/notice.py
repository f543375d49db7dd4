"""Write to the postmaster that a correspondent's certificate is another one than before."""

from __future__ import annotations

import textwrap
from datetime import datetime

from gatepost.flow.plan import Met
from gatepost.mail.address import Mailbox
from gatepost.mail.field import compose, date

_ADVICE = (
    "Mail to this address is encrypted with the new certificate from now on. Ask the "
    "correspondent, by telephone for instance, whether it is really his. If it is not, "
    "'gatepost cert deny FINGERPRINT --reason TEXT' stops its use at once, and "
    "'key_change = \"hold\"' in the policy keeps mail back at the next change."
)


def changed(found: Met, to: Mailbox, hostname: str, message_id: str, now: datetime) -> bytes:
    """The whole message; nothing of the mail that showed it is quoted."""
    header = [
        compose("Date", date(now)),
        compose("From", f"Gatepost <MAILER-DAEMON@{hostname}>"),
        compose("To", f"<{to}>".encode()),
        compose("Subject", f"The certificate of {found.mailbox} changed"),
        compose("Message-ID", message_id),
        compose("Auto-Submitted", "auto-generated"),  # RFC 3834 section 5
        compose("MIME-Version", "1.0"),
        compose("Content-Type", "text/plain; charset=utf-8"),
        compose("Content-Transfer-Encoding", "8bit"),
    ]
    lines = [
        f"The certificate that mail to {found.mailbox} is encrypted with is not as before:",
        "",
        *(f"    {line}" for one in found.changes for line in textwrap.wrap(one, 72)),
        "",
        f"Fingerprint (SHA-256): {found.known.fingerprint}",
        "",
        *textwrap.wrap(_ADVICE, 76),
        "",
    ]
    return b"".join(header) + b"\r\n" + "\r\n".join(lines).encode("utf-8", "replace")
