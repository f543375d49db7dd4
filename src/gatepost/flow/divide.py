"""Divide outgoing mail by what is to be done for each recipient (RFC 8551 section 3.3).

Who is told about whom: recipients the header names may share one CMS, anyone else gets
a message and CMS of his own, for a RecipientInfo tells every reader who else reads.
Encryption that is mandatory and impossible refuses the message, or only its own
recipients where policy says so (`mixed`), lets these wait, or sends to them in clear over
verified connections only (`unencryptable`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gatepost.certificate import Certificate
from gatepost.flow.context import Context
from gatepost.flow.decision import Decision, Done
from gatepost.flow.fact import CertificateFor, CorrespondentFor, Fact
from gatepost.flow.nature import Nature
from gatepost.flow.plan import Met, Plan, Wish, latest
from gatepost.flow.record import decided
from gatepost.flow.refusal import lacking, unencryptable
from gatepost.flow.selection import Readers, is_held, select, suited
from gatepost.flow.verdict import Continue, Defer, Reject, Split, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.pki.choose import Choice
from gatepost.policy.treatment import Encrypt, KeyChange, Mixed, Unencryptable

Choices = Mapping[Mailbox, Choice]

MAXIMUM_COPIES = 1024 * 1024 * 1024  # octets of all separate copies: more would not be done in time
TOO_MUCH = Reply(
    552,
    "5.3.4",
    "Too large for so many separate copies: send it to fewer blind recipients",
)


def asks(message: Message, _context: Context) -> frozenset[Fact]:
    """A certificate for everybody to whom encryption is wanted; what everybody reads."""
    wish = latest(message, Wish)
    certificates = map(CertificateFor, _wanting(wish))
    return frozenset((*certificates, *map(CorrespondentFor, _served(wish))))


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Refuse, or give each group of recipients its plan."""
    wish = latest(message, Wish)
    choices = {
        one: suited(context.certificate_for(CertificateFor(one)), wish.treatments[one])
        for one in _wanting(wish)
    }
    impossible = {
        mailbox: choice
        for mailbox, choice in choices.items()
        if is_held(choice)
        or (
            choice.chosen is None
            and wish.treatments[mailbox].encrypt is Encrypt.MANDATORY
            and wish.treatments[mailbox].unencryptable is not Unencryptable.TLS
        )
    }
    if _refuses_all(message, wish, impossible):
        reply = unencryptable(impossible, wish.treatments)
        decisions = _refused(message, wish, choices, impossible)
        refusal = Defer if reply.is_transient else Reject
        return message.noting(*decisions), refusal(reply, f"cannot encrypt to {_named(impossible)}")
    known = {one: context.correspondent_for(CorrespondentFor(one)) for one in _served(wish)}
    parts = _parts(message, wish, choices, impossible, known)
    if len(parts) == 1:
        return parts[0], Continue()
    if len(parts) * message.size > MAXIMUM_COPIES:
        return message, Reject(TOO_MUCH, f"{len(parts)} copies of {message.size} octets")
    return message, Split(parts)


def _wanting(wish: Wish) -> list[Mailbox]:
    if wish.nature is Nature.ENCRYPTED:
        return []
    return [one for one, how in wish.treatments.items() if how.encrypt is not Encrypt.NEVER]


def _served(wish: Wish) -> list[Mailbox]:
    """For whom something is to be made, of a kind they should be able to read."""
    if wish.nature is Nature.ENCRYPTED:
        return []
    wanting, signs = frozenset(_wanting(wish)), not wish.unsignable
    return [one for one, how in wish.treatments.items() if one in wanting or (how.sign and signs)]


def _refuses_all(message: Message, wish: Wish, impossible: Choices) -> bool:
    refused = {one for one, choice in impossible.items() if not _waits(one, wish, choice)}
    return all(one.mailbox in refused for one in message.envelope.recipients) or any(
        wish.treatments[mailbox].mixed is Mixed.NOTHING for mailbox in refused
    )


def _waits(mailbox: Mailbox, wish: Wish, choice: Choice) -> bool:
    """A key that changed waits for an administrator, whatever becomes of mail without any key."""
    waits = wish.treatments[mailbox].unencryptable is Unencryptable.WAIT or is_held(choice)
    return waits and not wish.mute


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
    message: Message, wish: Wish, choices: Choices, impossible: Choices, known: Readers
) -> tuple[Message, ...]:
    """One message per group, in order of its first recipient, each with its plan."""
    groups: defaultdict[tuple[Hashable, int | None], list[Recipient]] = defaultdict(list)
    for position, one in enumerate(message.envelope.recipients):
        blind = _encrypts(one.mailbox, choices) and one.mailbox.key not in wish.visible
        key = _key(one.mailbox, wish, choices, impossible)
        groups[key, position if blind else None].append(one)
    return tuple(
        message.to(*members).noting(
            replace(
                _plan(wish, choices, impossible, members, known),
                apart=blind is not None and len(groups) > 1,
            ),
            *_met(choices, members, wish),
        )
        for (_, blind), members in groups.items()
    )


