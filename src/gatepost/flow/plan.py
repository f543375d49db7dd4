"""What one stage hands the next among a message's findings: the wish, then the plan.

`Wish` says what policy wants for every recipient; `Plan` says what is to be done with
one part, whose recipients all share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from gatepost.certificate import Certificate
from gatepost.flow.nature import Nature
from gatepost.mail.address import Mailbox
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.pki.change import Known
from gatepost.policy.treatment import (
    Digest,
    Form,
    HeaderProtection,
    Signature,
    Treatment,
    Unsigned,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wish:
    """What `classify` found out about a message."""

    author: Mailbox | None  # None: no author or several
    nature: Nature
    unsignable: str  # why nobody can sign this message; empty: its author can
    treatments: Mapping[Mailbox, Treatment]
    visible: frozenset[str]  # keys of the addresses every recipient may read in the header
    mute: bool = False  # under the null path: nobody could be told later


@dataclass(frozen=True, slots=True)
class Plan:
    """What `protect` is to do; nothing is left to choose but what the signer's key decides."""

    sign: bool = False
    as_domain: bool = False  # in the name of the author's domain (RFC 3183)
    form: Form = Form.CLEAR
    signature: Signature = Signature.PKCS1
    digest: Digest = Digest.AUTO
    unsigned: Unsigned = Unsigned.DEFER
    certificates: tuple[Certificate, ...] = ()  # encrypt to these; empty: do not encrypt
    cipher: str = ""
    key_transport: str = ""
    header_protection: HeaderProtection = HeaderProtection.CLEAR
    notes: tuple[tuple[str, str], ...] = ()  # why so: (setting, in words)
    apart: bool = False
    secure: bool = False  # instead of encryption: over a verified connection only
    refusal: Reply | None = None  # these recipients cannot be served
    waits: bool = False  # but may be, later


@dataclass(frozen=True, slots=True)
class Met:
    """A correspondent whose key is met for the first time, or is another one than before."""

    mailbox: Mailbox
    known: Known
    changes: tuple[str, ...] = ()
    warns: bool = False  # the postmaster is to hear of it


def met(findings: tuple[object, ...]) -> tuple[Met, ...]:
    """Those among a message's findings."""
    return tuple(one for one in findings if isinstance(one, Met))


def latest(message: Message, kind: type[T]) -> T:
    """The newest finding of this kind; stages run in an order that has one."""
    for finding in reversed(message.findings):
        if isinstance(finding, kind):
            return finding
    raise LookupError(f"no {kind.__name__} among the findings: a stage is missing before this one")
