"""Policy as frozen values: built-in settings, the policy's defaults, rules, inbound wishes.

Order, the only one: for each setting by itself the most specific matching rule that
sets it wins.  `to` counts before `from`; an address before its domain, a domain before
`*.domain` (the longer one first), all before `*`; between equals the later rule.
Below the rules stand the policy's defaults, below those the built-in values.  A rule's
profile stands right below the rule's own settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from gatepost.policy.pattern import EVERYBODY, Pattern
from gatepost.policy.treatment import (
    Cipher,
    Digest,
    Encrypt,
    Form,
    HeaderProtection,
    KeyChange,
    LeastCipher,
    Mixed,
    RefuseAt,
    Sign,
    Signature,
    Transport,
    Unencryptable,
    Unsigned,
    Whose,
)

if TYPE_CHECKING:
    from gatepost.policy.evaluate import Index


class Profile(StrEnum):
    """Settings that go together, under a name; `policy.profile` says which."""

    COMPATIBLE = "compatible"
    MODERN = "modern"
    EDI_ENERGY = "edi-energy"
    KIM = "kim"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that may each be left open; `None` is inherited from below."""

    profile: Profile | None = None
    sign: Sign | None = None
    encrypt: Encrypt | None = None
    form: Form | None = None
    signature: Signature | None = None
    digest: Digest | None = None
    key_transport: Transport | None = None
    cipher: Cipher | None = None
    least_cipher: LeastCipher | None = None
    certificate: Whose | None = None
    header_protection: HeaderProtection | None = None
    unsigned: Unsigned | None = None
    mixed: Mixed | None = None
    unencryptable: Unencryptable | None = None
    key_change: KeyChange | None = None
    refuse_at: RefuseAt | None = None


BUILT_IN = Settings(
    sign=Sign.ALWAYS,
    encrypt=Encrypt.POSSIBLE,
    form=Form.AUTO,
    signature=Signature.AUTO,
    digest=Digest.AUTO,
    key_transport=Transport.AUTO,
    cipher=Cipher.AUTO,
    least_cipher=LeastCipher.AES128_CBC,
    certificate=Whose.ANY,
    header_protection=HeaderProtection.AUTO,
    unsigned=Unsigned.DEFER,
    mixed=Mixed.NOTHING,
    unencryptable=Unencryptable.REFUSE,
    key_change=KeyChange.WARN,
    refuse_at=RefuseAt.RCPT,
)


NAMES = tuple(one.name for one in fields(Settings) if one.name != "profile")


@dataclass(frozen=True, slots=True)
class Rule:
    """Settings for mail to some people from some people."""

    name: str
    to: Pattern = EVERYBODY
    from_: Pattern = EVERYBODY
    settings: Settings = field(default_factory=Settings)
    line: int = field(default=0, compare=False)  # in the text it was read from


@dataclass(frozen=True, slots=True)
class HeaderTrigger:
    """A header field that asks for encryption; without value its presence is enough."""

    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" if self.value else self.name


@dataclass(frozen=True, slots=True)
class Triggers:
    """What an author writes to make encryption mandatory for one message."""

    subject: tuple[str, ...] = ("[secure]",)  # anywhere in the subject; removed from it
    headers: tuple[HeaderTrigger, ...] = ()


class Fault(StrEnum):
    """What becomes of an arriving message that cannot be opened or is not what was signed."""

    DELIVER = "deliver"  # marked
    HOLD = "hold"
    QUARANTINE = "quarantine"  # released or deleted with a recorded reason only


class Expect(StrEnum):
    """What mail of a sender is agreed to be."""

    NOTHING = "nothing"
    SIGNED = "signed"  # validly, by its author, whom we trust
    ENCRYPTED = "encrypted"
    BOTH = "signed+encrypted"


class ActiveContent(StrEnum):
    """What becomes of HTML in mail whose encryption does not prove it unchanged (EFAIL)."""

    KEEP = "keep"
    NEUTRALISE = "neutralise"


@dataclass(frozen=True, slots=True)
class Tags:
    """What is put before the subject of an arriving message; an empty text is not put."""

    encrypted: str = "[encrypted]"
    signed: str = "[signed]"
    untrusted: str = "[signed: not trusted]"
    invalid: str = "[signed: invalid]"
    undecryptable: str = "[encrypted: cannot be opened]"
    misdirected: str = "[signed: to others]"
    unmet: str = "[not protected as agreed]"


@dataclass(frozen=True, slots=True)
class Reception:
    """How one sender's mail is received; `None` is inherited from `[inbound]`."""

    expect: Expect | None = None
    unmet: Fault | None = None
    broken_signature: Fault | None = None
    undecryptable: Fault | None = None
    misdirected: Fault | None = None
    active_content: ActiveContent | None = None


RECEPTION = Reception(
    expect=Expect.NOTHING,
    unmet=Fault.DELIVER,
    broken_signature=Fault.DELIVER,
    undecryptable=Fault.DELIVER,
    misdirected=Fault.DELIVER,
    active_content=ActiveContent.KEEP,
)


@dataclass(frozen=True, slots=True)
class InboundRule:
    """A reception for mail from some people."""

    name: str
    from_: Pattern = EVERYBODY
    reception: Reception = field(default_factory=Reception)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class InboundPolicy:
    """How arriving mail is received, and what it is shown as."""

    reception: Reception = field(default_factory=Reception)
    keep_signature: bool = False  # False: a valid signature is taken off, its result is shown
    tag_subject: bool = True
    keep_evidence: bool = False  # of every valid signature: mail, chain and verdict
    tags: Tags = field(default_factory=Tags)
    rules: tuple[InboundRule, ...] = ()


@dataclass(frozen=True)  # no slots: the index is computed once and kept
class Policy:
    """Everything an administrator decided about mail."""

    defaults: Settings = field(default_factory=Settings)
    rules: tuple[Rule, ...] = ()
    inbound: InboundPolicy = field(default_factory=InboundPolicy)
    triggers: Triggers = field(default_factory=Triggers)

    @cached_property
    def index(self) -> Index:
        """The rules by what they speak of; built at the first question."""
        from gatepost.policy.evaluate import Index  # noqa: PLC0415  # the index knows the rules

        return Index.of(self)