def _key(mailbox: Mailbox, wish: Wish, choices: Choices, impossible: Choices) -> Hashable:
    """Recipients with equal keys get equal content."""
    how = wish.treatments[mailbox]
    if mailbox in impossible:
        return "waits" if _waits(mailbox, wish, impossible[mailbox]) else "impossible"
    signing: tuple[Hashable, ...] = ()
    if how.sign and not wish.unsignable:
        signing = (how.as_domain, how.form, how.signature, how.digest, how.unsigned)
    encrypting: tuple[Hashable, ...] = ()
    if _encrypts(mailbox, choices):
        encrypting = (how.cipher, how.least_cipher, how.key_transport)
    protecting = how.header_protection if signing or encrypting else None
    return signing, encrypting, protecting, _needs_tls(mailbox, wish, choices)


def _needs_tls(mailbox: Mailbox, wish: Wish, choices: Choices) -> bool:
    """Whether a verified connection stands for encryption that is mandatory and impossible."""
    wanted = wish.treatments[mailbox].encrypt is Encrypt.MANDATORY and mailbox in choices
    return wanted and not _encrypts(mailbox, choices)


def _encrypts(mailbox: Mailbox, choices: Choices) -> bool:
    choice = choices.get(mailbox)
    return choice is not None and choice.chosen is not None


def _plan(
    wish: Wish,
    choices: Choices,
    impossible: Choices,
    members: Sequence[Recipient],
    known: Readers,
) -> Plan:
    how = wish.treatments[members[0].mailbox]
    if members[0].mailbox in impossible:
        own = {one.mailbox: impossible[one.mailbox] for one in members}
        told = unencryptable(own, wish.treatments)
        first = members[0].mailbox
        return Plan(refusal=told, waits=_waits(first, wish, impossible[first]))
    certificates = _certificates(choices, members)
    picked = select(
        how,
        {one.mailbox: known[one.mailbox] for one in members if one.mailbox in known},
        encrypts=bool(certificates),
        transports=any(isinstance(one.public_key, RSAPublicKey) for one in certificates),
    )
    return Plan(
        sign=how.sign and not wish.unsignable,
        as_domain=how.as_domain,
        form=picked.form,
        signature=picked.signature,
        digest=how.digest,
        unsigned=how.unsigned,
        certificates=certificates,
        cipher=picked.cipher,
        key_transport=picked.key_transport,
        header_protection=picked.header_protection,
        notes=(*picked.notes, *_changed(choices, members)),
        secure=_needs_tls(members[0].mailbox, wish, choices),
    )


def _certificates(choices: Choices, members: Sequence[Recipient]) -> tuple[Certificate, ...]:
    """Each certificate once: a domain's may serve several recipients."""
    found: dict[Certificate, None] = {}
    for one in members:
        choice = choices.get(one.mailbox)
        if choice is not None and choice.chosen is not None:
            found[choice.chosen] = None
            found.update(dict.fromkeys(also.certificate for also in choice.beside))
    return tuple(found)


def _changed(choices: Choices, members: Sequence[Recipient]) -> list[tuple[str, str]]:
    """What is told of keys that changed and are used all the same."""
    found = ((one.mailbox, choices[one.mailbox]) for one in members if one.mailbox in choices)
    return [
        ("key_change", f"the certificate of {mailbox} changed: {'; '.join(choice.changes)}")
        for mailbox, choice in found
        if choice.changes
    ]


def _met(choices: Choices, members: Sequence[Recipient], wish: Wish) -> list[Met]:
    """Whose key is to be remembered once this message is on its way."""
    found = ((one.mailbox, choices[one.mailbox]) for one in members if one.mailbox in choices)
    return [
        Met(
            mailbox,
            choice.known,
            choice.changes,
            warns=wish.treatments[mailbox].key_change is KeyChange.WARN,
        )
        for mailbox, choice in found
        if choice.chosen and choice.known
    ]


def _named(choices: Choices) -> str:
    return ", ".join(map(str, choices))
