"""What policy wants done for one recipient, and where each part of that wish was written.

The words are RFC 8551's and RFC 5652's; a `Treatment` is a wish, what was possible is
told by `flow.decision.Decision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Sign(StrEnum):
    """Whether the author's key signs, or that of his domain."""

    ALWAYS = "always"
    DOMAIN = "domain"  # RFC 3183
    NEVER = "never"


class Encrypt(StrEnum):
    """Whether the content is encrypted to the recipient."""

    MANDATORY = "mandatory"
    POSSIBLE = "when-possible"
    NEVER = "never"


class Form(StrEnum):
    """How a signature is packed: multipart/signed or one signed-data part (RFC 8551 3.5)."""

    AUTO = "auto"
    CLEAR = "clear"
    OPAQUE = "opaque"


class Signature(StrEnum):
    """How an RSA key signs; keys of other types have one way only."""

    AUTO = "auto"
    PKCS1 = "rsa-pkcs1"
    PSS = "rsa-pss"


class Digest(StrEnum):
    """What RSA and elliptic keys sign; auto is SHA-256, or as strong as the curve."""

    AUTO = "auto"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class Transport(StrEnum):
    """How the content-encryption key is wrapped to an RSA key."""

    AUTO = "auto"
    PKCS1 = "rsa-pkcs1"
    OAEP = "rsa-oaep"


class Cipher(StrEnum):
    """How the content is encrypted; auto is GCM where every recipient is known to read it."""

    AUTO = "auto"
    AES256_GCM = "aes256-gcm"
    AES192_GCM = "aes192-gcm"
    AES128_GCM = "aes128-gcm"
    AES256_CBC = "aes256-cbc"
    AES192_CBC = "aes192-cbc"
    AES128_CBC = "aes128-cbc"


class Whose(StrEnum):
    """Which certificates encrypt: the best of the mailbox or its domain, of it alone, or all."""

    ANY = "any"
    PERSONAL = "personal"
    ALL = "all"


class LeastCipher(StrEnum):
    """What `Cipher.AUTO` never goes below, whatever a correspondent announces."""

    AES128_CBC = "aes128-cbc"
    AES256_CBC = "aes256-cbc"
    AES128_GCM = "aes128-gcm"
    AES256_GCM = "aes256-gcm"


class HeaderProtection(StrEnum):
    """Whether header fields travel inside the signature and encryption too (RFC 9788)."""

    AUTO = "auto"
    OFF = "off"
    CLEAR = "clear"
    BASELINE = "baseline"


class Unsigned(StrEnum):
    """What to do when an author of ours ought to sign and no key can be had."""

    DEFER = "defer"
    DELIVER = "deliver"


class Mixed(StrEnum):
    """What a recipient who cannot be served after the content was seen does to the others."""

    NOTHING = "all-or-nothing"
    REST = "deliver-rest"


class Unencryptable(StrEnum):
    """What becomes of mail that must be encrypted to somebody who has no usable certificate."""

    REFUSE = "refuse"
    WAIT = "wait"  # accepted, kept sealed, and sent once a certificate is known
    TLS = "verified-tls"  # sent without, over a connection whose server proves itself, or not


class KeyChange(StrEnum):
    """What becomes of mail to somebody whose certificate changed suspiciously."""

    ACCEPT = "accept"
    WARN = "warn"  # sent, and the postmaster is told
    HOLD = "hold"  # waits until an administrator accepts the change


class RefuseAt(StrEnum):
    """When a mandatory recipient without certificate is refused.

    At RCPT the others are still served; after the data a mail that its author has
    already encrypted can still pass.
    """

    RCPT = "rcpt"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one effective value was written."""

    setting: str
    value: str
    source: str  # "rule", "defaults", "built-in" or "author": asked for in the message
    rule: str = ""  # the rule's name when the source is a rule
    line: int = 0  # in the policy's text; 0: unknown
    profile: str = ""  # the profile that brought the value, if one did

    def __str__(self) -> str:
        if self.source == "author":
            return "the author asked for it in the message"
        where = f'rule "{self.rule}"' if self.source == "rule" else self.source
        where = f"{where}, line {self.line}" if self.line else where
        return f"profile {self.profile} in {where}" if self.profile else where


@dataclass(frozen=True, slots=True)
class Treatment:
    """The effective settings for one author and one recipient."""

    sign: bool
    as_domain: bool
    encrypt: Encrypt
    form: Form
    signature: Signature
    digest: Digest
    key_transport: Transport
    cipher: Cipher
    least_cipher: LeastCipher
    certificate: Whose
    header_protection: HeaderProtection
    unsigned: Unsigned
    mixed: Mixed
    unencryptable: Unencryptable
    key_change: KeyChange
    refuse_at: RefuseAt
    rule: str  # the most specific rule that matched; "defaults" when none did
    line: int
    origins: tuple[Origin, ...]

    def origin(self, setting: str) -> Origin:
        """Where the value of this setting was written."""
        return next(origin for origin in self.origins if origin.setting == setting)

    def as_data(self) -> dict[str, object]:
        """The treatment as values JSON can carry, each setting with its origin."""
        return {
            "rule": self.rule,
            "line": self.line,
            "settings": {
                one.setting: {
                    "value": one.value,
                    "source": one.source,
                    "rule": one.rule,
                    "line": one.line,
                    "profile": one.profile,
                }
                for one in self.origins
            },
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Treatment:
        """The inverse of `as_data`."""
        origins = tuple(Origin(name, **one) for name, one in data["settings"].items())
        return cls.of(
            {one.setting: one.value for one in origins}, data["rule"], data["line"], origins
        )

    @classmethod
    def of(
        cls, values: Mapping[str, str], rule: str, line: int, origins: tuple[Origin, ...]
    ) -> Treatment:
        """Build a treatment from one value per setting."""
        return cls(
            sign=values["sign"] != Sign.NEVER,
            as_domain=values["sign"] == Sign.DOMAIN,
            encrypt=Encrypt(values["encrypt"]),
            form=Form(values["form"]),
            signature=Signature(values["signature"]),
            # decisions recorded before there were these settings have none
            digest=Digest(values.get("digest", "auto")),
            key_transport=Transport(values["key_transport"]),
            cipher=Cipher(values["cipher"]),
            least_cipher=LeastCipher(values.get("least_cipher", "aes128-cbc")),
            certificate=Whose(values.get("certificate", "any")),
            header_protection=HeaderProtection(values.get("header_protection", "off")),
            unsigned=Unsigned(values["unsigned"]),
            mixed=Mixed(values["mixed"]),
            unencryptable=Unencryptable(values.get("unencryptable", "refuse")),
            key_change=KeyChange(values.get("key_change", "accept")),
            refuse_at=RefuseAt(values["refuse_at"]),
            rule=rule,
            line=line,
            origins=origins,
        )
