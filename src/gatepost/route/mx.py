"""Which hosts take a domain's mail, and in which order (RFC 5321 section 5.1, RFC 7505)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeVar

from gatepost.mail.reply import Reply

SMTP: Final = 25
MAXIMUM_HOSTS: Final = 10  # of hundreds in the DNS, nobody waits for the eleventh
T = TypeVar("T")
Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One MX record; an empty host is the root, which takes no mail."""

    preference: int
    host: str


NO_DOMAIN: Final = Reply(550, "5.1.2", "The recipient's domain does not exist")
NULL_MX: Final = Reply(556, "5.1.10", "The recipient's domain takes no mail (null MX)")
LOOP: Final = Reply(554, "5.4.6", "Mail for the recipient's domain loops back to this gateway")
BAD_LITERAL: Final = Reply(550, "5.1.2", "The recipient's address literal cannot be reached")


def hosts(
    domain: str, exchanges: Sequence[Exchange], entropy: Entropy, *, ours: str
) -> tuple[str, ...] | Reply:
    """The hosts in the order to try them, or why there is none.

    `ours` is this gateway's name: of hosts no better than ourselves, mail would come back.
    """
    if not exchanges:
        return LOOP if _same(domain, ours) else (domain,)  # the implicit MX
    real = [one for one in exchanges if one.host.strip(".")]
    if not real:
        return NULL_MX  # RFC 7505 section 4.1
    own = [one.preference for one in real if _same(one.host, ours)]
    better = [one for one in real if not own or one.preference < min(own)]
    if not better:
        return LOOP
    # RFC 5321 section 5.1: equal preferences are spread by chance.
    ordered = sorted(shuffled(better, entropy), key=lambda one: one.preference)
    found = dict.fromkeys(one.host.lower().rstrip(".") for one in ordered)
    return tuple(found)[:MAXIMUM_HOSTS]


def addresses(
    six: Iterable[str], four: Iterable[str], entropy: Entropy, *, port: int = SMTP
) -> tuple[str, ...]:
    """A host's addresses, each kind by chance, the two kinds in turns (RFC 3974 section 3).

    Nobody waits for six dead addresses of one kind before the first of the other.  An
    address that can only be this machine itself, or nobody's, is left out.
    """
    new = shuffled([one for one in six if is_elsewhere(one, port)], entropy)
    old = shuffled([one for one in four if is_elsewhere(one, port)], entropy)
    turns = [one for pair in zip(new, old, strict=False) for one in pair]
    both = min(len(new), len(old))
    return (*turns, *new[both:], *old[both:])


def is_elsewhere(text: str, port: int = SMTP) -> bool:
    """Whether a stranger's DNS may send us to this address.

    Port 25 of the loopback is this machine's own mail server, which believes us.
    """
    address: IPv4Address | IPv6Address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        return False
    return not (address.is_loopback and port == SMTP)


def literal(domain: str) -> str | None:
    """The address in an address literal such as [192.0.2.1] (RFC 5321 section 4.1.3).

    None: it is a name.  Raises ValueError when it is neither.
    """
    if not domain.startswith("["):
        return None
    inside = domain.removeprefix("[").removesuffix("]")
    if inside[:5].lower() == "ipv6:":
        return str(IPv6Address(inside[5:]))
    return str(IPv4Address(inside))


def shuffled(values: Sequence[T], entropy: Entropy) -> list[T]:
    """The values in an order that these random octets decide."""
    if len(values) < 2:
        return list(values)
    octets = entropy(4 * len(values))
    keys = [octets[at : at + 4] for at in range(0, len(octets), 4)]
    return [value for _, _, value in sorted(zip(keys, range(len(values)), values, strict=True))]


def _same(host: str, ours: str) -> bool:
    return host.lower().rstrip(".") == ours.lower().rstrip(".")
