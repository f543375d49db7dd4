"""Letters to the postmaster: of a certificate that changed, of what certificates need."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime

from gatepost.flow.plan import Met
from gatepost.mail.address import Mailbox
from gatepost.mail.field import compose, date
from gatepost.store.notice import Notice

_ADVICE = (
    "Mail to this address is encrypted with the new certificate from now on. Ask the "
    "correspondent, by telephone for instance, whether it is really his. If it is not, "
    "'gatepost cert deny FINGERPRINT --reason TEXT' stops its use at once, and "
    "'key_change = \"hold\"' in the policy keeps mail back at the next change."
)


def changed(found: Met, to: Mailbox, hostname: str, message_id: str, now: datetime) -> bytes:
    """The whole message; nothing of the mail that showed it is quoted."""
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
    subject = f"The certificate of {found.mailbox} changed"
    return _letter(subject, lines, _envelope(to, hostname, message_id, now))


def digest(
    told: Sequence[Notice], to: Mailbox, hostname: str, message_id: str, now: datetime
) -> bytes:
    """What certificates need, one thing after the other."""
    lines = [f"{hostname} has noted about certificates:", ""]
    for one in told:
        lines.append(f"{one.at:%Y-%m-%d %H:%M} UTC")
        lines += [f"    {line}" for line in textwrap.wrap(one.text, 72)]
        lines.append("")
    lines += ["'gatepost check' says what else needs a look.", ""]
    things = "1 thing" if len(told) == 1 else f"{len(told)} things"
    subject = f"Certificates: {things} to look at"
    return _letter(subject, lines, _envelope(to, hostname, message_id, now))


def _envelope(to: Mailbox, hostname: str, message_id: str, now: datetime) -> list[bytes]:
    return [
        compose("Date", date(now)),
        compose("From", f"Gatepost <MAILER-DAEMON@{hostname}>"),
        compose("To", f"<{to}>".encode()),
        compose("Message-ID", message_id),
        compose("Auto-Submitted", "auto-generated"),  # RFC 3834 section 5
        compose("MIME-Version", "1.0"),
        compose("Content-Type", "text/plain; charset=utf-8"),
        compose("Content-Transfer-Encoding", "8bit"),
    ]


def _letter(subject: str, lines: Sequence[str], header: Sequence[bytes]) -> bytes:
    text = "\r\n".join(lines).encode("utf-8", "replace")
    return b"".join((*header, compose("Subject", subject))) + b"\r\n" + text
