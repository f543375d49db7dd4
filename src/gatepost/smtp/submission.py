"""One mail transaction as a client sees it: what to ask, and what each recipient was told.

Decides which recipients can be offered to this server at all, by its extensions
(RFC 1870, 3461, 6152, 6531, 8689).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.smtp.grammar import encode_xtext

NO_EIGHT_BIT: Final = Reply(554, "5.6.3", "Next hop lacks 8BITMIME and the message is 8-bit")
NO_SMTPUTF8: Final = Reply(553, "5.6.7", "Next hop lacks SMTPUTF8 and the message needs it")
NO_REQUIRETLS: Final = Reply(550, "5.7.30", "Next hop cannot keep the promise of REQUIRETLS")
UNVERIFIED: Final = Reply(451, "4.7.10", "Mail that needs a verified connection has none here")
TOO_BIG: Final = Reply(552, "5.3.4", "Message exceeds the next hop's maximum size")

Results = tuple[tuple[Recipient, Reply], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What the caller wants sent."""

    envelope: Envelope
    size: int
    is_eight_bit: bool = False
    force_eight_bit: bool = False  # send 8-bit content even without 8BITMIME
    chunked: bool = False  # by BDAT, where CHUNKING is offered
    forward: bool = False  # say whose mail it is, where XFORWARD is offered
    is_verified: bool = False  # the connection is under TLS and the server proved its name


class Submission:
    """Collects the replies of one transaction."""

    def __init__(self, job: Job, offered: Mapping[str, str]) -> None:
        self._job, self._offered = job, offered
        self._is_utf8 = "SMTPUTF8" in offered and _needs_utf8(job.envelope)
        self._final: list[Reply | None] = self._refusals()
        self.asked = tuple(i for i, reply in enumerate(self._final) if reply is None)
        self._hopes = len(self.asked)
        self.is_chunked = job.chunked and "CHUNKING" in offered

    @property
    def is_hopeless(self) -> bool:
        """Whether every recipient has been refused."""
        return not self._hopes

    @property
    def accepted(self) -> tuple[int, ...]:
        """The recipients still without a refusal."""
        return tuple(index for index in self.asked if self._final[index] is None)

    def _refusals(self) -> list[Reply | None]:
        """What we know before asking."""
        envelope, offered = self._job.envelope, self._offered
        whole: Reply | None = None
        limit = offered.get("SIZE", "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:20]) < self._job.size:
            whole = TOO_BIG
        elif self._job.is_eight_bit and not self._may_eight_bit():
            whole = NO_EIGHT_BIT
        elif "SMTPUTF8" not in offered and (
            envelope.smtputf8 or not _is_plain(envelope.return_path)
        ):
            whole = NO_SMTPUTF8
        elif envelope.requiretls and not (self._job.is_verified and "REQUIRETLS" in offered):
            whole = NO_REQUIRETLS  # RFC 8689 section 4.2.1
        elif envelope.secure and not self._job.is_verified:
            whole = UNVERIFIED
        if whole is not None:
            return [whole] * len(envelope.recipients)
        takes_utf8 = "SMTPUTF8" in offered
        return [
            None if takes_utf8 or _is_plain(recipient.mailbox) else NO_SMTPUTF8
            for recipient in envelope.recipients
        ]

    def _may_eight_bit(self) -> bool:
        return "8BITMIME" in self._offered or self._job.force_eight_bit

    def mail(self) -> bytes:
        """The MAIL command with the parameters this server knows."""
        envelope, offered = self._job.envelope, self._offered
        words = [f"MAIL FROM:<{self._path(envelope.return_path)}>"]
        if "SIZE" in offered:
            words.append(f"SIZE={self._job.size}")
        if "8BITMIME" in offered and (self._job.is_eight_bit or envelope.body == "8BITMIME"):
            words.append("BODY=8BITMIME")
        if self._is_utf8:
            words.append("SMTPUTF8")
        if envelope.requiretls:
            words.append("REQUIRETLS")
        if "DSN" in offered:
            words += [f"RET={envelope.ret}"] if envelope.ret else []
            words += [f"ENVID={envelope.envid}"] if envelope.envid else []
        return " ".join(words).encode() + b"\r\n"

    def xforward(self) -> bytes:
        """The XFORWARD commands that say whose mail this is; empty when nobody is to hear it."""
        known = self._offered.get("XFORWARD", "").upper().split()
        if not self._job.forward or not known:
            return b""
        origin = dict(self._job.envelope.origin)
        lines, line = [], "XFORWARD"
        for name in known[:20]:
            word = f" {name}={encode_xtext(origin.get(name, ''))[:255] or '[UNAVAILABLE]'}"
            if len(line) + len(word) > 500:  # RFC 5321 section 4.5.3.1.4
                lines.append(line)
                line = "XFORWARD"
            line += word
        return "".join(f"{one}\r\n" for one in (*lines, line)).encode("ascii")

    def rcpt(self, index: int) -> bytes:
        """The RCPT command for one recipient."""
        recipient = self._job.envelope.recipients[index]
        words = [f"RCPT TO:<{self._path(recipient.mailbox)}>"]
        if "DSN" in self._offered:
            words += [f"NOTIFY={recipient.notify}"] if recipient.notify else []
            if recipient.orcpt and (self._is_utf8 or recipient.orcpt.isascii()):  # RFC 6533
                words.append(f"ORCPT={recipient.orcpt}")
        return " ".join(words).encode() + b"\r\n"

    def _path(self, mailbox: Mailbox | None) -> str:
        if mailbox is None:
            return ""
        return str(mailbox) if self._is_utf8 else _plain(mailbox)

    def begun(self, reply: Reply) -> None:
        """Note the reply to MAIL; a refusal is everyone's."""
        if not reply.is_positive:
            for index in self.asked:
                self.answered(index, reply)

    def answered(self, index: int, reply: Reply) -> None:
        """Note the reply to one RCPT; what came first stands."""
        if self._final[index] is None and not reply.is_positive:
            self._final[index] = reply
            self._hopes -= 1

    def ended(self, index: int, reply: Reply) -> None:
        """Note an LMTP server's word about one accepted recipient (RFC 2033 section 4.2)."""
        self._final[index] = reply

    def results(self, rest: Reply) -> Results:
        """Every recipient's last word; those without one get `rest`."""
        return tuple(
            (recipient, reply or rest)
            for recipient, reply in zip(self._job.envelope.recipients, self._final, strict=True)
        )


def _plain(mailbox: Mailbox) -> str:
    """The path in ASCII; A-labels need no SMTPUTF8 (RFC 6531 section 3.2)."""
    domain = mailbox.domain if mailbox.domain.isascii() else mailbox.domain_key
    return f"{mailbox.local}@{domain}"


def _is_plain(mailbox: Mailbox | None) -> bool:
    return mailbox is None or _plain(mailbox).isascii()


def _needs_utf8(envelope: Envelope) -> bool:
    """RFC 6531 section 3.4: the parameter goes with the message or any address."""
    paths = [envelope.return_path, *(recipient.mailbox for recipient in envelope.recipients)]
    return envelope.smtputf8 or not all(_is_plain(path) for path in paths)
