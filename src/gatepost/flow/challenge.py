"""The mails of ACME for S/MIME (RFC 8823 section 3): judge a challenge, compose its response.

A challenge is believed when it comes from whom the authority named over TLS, to the one
person a certificate was ordered for.  Its answer proves nothing without the token's second
part, which no mail carries, and fits our own account's key only.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gatepost.mail import trace
from gatepost.mail.address import Mailbox
from gatepost.mail.field import date
from gatepost.mail.mailbox_list import tokens
from gatepost.mime import headers
from gatepost.smime.report import SignatureReport, Verdict

MAXIMUM_ANSWERS = 5  # to one order: a forged challenge must not use up the only one
MAXIMUM_SUBJECT = 2000
MAXIMUM_REFERENCES = 5

# RFC 8823 section 3.1: white space within the token is ignored; 128 bits are 22 characters.
# Tags in brackets before it, as mail servers write them ("[EXTERNAL]"), are no part of it.
_SUBJECT = re.compile(r"(?:[\[({][^\[\](){}]{1,60}[\])}]\s*){0,3}ACME:\s(.*)\Z", re.DOTALL)
_HINT = re.compile(r"ACME:\s+[A-Za-z0-9_-]{22}")
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22,512})={0,2}\Z")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,500}>\Z")
_ONCE = ("From", "To", "Subject")
_AT_MOST_ONCE = ("Sender", "Reply-To", "Cc", "Date", "Message-ID", "Auto-Submitted")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a pending order waits for: told by the authority over TLS."""

    mailbox: Mailbox  # whose certificate was ordered
    sender: Mailbox  # who will write
    token: str = field(repr=False)  # the second part
    thumbprint: str  # of our account's key (RFC 7638)
    source: str  # the source's name in the configuration
    order: str = ""  # which one it is
    answered: tuple[str, ...] = ()  # marks of the first parts that were answered
    proof: bool = False  # believe a challenge only with DKIM or S/MIME
    boundary: str = ""  # whose Authentication-Results say so
    delivers: bool = False  # the mail goes on to its recipient besides


@dataclass(frozen=True, slots=True)
class Expected:
    """Whether a challenge is expected for somebody."""

    challenge: Challenge | None = None
    unsettled: bool = False  # the order is being placed this very moment


@dataclass(frozen=True, slots=True)
class Answered:
    """A response to be sent, and what marks its challenge as answered."""

    challenge: Challenge
    mark: str
    to: Mailbox
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChallengeReport:
    """What became of a challenge."""

    sender: Mailbox
    reason: str

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"layer": "ACME challenge", "sender": str(self.sender), "reasons": [self.reason]}


def token(header: bytes) -> str | None:
    """The first part of the token; nothing in a mail that is no challenge at all."""
    found = _SUBJECT.match(_subject(header))
    match = _TOKEN.match("".join(found[1].split())) if found else None
    return match[1] if match else None


def is_hidden(header: bytes) -> bool:
    """Whether a Subject looks as if somebody on the way had written into a challenge's."""
    return token(header) is None and _HINT.search(_subject(header)) is not None


def _subject(header: bytes) -> str:
    subject = headers.first(header, "Subject")
    if subject is None or len(subject.raw) > MAXIMUM_SUBJECT:
        return ""
    if b"ACME" not in subject.raw and b"=?" not in subject.raw:  # most mail: nothing to decode
        return ""
    return subject.text.strip()


def mark(part: str) -> str:
    """What a first part is remembered by."""
    return hashlib.sha256(part.encode()).hexdigest()


def addressed(header: bytes) -> Mailbox | None:
    """The one mailbox that a challenge is for."""
    field_ = headers.first(header, "To")
    found = headers.mailboxes(field_.value) if field_ else ()
    return found[0] if len(found) == 1 else None


def fault(header: bytes, findings: Sequence[object], challenge: Challenge) -> str:
    """Why this is not the challenge we wait for, by RFC 8823 section 3.1; empty: it is."""
    return next(_faults(header, findings, challenge), "")


def _faults(header: bytes, findings: Sequence[object], challenge: Challenge) -> Iterator[str]:
    for name in _ONCE:
        if (count := len(headers.every(header, name))) != 1:
            yield f"it has {count} {name} fields, not one"
    for name in _AT_MOST_ONCE:
        if len(headers.every(header, name)) > 1:
            yield f"it has more than one {name} field"
    if {one.key for one in headers.authors(header)} != {challenge.sender.key}:
        yield f"it is not from {challenge.sender}, whom the authority named"
    found = addressed(header)
    if found is None or found.key != challenge.mailbox.key:
        yield f"it is not to {challenge.mailbox} alone"
    # A "MUST" of RFC 8823; some authorities leave it out, and no answer is worth less for it.
    submitted = headers.first(header, "Auto-Submitted")
    if submitted is not None and _word(submitted.value) != b"auto-generated":
        yield "its Auto-Submitted is not auto-generated"
    if any(one.name.lower().startswith("list-") for one in headers.fields(header)):
        yield "it came over a mailing list"
    if challenge.proof and not (_is_signed(findings, challenge) or _is_dkim(header, challenge)):
        yield "neither DKIM nor S/MIME proves its sender"


