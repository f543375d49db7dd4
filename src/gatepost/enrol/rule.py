"""Which `[[identity]]` rule an address falls under: the first that fits.

Lists are read anew when their file changes, groups when they are asked for again; what cannot
be read keeps its last members, and where there never were any nobody can tell: Unavailable.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from gatepost.config.certificate_source import LOCAL
from gatepost.config.identity import Identity
from gatepost.errors import GatepostError, LimitExceeded, Malformed, Unavailable
from gatepost.mail.address import Mailbox
from gatepost.pki.identity import DOMAIN_SIGNER
from gatepost.store.record import address_key
from gatepost.store.request import Purpose
from gatepost.vault.token import Algorithm

MAXIMUM_LIST: Final = 64 << 20  # octets of a list

Members = Callable[[str], Awaitable[Sequence[Mailbox]]]  # of an LDAP group
DEFAULT: Final = Identity()


@dataclass(slots=True)
class _List:
    """A file of addresses, as it was last read."""

    path: Path
    seen: tuple[int, int] = (-1, -1)  # when it was changed, and its size
    members: frozenset[str] | None = None


@dataclass(slots=True)
class Rules:
    """The rules of a configuration; may be asked from any thread."""

    rules: Sequence[Identity]
    ask: Members | None = None
    _groups: dict[str, frozenset[str]] = field(default_factory=dict)
    _lists: dict[Path, _List] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, address: Mailbox | str) -> Identity:
        """The rule for an address, or for `@domain`; raises Unavailable."""
        key = _named(address_key(address))
        return next((one for one in self.rules if self._fits(one, key)), DEFAULT)

    def listed(self, rule: Identity) -> frozenset[str]:
        """Whom a rule names one by one; raises Unavailable."""
        return frozenset[str]().union(*self._lists_of(rule))

    async def refresh(self) -> tuple[str, ...]:
        """Ask for every group anew; what could not be asked, and why."""
        faults = []
        for group in dict.fromkeys(one.group for one in self.rules if one.group):
            try:
                if self.ask is None:
                    raise Unavailable("there is no [[ldap]] to ask")
                found = await self.ask(group)
                self._groups[group] = frozenset(one.key for one in found)
            except GatepostError as error:
                faults.append(f"group {group!r}: {error}")
        return tuple(faults)

    def _fits(self, rule: Identity, key: str) -> bool:
        if not key.startswith("@") and (
            rule.is_for_all or any(_pattern(one).fullmatch(key) for one in rule.patterns)
        ):
            return True
        return any(key in one for one in self._lists_of(rule))

    def _lists_of(self, rule: Identity) -> Iterator[frozenset[str]]:
        """Not united: they are long, and asked for each address."""
        yield _keys(rule.addresses)
        if rule.list is not None:
            yield self._listed(rule.list)
        if rule.group:
            yield self._members(rule.group)

    def _members(self, group: str) -> frozenset[str]:
        found = self._groups.get(group)
        if found is None:
            raise Unavailable(f"nobody could be asked yet who is in the group {group!r}")
        return found

    def _listed(self, path: Path) -> frozenset[str]:
        with self._lock:
            known = self._lists.setdefault(path, _List(path))
            try:
                about = path.stat()
                if (about.st_mtime_ns, about.st_size) != known.seen:
                    known.members = _read(path)
                    known.seen = about.st_mtime_ns, about.st_size
            except (OSError, GatepostError) as error:
                if known.members is None:
                    raise Unavailable(f"the list {path} cannot be read: {error}") from error
            return known.members or frozenset()


def purposes(rule: Identity, address: str) -> tuple[Purpose, ...]:
    """The certificates an address (or `@domain`) under this rule has."""
    local = address.rpartition("@")[0]
    if not local or local == DOMAIN_SIGNER:  # RFC 3183: each of the two has one task
        return ("sign",) if local else ("encrypt",)
    usual = "separate" if rule.source == LOCAL else "one"
    return ("sign", "encrypt") if (rule.keys or usual) == "separate" else ("both",)


def key_type(rule: Identity, usual: Algorithm) -> Algorithm:
    """The type of his keys."""
    return rule.key_type or usual


def addresses(lines: Iterable[str]) -> frozenset[str]:
    """The addresses of a list; empty lines and what follows # do not count."""
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            found.add(address_key(text))
        except Malformed as error:
            raise Malformed(f"line {number}: {error}") from error
    return frozenset(found)


def _read(path: Path) -> frozenset[str]:
    with path.open("rb") as file:
        octets = file.read(MAXIMUM_LIST + 1)
    if len(octets) > MAXIMUM_LIST:
        raise LimitExceeded(f"it is larger than {MAXIMUM_LIST >> 20} MiB")
    return addresses(octets.decode("utf-8", "replace").splitlines())


def _named(key: str) -> str:
    """The signer of a whole domain falls under its domain's rule."""
    local, _, domain = key.rpartition("@")
    return f"@{domain}" if local == DOMAIN_SIGNER else key


@lru_cache(maxsize=256)
def _keys(addresses: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(address_key, addresses))


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    """At most three stars (`config.identity`) against 320 characters: quick enough."""
    return re.compile(".*".join(map(re.escape, text.lower().split("*"))))
