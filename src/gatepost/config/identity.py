"""Who of our own gets a certificate, from where, with which keys, and when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.certificate_source import LOCAL
from gatepost.config.endpoint import STRICT
from gatepost.config.quantity import File
from gatepost.config.quantity import domain as read_domain

MAXIMUM_STARS = 3  # in one pattern


def _address(value: str) -> str:
    local, at, domain = value.strip().rpartition("@")
    if not at:
        raise ValueError('expected an address, or "@example.com" for a domain itself')
    return f"{local}@{read_domain(domain)}"


def _pattern(value: str) -> str:
    if "@" not in value or value.count("*") > MAXIMUM_STARS:
        raise ValueError('expected a pattern such as "*@sales.example.com"')
    return value.strip()


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Identity:
    """Whose certificates come from where: the first rule that fits; one naming nobody fits all.

    Without any, the embedded CA issues at first mail.
    """

    addresses: tuple[Annotated[str, AfterValidator(_address)], ...] = ()
    """Addresses; "@example.com" is the domain itself (RFC 3183), named here or by no rule."""
    patterns: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    """Patterns of addresses such as "*@sales.example.com"; * stands for any characters."""
    list: File | None = None
    """File with an address in each line; it may change while the gateway runs."""
    group: str = ""
    """Distinguished name of an LDAP group whose members these are."""
    source: Annotated[str, Field(min_length=1)] = LOCAL
    """Where their certificates come from: "local", the embedded CA, or a [[certificate_source]]."""
    keys: Literal["", "separate", "one"] = ""
    """separate: one key to sign, another to decrypt | one: the same for both; empty: separate
    from the embedded CA, one from elsewhere."""
    key_type: Literal["", "rsa2048", "rsa3072", "p256"] = ""
    """Type of new keys; empty: as [authority] user_key."""
    issue: Literal["first-mail", "at-once", "never"] = "first-mail"
    """first-mail: when somebody writes | at-once: as soon as he is listed | never."""

    @model_validator(mode="after")
    def _check(self) -> Identity:
        if self.source == LOCAL and self.key_type:
            raise ValueError("key_type: [authority] user_key says which keys the embedded CA makes")
        if self.issue == "at-once" and not (self.addresses or self.list or self.group):
            raise ValueError(
                "issue: at once is for addresses, a list or a group, who else is there?"
            )
        return self

    @property
    def is_for_all(self) -> bool:
        """Whether it names nobody."""
        return not (self.addresses or self.patterns or self.list or self.group)