def _word(value: bytes) -> bytes:
    return value.split(b";", 1)[0].strip().lower()


def _is_signed(findings: Sequence[object], challenge: Challenge) -> bool:
    """Whether the sender signed it validly, the Subject too, as RFC 8823 section 3.1 has it."""
    found = [one for one in findings if isinstance(one, SignatureReport)]
    return bool(found) and all(
        one.verdict is Verdict.VALID
        and challenge.sender.key in {email.lower() for email in one.emails}
        and one.headers is not None
        and "subject" in {name.lower() for name in one.headers.protected}
        and "subject" not in {name.lower() for name in one.headers.differing}
        for one in found
    )


def _is_dkim(header: bytes, challenge: Challenge) -> bool:
    """Whether our own boundary found a DKIM signature of the sender's domain (RFC 8601)."""
    if not challenge.boundary:
        return False
    claimed = trace.claimed(header, challenge.boundary)
    if not claimed:
        return False
    said = claimed[0].value.decode("utf-8", "replace")  # the topmost: the newest
    return any(_is_pass(words, challenge.sender) for words in _clauses(said))


def _clauses(text: str) -> Iterator[list[str]]:
    """The words of each clause between semicolons; what stands in quotes is part of one word."""
    words, word = list[str](), ""
    for lexeme in (*tokens(text), ";"):
        if lexeme in " ;":
            words += [word] * bool(word)
            word = ""
        else:
            word += lexeme
        if lexeme == ";":
            yield words
            words = []


def _is_pass(words: Sequence[str], sender: Mailbox) -> bool:
    """RFC 7489 section 3.1.1: the signing domain is the sender's or above it."""
    if not words or words[0].lower() != "dkim=pass":
        return False
    for one in words[1:]:
        name, _, value = one.partition("=")
        if name.lower() in {"header.d", "header.i"}:
            domain = value.strip('"').rpartition("@")[2].lower()
            if domain and f".{sender.domain_key}".endswith(f".{domain}") and "." in domain:
                return True
    return False


def digest(part: str, challenge: Challenge) -> str:
    """What the response says: the digest of the key authorization (RFC 8555 section 8.1).

    The token's parts are joined as the texts they are, as most implementations do.
    """
    authorization = f"{part}{challenge.token}.{challenge.thumbprint}"
    octets = hashlib.sha256(authorization.encode()).digest()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def response(
    part: str, header: bytes, challenge: Challenge, *, message_id: str, now: datetime
) -> Answered:
    """The response to a challenge without fault (RFC 8823 section 3.2).

    Item 7 there allows text/plain, perhaps in multipart/alternative: no S/MIME around it.
    """
    to = _reply_to(header) or challenge.sender
    fields = [
        headers.compose("Date", date(now)),
        headers.compose("From", f"<{challenge.mailbox}>".encode()),
        headers.compose("To", f"<{to}>".encode()),
        headers.compose("Subject", f"Re: ACME: {part}"),
        headers.compose("Message-ID", message_id),
        *_threading(header),
        headers.compose("Auto-Submitted", "auto-replied"),  # RFC 3834 section 5
        headers.compose("MIME-Version", "1.0"),
        headers.compose("Content-Type", "text/plain; charset=us-ascii"),
        headers.compose("Content-Transfer-Encoding", "7bit"),
    ]
    lines = (
        "-----BEGIN ACME RESPONSE-----",
        digest(part, challenge),
        "-----END ACME RESPONSE-----",
    )
    body = "".join(f"{line}\r\n" for line in lines).encode()
    return Answered(challenge, mark(part), to, b"".join(fields) + b"\r\n" + body)


def _reply_to(header: bytes) -> Mailbox | None:
    found = headers.first(header, "Reply-To")
    mailboxes = headers.mailboxes(found.value) if found else ()
    return mailboxes[0] if len(mailboxes) == 1 else None


def _threading(header: bytes) -> list[bytes]:
    """RFC 5322 section 3.6.4; what is not well formed is left out."""
    found = headers.first(header, "Message-ID")
    if found is None or not _MESSAGE_ID.match(found.value):
        return []
    before = headers.first(header, "References") or headers.first(header, "In-Reply-To")
    named = before.value.split()[-MAXIMUM_REFERENCES:] if before else []
    line = b"\r\n ".join((*filter(_MESSAGE_ID.match, named), found.value))
    return [headers.compose("In-Reply-To", found.value), headers.compose("References", line)]
