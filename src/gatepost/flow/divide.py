"""Divide outgoing mail by what is to be done for each recipient (RFC 8551 section 3.3).

Who is told about whom: recipients the header names may share one CMS, anyone else gets
a message and CMS of his own, for a RecipientInfo tells every reader who else reads.
Encryption that is mandatory and impossible refuses the message, or only its own
recipients where policy says so (`mixed`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from gatepost.certificate import Certificate
from gatepost.flow.context import Context
from gatepost.flow.decision import Decision, Done
from gatepost.flow.fact import CertificateFor, Fact
from gatepost.flow.nature import Nature
from gatepost.flow.plan import Plan, Wish, latest
from gatepost.flow.record import decided
from gatepost.flow.refusal import lacking, unencryptable
from gatepost.flow.verdict import Continue, Reject, Split, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.pki.choose import Choice
from gatepost.policy.treatment import Cipher, Encrypt, Mixed, Transport, Treatment

GCM, CBC = Cipher.AES256_GCM.value, Cipher.AES256_CBC.value
Choices = Mapping[Mailbox, Choice]

MAXIMUM_COPIES = 1024 * 1024 * 1024  # octets of all separate copies: more would not be done in time
TOO_MUCH = Reply(
    552,
    "5.3.4",
    "Too large for so many separate copies: send it to fewer blind recipients",
)


def asks(message: Message, _context: Context) -> frozenset[Fact]:
    """A certificate for everybody to whom encryption is at least wanted."""
    return frozenset(CertificateFor(mailbox) for mailbox in _wanting(latest(message, Wish)))


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Refuse, or give each group of recipients its plan."""
    wish = latest(message, Wish)
    choices = {one: context.certificate_for(CertificateFor(one)) for one in _wanting(wish)}
    impossible = {
        mailbox: choice
        for mailbox, choice in choices.items()
        if choice.chosen is None and wish.treatments[mailbox].encrypt is Encrypt.MANDATORY
    }
    if impossible and _refuses_all(message, wish, impossible):
        reply = unencryptable(impossible, wish.treatments)
        decisions = _refused(message, wish, choices, impossible)
        return message.noting(*decisions), Reject(reply, f"cannot encrypt to {_named(impossible)}")
    parts = _parts(message, wish, choices, impossible)
    if len(parts) == 1:
        return parts[0], Continue()
    if len(parts) * message.size > MAXIMUM_COPIES:
        return message, Reject(TOO_MUCH, f"{len(parts)} copies of {message.size} octets")
    return message, Split(parts)


def _wanting(wish: Wish) -> list[Mailbox]:
    if wish.nature is Nature.ENCRYPTED:
        return []
    return [one for one, how in wish.treatments.items() if how.encrypt is not Encrypt.NEVER]


def _refuses_all(message: Message, wish: Wish, impossible: Choices) -> bool:
    return all(one.mailbox in impossible for one in message.envelope.recipients) or any(
        wish.treatments[mailbox].mixed is Mixed.NOTHING for mailbox in impossible
    )


def _refused(message: Message, wish: Wish, choices: Choices, impossible: Choices) -> list[Decision]:
    others = f"refused because encryption is impossible to {_named(impossible)}"
    return [
        decided(
            one,
            wish,
            Done.REFUSED,
            lacking(impossible[one.mailbox]) if one.mailbox in impossible else others,
            choice=choices.get(one.mailbox),
        )
        for one in message.envelope.recipients
    ]


def _parts(
    message: Message, wish: Wish, choices: Choices, impossible: Choices
) -> tuple[Message, ...]:
    """One message per group, in order of its first recipient, each with its plan."""
    groups: defaultdict[tuple[Hashable, int | None], list[Recipient]] = defaultdict(list)
    for position, one in enumerate(message.envelope.recipients):
        blind = _encrypts(one.mailbox, choices) and one.mailbox.key not in wish.visible
        key = _key(one.mailbox, wish, choices, impossible)
        groups[key, position if blind else None].append(one)
    return tuple(
        message.to(*members).noting(
            _plan(wish, choices, impossible, members, apart=blind is not None and len(groups) > 1)
        )
        for (_, blind), members in groups.items()
    )


def _key(mailbox: Mailbox, wish: Wish, choices: Choices, impossible: Choices) -> Hashable:
    """Recipients with equal keys get equal content."""
    how = wish.treatments[mailbox]
    if mailbox in impossible:
        return "impossible"
    signing = (how.form, how.signature, how.unsigned) if how.sign and not wish.unsignable else ()
    encrypting = (how.cipher, how.key_transport) if _encrypts(mailbox, choices) else ()
    return signing, encrypting, how.header_protection if signing or encrypting else None


def _encrypts(mailbox: Mailbox, choices: Choices) -> bool:
    choice = choices.get(mailbox)
    return choice is not None and choice.chosen is not None


def _plan(
    wish: Wish,
    choices: Choices,
    impossible: Choices,
    members: Sequence[Recipient],
    *,
    apart: bool,
) -> Plan:
    how = wish.treatments[members[0].mailbox]
    if members[0].mailbox in impossible:
        own = {one.mailbox: impossible[one.mailbox] for one in members}
        return Plan(refusal=unencryptable(own, wish.treatments))
    chosen = [choices[one.mailbox] for one in members if _encrypts(one.mailbox, choices)]
    return Plan(
        sign=how.sign and not wish.unsignable,
        form=how.form,
        signature=how.signature,
        unsigned=how.unsigned,
        certificates=_certificates(chosen),
        cipher=_cipher(how, chosen) if chosen else "",
        key_transport=_key_transport(how, chosen) if chosen else "",
        header_protection=how.header_protection,
        apart=apart,
    )


def _certificates(choices: Sequence[Choice]) -> tuple[Certificate, ...]:
    """Each certificate once: a domain's may serve several recipients."""
    return tuple(dict.fromkeys(one.chosen for one in choices if one.chosen is not None))


def _cipher(how: Treatment, choices: Sequence[Choice]) -> str:
    if how.cipher is not Cipher.AUTO:
        return how.cipher.value
    return GCM if _everybody_reads(GCM, choices) else CBC


def _key_transport(how: Treatment, choices: Sequence[Choice]) -> str:
    if how.key_transport is not Transport.AUTO:
        return how.key_transport.value
    oaep = Transport.OAEP.value
    return oaep if _everybody_reads(oaep, choices) else Transport.PKCS1.value


def _everybody_reads(algorithm: str, choices: Sequence[Choice]) -> bool:
    return all(algorithm in choice.capabilities for choice in choices)


def _named(choices: Choices) -> str:
    return ", ".join(map(str, choices))
