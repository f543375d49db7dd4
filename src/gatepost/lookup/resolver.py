"""DNS through a recursive resolver, with answers kept as long as they live (RFC 1035, 4035).

An answer is authentic when a resolver we believe says it proved it by DNSSEC (its AD bit,
RFC 6840 section 5.7).  A name that does not exist is an answer; a resolver that fails, or
proved an answer forged (SERVFAIL), is `NameServiceFailed`: mail waits, it is not returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from gatepost.errors import Unavailable
from gatepost.lookup.caa import Property
from gatepost.mail.delivery import Tlsa
from gatepost.route.mx import Exchange

SYSTEM: Final = Path("/etc/resolv.conf")
_KEPT: Final = 20_000  # answers
_DATAGRAM: Final = 1232  # octets that pass every network unfragmented (DNS flag day 2020)
_MAXIMUM: Final = 100  # records of one answer that anybody looks at


class NameServiceFailed(Unavailable):
    """The DNS does not answer, or with something forged."""

    reply: ClassVar[tuple[int, str, str]] = (451, "4.4.3", "Name service failure, try again later")


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """Whom to ask."""

    servers: tuple[tuple[str, int], ...] = ()  # address and port; empty: the system's
    trust: bool | None = None  # whether they are believed about DNSSEC; None: see `believes`
    timeout: float = 5.0  # seconds for one server's answer
    lifetime: float = 15.0  # seconds for a question
    ipv6: bool = True  # whether IPv6 addresses are looked for


@dataclass(frozen=True, slots=True)
class Answer:
    """The records of one name and type."""

    records: tuple[Any, ...]
    exists: bool = True  # the name has records of some type
    authentic: bool = False
    canonical: str = ""  # the name behind aliases


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a host is."""

    six: tuple[str, ...]
    four: tuple[str, ...]
    authentic: bool = False
    canonical: str = ""


