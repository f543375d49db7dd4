"""Find out what outgoing mail is, who wrote it, and what policy wants for each recipient.

Signed for is RFC5322.From, for that is what receivers compare (RFC 8550 section 3); with
several From fields or authors nobody is.  A message under the null path (DSN, RFC 3464) is
never signed, but encrypted like any other: it may return clear text that came encrypted.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.flow import subject
from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.nature import Nature, nature
from gatepost.flow.plan import Wish
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.message import Message
from gatepost.mime import headers
from gatepost.policy.evaluate import evaluate
from gatepost.policy.rules import HeaderTrigger, Triggers

VISIBLE = ("To", "Cc", "Resent-To", "Resent-Cc")
BLIND = ("Bcc", "Resent-Bcc")  # RFC 5322 section 3.6.3: whose addresses are not to be revealed


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing: policy and header tell."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Note the wish; take tags and blind addresses out of the header."""
    triggers = context.policy.triggers
    author, found = sole_author(message.header), nature(message.header, message.body)
    tagged = _asks_for_encryption(message.header, triggers)
    wish = Wish(
        author,
        found,
        _unsignable(message, context, author, found),
        {
            one.mailbox: evaluate(
                context.policy, author or message.envelope.return_path, one.mailbox, tagged=tagged
            )
            for one in message.envelope.recipients
        },
        _visible(message.header),
        mute=message.envelope.return_path is None,
    )
    header = headers.without(message.header, *BLIND)
    header = subject.without(header, triggers.subject)
    return message.headed(header).noting(wish), Continue()


def sole_author(header: bytes) -> Mailbox | None:
    """The author, if the header names exactly one (RFC 5322 section 3.6.2)."""
    fields = headers.every(header, "From")
    if len(fields) != 1:
        return None
    authors = headers.mailboxes(fields[0].value)
    return authors[0] if len({one.key for one in authors}) == 1 else None


def _unsignable(message: Message, context: Context, author: Mailbox | None, found: Nature) -> str:
    if found is Nature.ENCRYPTED:
        return "its author has already encrypted it"
    if found is Nature.SIGNED:
        return "its author has already signed it"
    if message.envelope.return_path is None:
        return "a message under the null return path is nobody's to sign"
    if message.envelope.return_path.domain_key not in context.domains:
        # A stranger's mail that an alias of ours sends on may claim anybody of ours as author.
        return f"it was forwarded: its return path {message.envelope.return_path} is not ours"
    if author is None:
        return "the header does not name exactly one author"
    if author.domain_key not in context.domains:
        return f"the author {author} is not in a domain of ours"
    return ""


def _asks_for_encryption(header: bytes, triggers: Triggers) -> bool:
    return subject.tagged(header, triggers.subject) or _triggered(header, triggers.headers)


def _triggered(header: bytes, triggers: Sequence[HeaderTrigger]) -> bool:
    return any(
        not trigger.value or trigger.value.casefold() == field.text.strip().casefold()
        for trigger in triggers
        for field in headers.every(header, trigger.name)
    )


def _visible(header: bytes) -> frozenset[str]:
    return frozenset(
        mailbox.key
        for name in VISIBLE
        for field in headers.every(header, name)
        for mailbox in headers.mailboxes(field.value)
    )
