"""Replies a person can act upon: which recipient, why, and what would help.

550 5.7.1 says what is the case, refused by policy (RFC 3463 section 3.8).  The tempting
5.7.10 "Encryption Needed" (RFC 5248) speaks of TLS before AUTH and misleads clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gatepost.mail.address import Mailbox
from gatepost.mail.reply import Reply
from gatepost.pki.choose import Choice
from gatepost.policy.treatment import Treatment

MAXIMUM_NAMED = 10  # recipients named in one reply
MAXIMUM_REMARKS = 2
MAXIMUM_LINE = 400  # RFC 5321 section 4.5.3.1.5 allows 512 octets with code and line end


def unencryptable(choices: Mapping[Mailbox, Choice], wishes: Mapping[Mailbox, Treatment]) -> Reply:
    """Encryption is mandatory and impossible for these recipients."""
    lines = [
        f"{mailbox}: {_changed(choice)}"
        if choice.changes
        else f"{mailbox}: encryption is mandatory{_because(wishes[mailbox])}, but {lacking(choice)}"
        for mailbox, choice in choices.items()
    ]
    if any(choice.unasked for choice in choices.values()):  # later may be better
        return reply(451, "4.4.0", lines)
    return reply(550, "5.7.1", lines)


def _because(treatment: Treatment) -> str:
    origin = treatment.origin("encrypt")
    if origin.source == "rule":
        return f' (rule "{origin.rule}")'
    return " (its author asked for it)" if origin.source == "author" else ""


def _changed(choice: Choice) -> str:
    said = "; ".join(choice.changes)
    return f"an administrator has to accept the certificate to encrypt with, which changed ({said})"


def lacking(choice: Choice) -> str:
    """Why there is no certificate to encrypt with, in half a sentence."""
    if choice.unasked:
        return f"no certificate is known, and it cannot be looked up now ({choice.unasked})"
    if not choice.rejected:
        told = "; ".join(choice.remarks[:MAXIMUM_REMARKS])
        return f"no certificate is known ({told})" if told else "no certificate is known"
    first, others = choice.rejected[0], len(choice.rejected) - 1
    more = f" and {others} more" if others else ""
    return f"no usable certificate is known ({first.certificate.name}: {first.reason}{more})"


def reply(code: int, status: str, lines: Iterable[str]) -> Reply:
    """A reply of several lines, as long and as ASCII as a reply may be."""
    every = list(lines)
    shown = every[:MAXIMUM_NAMED]
    if len(every) > len(shown):
        shown.append(f"and {len(every) - len(shown)} more recipients")
    return Reply(code, status, "\n".join(_plain(line) for line in shown))


def _plain(line: str) -> str:
    """Printable ASCII of bounded length: RFC 6531 section 3.7.4.2 allows nothing else unasked."""
    printable = "".join(one if one.isprintable() else " " for one in line)
    return printable.encode("ascii", "backslashreplace").decode("ascii")[:MAXIMUM_LINE]
