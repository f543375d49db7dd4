"""The mailboxes of a group in an LDAP directory: its members, and those of the groups in it.

Members are named at the group (member, uniqueMember) or at themselves (memberOf); lists that
Active Directory gives in parts (`member;range=0-1499`) are read to their end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final

from gatepost.errors import ConfigError, LimitExceeded, Malformed
from gatepost.lookup import ldap_filter
from gatepost.lookup.ldap_channel import Channel
from gatepost.lookup.ldap_message import Entry, Search
from gatepost.mail.address import Mailbox

MAXIMUM_DEPTH: Final = 8  # groups in groups
MAXIMUM_ENTRIES: Final = 50_000
PAGE: Final = 500
_LISTS: Final = ("member", "uniqueMember")
_WANTED: Final = ("objectClass", "mail", *_LISTS)
_GROUPS: Final = frozenset({b"group", b"groupofnames", b"groupofuniquenames"})
_ANYTHING: Final = ldap_filter.present("objectClass")


async def members(channel: Channel, group: str, base: str) -> tuple[Mailbox, ...]:
    """The addresses, each once; raises ConfigError when there is no such group."""
    first = await _entry(channel, group)
    if first is None:
        raise ConfigError(f"the directory has no group {group!r}")
    walk = _Walk(channel, base)
    level = [first]
    walk.seen.add(_key(group))
    for _ in range(MAXIMUM_DEPTH):
        level = [inner for one in level for inner in await walk.inside(one)]
        if not level:
            return tuple(walk.found.values())
    raise LimitExceeded(f"groups in {group!r} are nested more than {MAXIMUM_DEPTH} deep")


@dataclass(slots=True)
class _Walk:
    """One descent; nobody is met twice, and no circle is gone round."""

    channel: Channel
    base: str
    found: dict[str, Mailbox] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    async def inside(self, group: Entry) -> list[Entry]:
        """The groups in a group; its people are kept."""
        groups = self._met(await _pointing(self.channel, group.name, self.base))
        async for name in _listed(self.channel, group):
            if _key(name) not in self.seen:
                entry = await _entry(self.channel, name)
                groups += self._met((entry,) if entry is not None else ())
        return groups

    def _met(self, entries: Iterable[Entry]) -> list[Entry]:
        groups = []
        for one in entries:
            if _key(one.name) in self.seen:
                continue
            self.seen.add(_key(one.name))
            if len(self.seen) > MAXIMUM_ENTRIES:
                raise LimitExceeded(f"a group with more than {MAXIMUM_ENTRIES} members")
            if _is_group(one):
                groups.append(one)
            elif (mailbox := _mailbox(one)) is not None:
                self.found.setdefault(mailbox.key, mailbox)
        return groups


def _key(name: str) -> str:
    """The form most spellings of a distinguished name share."""
    return name.lower().replace(", ", ",")


def _is_group(entry: Entry) -> bool:
    classes = {one.lower() for one in entry.values.get("objectclass", ())}
    return bool(classes & _GROUPS)


def _mailbox(entry: Entry) -> Mailbox | None:
    for value in entry.values.get("mail", ()):
        try:
            return Mailbox.parse(value.decode("utf-8", "replace").strip())
        except Malformed:
            continue
    return None


async def _entry(
    channel: Channel, name: str, attributes: tuple[str, ...] = _WANTED
) -> Entry | None:
    found = await channel.search(Search(name, "base", _ANYTHING, attributes), 1)
    return found[0] if found else None


async def _pointing(channel: Channel, group: str, base: str) -> list[Entry]:
    """Entries that say themselves that they are in the group."""
    wanted = ldap_filter.equality("memberOf", group.encode())
    return await channel.search(
        Search(base, "sub", wanted, _WANTED, page=PAGE), MAXIMUM_ENTRIES + 1
    )


async def _listed(channel: Channel, group: Entry) -> AsyncIterator[str]:
    """Names that stand at the group."""
    for kind in _LISTS:
        for value in group.values.get(kind.lower(), ()):
            yield value.decode("utf-8", "replace")
        after, values = _part(group, kind)
        while values:
            for value in values:
                yield value.decode("utf-8", "replace")
            more = (
                await _entry(channel, group.name, (f"{kind};range={after}-*",)) if after else None
            )
            before, (after, values) = after, _part(more, kind)
            if after and after <= before:
                raise Malformed("a directory that gives the same part of a list again")


def _part(group: Entry | None, kind: str) -> tuple[int, tuple[bytes, ...]]:
    """A part of a long list, and where the next one begins; 0: nowhere."""
    beginning = f"{kind.lower()};range="
    for name, values in group.values.items() if group is not None else ():
        if name.startswith(beginning):
            last = name.rpartition("-")[2]
            return (int(last) + 1 if last.isdigit() and len(last) < 9 else 0), values
    return 0, ()
