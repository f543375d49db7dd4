"""Name constraints (RFC 5280 section 4.2.1.10; RFC 9598 section 6 for SmtpUTF8Mailbox).

A name of a kind that is constrained must be readable and inside every permitted set; when
in doubt it is not.  The number of comparisons is bounded, since a product of two is not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from cryptography import x509

from gatepost.certificate import Certificate, name, quietly
from gatepost.certificate.trait import Traits
from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox, domain_key

MAXIMUM_COMPARISONS = 50_000
Side = Literal["permitted", "excluded"]
_SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")


class _TooMany(Exception):
    """The budget is spent."""


@dataclass(slots=True)
class Budget:
    """Comparisons left, for all paths of one search together."""

    left: int = MAXIMUM_COMPARISONS

    def spend(self, count: int) -> None:
        """Raise when there are not as many left."""
        self.left -= count
        if self.left < 0:
            raise _TooMany


@dataclass(slots=True)
class Constraints:
    """What the authorities above have said so far, by kind of name."""

    budget: Budget
    permitted: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    excluded: dict[str, list[object]] = field(default_factory=dict)

    def add(self, authority: Traits) -> None:
        """RFC 5280 section 6.1.4 (g): permitted sets intersect, excluded ones add up."""
        sets: dict[str, list[object]] = {}
        for tree in authority.permitted:
            sets.setdefault(_kind(tree), []).append(_value(tree))
        for kind, values in sets.items():
            self.permitted.setdefault(kind, []).append(tuple(values))
        for tree in authority.excluded:
            self.excluded.setdefault(_kind(tree), []).append(_value(tree))

    def objection(self, one: Certificate) -> str:
        """Which name is not allowed (section 6.1.3 (b), (c)); empty when all are."""
        if not self.permitted and not self.excluded:
            return ""
        try:
            for kind, value in _names(one):
                wrong = self._judge(kind, value)
                if wrong:
                    return wrong
        except _TooMany:
            return "its names and their constraints are too many to compare"
        return ""

    def _judge(self, kind: str, value: object) -> str:
        permitted, excluded = self.permitted.get(kind, ()), self.excluded.get(kind, ())
        if not permitted and not excluded:
            return ""
        within = _WITHIN.get(kind)
        if within is None:
            return f"it has a name of a kind that is constrained but not understood: {kind}"
        self.budget.spend(sum(map(len, permitted)) + len(excluded))
        try:
            if not all(
                any(within(value, tree, "permitted") for tree in trees) for trees in permitted
            ):
                return f"its {kind}{_shown(value)} is not among the names its issuer may certify"
            if any(within(value, tree, "excluded") for tree in excluded):
                return f"its {kind}{_shown(value)} is one its issuer must not certify"
        except (ValueError, Malformed):
            return f"its {kind}{_shown(value)} cannot be compared with its issuer's constraints"
        return ""


def _names(one: Certificate) -> Iterator[tuple[str, object]]:
    """The subject, its e-mail addresses where no other stands, and the alternative names."""
    with quietly():
        relatives = name.folded(one.x509.subject)
    if relatives:
        yield "directory name", relatives
    alternative = one.traits.alternative
    if not any(isinstance(other, x509.RFC822Name) for other in alternative):
        for address in one.subject_emails:
            yield "e-mail address", address
    for other in alternative:
        yield _kind(other), _value(other)


def _kind(general: x509.GeneralName) -> str:
    if isinstance(general, x509.OtherName):
        if general.type_id == _SMTP_UTF8:
            return "e-mail address"
        return f"other name {general.type_id.dotted_string}"
    return _KINDS[type(general)]


_KINDS: dict[type[x509.GeneralName], str] = {
    x509.RFC822Name: "e-mail address",
    x509.DNSName: "DNS name",
    x509.DirectoryName: "directory name",
    x509.UniformResourceIdentifier: "URI",
    x509.IPAddress: "IP address",
    x509.RegisteredID: "registered ID",
}


def _value(general: x509.GeneralName) -> object:
    if isinstance(general, x509.DirectoryName):
        return name.folded(general.value)
    if isinstance(general, x509.OtherName):
        length = general.value[1] if len(general.value) > 1 else 0
        short = general.value[:1] == b"\x0c" and len(general.value) == length + 2 < 0x80
        return general.value[2:].decode("utf-8", "replace") if short else ""
    return general.value


def _shown(value: object) -> str:
    """Folded names are for comparing; the certificate shows its subject."""
    return "" if isinstance(value, tuple) else f" {str(value)[:100]!r}"


# What is within what


def _mail_within(value: object, tree: object, side: Side) -> bool:
    """A whole mailbox, a host, or with a leading dot every host below."""
    address, wanted = str(value), str(tree)
    mailbox = Mailbox.parse(address)
    if "@" in wanted:
        return Mailbox.parse(wanted).key == mailbox.key
    return _host_within(mailbox.domain, wanted, side)


def _host_within(host: str, wanted: str, side: Side) -> bool:
    host, wanted = _host(host), _host(wanted)
    if wanted.startswith("."):
        return host.endswith(wanted)
    return host == wanted or (side == "excluded" and not wanted)


def _host(text: str) -> str:
    """A-labels, lower case; a leading dot stays."""
    return ("." if text.startswith(".") else "") + domain_key(text.removeprefix("."))


def _dns_within(value: object, tree: object, side: Side) -> bool:
    """The name itself and everything below it; a wildcard may be any of its names."""
    host, wanted = str(value).lower(), str(tree).lower()
    if wanted.startswith("."):
        raise ValueError("a constraint on DNS names has no leading dot")
    if not wanted:
        return True
    if side == "excluded" and host.startswith("*."):
        parent = host[2:]
        if wanted.partition(".")[2] == parent:
            return True
        host = parent
    return host == wanted or host.endswith("." + wanted)


def _directory_within(value: object, tree: object, side: Side) -> bool:
    del side
    if not isinstance(value, tuple) or not isinstance(tree, tuple):
        raise ValueError("no name")  # noqa: TRY004  the caller's one way to say "in doubt"
    return value[: len(tree)] == tree


def _uri_within(value: object, tree: object, side: Side) -> bool:
    """By host: exactly, or with a leading dot below.  A URI without a host name is in doubt."""
    _, slashes, rest = str(value).partition("://")
    authority = rest
    for mark in "/?#":
        authority = authority.partition(mark)[0]
    host = authority.rpartition("@")[2].partition(":")[0]
    if not slashes or not host or host.startswith("[") or host.replace(".", "").isdigit():
        raise ValueError("no host name")
    return _host_within(host, str(tree), side)


def _ip_within(value: object, tree: object, side: Side) -> bool:
    del side
    if not isinstance(tree, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        raise ValueError("no network")  # noqa: TRY004  as above
    return isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)) and value in tree


_Within = Callable[[object, object, Side], bool]
_WITHIN: dict[str, _Within] = {
    "e-mail address": _mail_within,
    "DNS name": _dns_within,
    "directory name": _directory_within,
    "URI": _uri_within,
    "IP address": _ip_within,
}