class Resolver:
    """Asks the DNS; one for each event loop."""

    def __init__(self, settings: ResolverSettings | None = None) -> None:
        self._settings = settings or ResolverSettings()
        self.servers = self._settings.servers or system_servers()
        self.believes = _believes(self._settings, self.servers)
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers = [dns.nameserver.Do53Nameserver(*one) for one in self.servers]
        made.cache = dns.resolver.LRUCache(_KEPT)
        made.timeout, made.lifetime = self._settings.timeout, self._settings.lifetime
        made.use_edns(0, 0, _DATAGRAM)
        made.flags = dns.flags.RD | dns.flags.AD
        self._resolver = made

    async def exchanges(self, domain: str) -> Answer:
        """The domain's MX records."""
        return await self._asked(
            domain, "MX", lambda one: Exchange(one.preference, _host(one.exchange))
        )

    async def addresses(self, host: str) -> Addresses:
        """The host's addresses; a half that fails is missing where DNSSEC proves nothing."""
        six, four = await asyncio.gather(self._half(host, "AAAA"), self._half(host, "A"))
        for failed in (six, four):
            # With one half forged (SERVFAIL), the other must not go on as merely unsigned.
            if isinstance(failed, NameServiceFailed) and (self.believes or not _any(six, four)):
                raise failed
        halves = [one for one in (six, four) if isinstance(one, Answer)]
        return Addresses(
            six.records if isinstance(six, Answer) else (),
            four.records if isinstance(four, Answer) else (),
            all(one.authentic for one in halves),
            next((one.canonical for one in halves if one.records), ""),
        )

    async def _half(self, host: str, kind: str) -> Answer | NameServiceFailed | None:
        if kind == "AAAA" and not self._settings.ipv6:
            return None
        try:
            return await self._asked(host, kind, lambda one: str(one.address))
        except NameServiceFailed as error:
            return error

    async def tlsa(self, host: str, port: int) -> tuple[Tlsa, ...]:
        """The TLSA records of a host's port, as far as DNSSEC proves them (RFC 7672 2.2)."""
        answer = await self._asked(
            f"_{port}._tcp.{host}",
            "TLSA",
            lambda one: Tlsa(one.usage, one.selector, one.mtype, one.cert),
        )
        return answer.records if answer.authentic else ()

    async def smimea(self, name: str) -> Answer:
        """The SMIMEA records of a name, which count as far as DNSSEC proves them (RFC 8162 2)."""
        return await self._asked(
            name, "SMIMEA", lambda one: Tlsa(one.usage, one.selector, one.mtype, one.cert)
        )

    async def caa(self, name: str) -> tuple[Property, ...]:
        """The name's CAA records (RFC 8659 section 4)."""
        answer = await self._asked(
            name,
            "CAA",
            lambda one: Property(
                one.flags, one.tag.decode("ascii", "replace").lower(), one.value.decode("latin-1")
            ),
        )
        return answer.records

    async def text(self, name: str) -> tuple[str, ...]:
        """The name's TXT records, each as one text (RFC 1035 section 3.3.14)."""
        answer = await self._asked(
            name, "TXT", lambda one: b"".join(one.strings).decode("ascii", "replace")
        )
        return answer.records

    async def is_validating(self, signed: str = ".") -> bool:
        """Whether the servers prove this zone by DNSSEC, believed or not."""
        answer = await self._asked(signed, "SOA", str, believed=True)
        return answer.authentic

    async def _asked(
        self, name: str, kind: str, read: Callable[[Any], Any], *, believed: bool = False
    ) -> Answer:
        if not self.servers:
            raise NameServiceFailed("no DNS resolver is configured: see [resolver]")
        try:
            question = dns.name.from_text(name) if name.isascii() else None
        except (dns.exception.DNSException, UnicodeError):
            question = None
        if question is None:  # no DNS can know it
            return Answer((), exists=False)
        try:
            found = await self._resolver.resolve(
                question, kind, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN as error:
            responses = error.responses().values()  # type: ignore[no-untyped-call]  # dnspython says no type
            proven = all(one.flags & dns.flags.AD for one in responses)
            return Answer((), exists=False, authentic=proven and (self.believes or believed))
        except dns.exception.DNSException as error:
            raise NameServiceFailed(f"{kind} of {name}: {_reason(error)}") from error
        except OSError as error:
            raise NameServiceFailed(f"{kind} of {name}: {error.strerror or error}") from error
        records = tuple(read(one) for one in tuple(found)[:_MAXIMUM])
        proven = bool(found.response.flags & dns.flags.AD)
        return Answer(
            tuple(dict.fromkeys(records)),
            authentic=proven and (self.believes or believed),
            canonical=_host(found.canonical_name),
        )


def system_servers(path: Path | None = None) -> tuple[tuple[str, int], ...]:
    """The servers of resolv.conf(5)."""
    found = [
        words[1] for words in _lines(path or SYSTEM) if words[0] == "nameserver" and len(words) > 1
    ]
    return tuple((one, 53) for one in found if _is_address(one))


def is_trusted_by_system(path: Path | None = None) -> bool:
    """Whether resolv.conf(5) says that its servers' word on DNSSEC counts."""
    return any("trust-ad" in words[1:] for words in _lines(path or SYSTEM) if words[0] == "options")


def _believes(settings: ResolverSettings, servers: Sequence[tuple[str, int]]) -> bool:
    """Unless the configuration decides: nobody can forge what a resolver on loopback says."""
    if settings.trust is not None:
        return settings.trust
    if servers and all(ip_address(host).is_loopback for host, _ in servers):
        return True
    return not settings.servers and is_trusted_by_system()


def _any(*halves: Answer | NameServiceFailed | None) -> bool:
    return any(isinstance(one, Answer) for one in halves)


def _lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return [words for line in text.splitlines() if (words := line.split())]


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def _reason(error: dns.exception.DNSException) -> str:
    if isinstance(error, dns.resolver.NoNameservers):
        return "every server failed, or proved the answer forged"
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    return type(error).__name__
