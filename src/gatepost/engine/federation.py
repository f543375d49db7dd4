"""Gets to know other companies' gateways by their announcements: docs/reference/federation.md.

A domain is asked when mail needs to know; mail waits for it a few seconds, never longer.  What
was pinned counts until it expires and is asked for again daily, behind the mail's back.  A
domain that announces nothing is left alone for some hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from gatepost.config import Settings
from gatepost.engine.journal import Journal, reason_of
from gatepost.enrol.announcer import Announcer
from gatepost.enrol.local import LocalAuthority
from gatepost.errors import GatepostError, Unavailable
from gatepost.events import Name
from gatepost.lookup.page import Fetched, Page
from gatepost.pki.announcement import MAXIMUM_SIZE
from gatepost.pki.choose import Candidate
from gatepost.pki.pinning import Peer, follow
from gatepost.pki.validate import Anchors
from gatepost.store.register import Register

if TYPE_CHECKING:
    from gatepost.lookup.web import Web

PEERS: Final = "federation.peer."
PLACE: Final = "/.well-known/gatepost/"
KIND: Final = "application/json"
KINDS: Final = (KIND, "application/jose+json", "text/plain")
SILENCE: Final = timedelta(hours=6)  # a domain that announces nothing, or does not answer
TROUBLE: Final = timedelta(minutes=10)  # a domain whose announcement is refused
MAXIMUM_QUIET: Final = 20_000
HOUR: Final = timedelta(hours=1)
STRANGERS_AN_HOUR: Final = 100  # domains that wrote to us and are asked, by each process
MAXIMUM_PINNED: Final = 5000  # beyond that only those our people write to
MAXIMUM_ASKED: Final = 16  # domains at a time; others are not waited for

_ATTEMPTS: Final = 5


class Fetch(Protocol):
    """Whoever gets a page from the web."""

    def __call__(self, page: Page) -> Awaitable[Fetched]:
        """The page; raises Unavailable or Malformed."""
        ...


def path(domain: str) -> str:
    """Where on a domain's web server its announcement is."""
    return f"{PLACE}{domain}.json"


def page(domain: str) -> Page:
    """Where in the world a domain's announcement is."""
    return Page(domain, path(domain), KINDS, MAXIMUM_SIZE)


def announcer(settings: Settings, authority: LocalAuthority) -> Announcer:
    """Who speaks for our domains, as the configuration says."""
    asked = settings.federation
    register = authority.directory.register
    return Announcer(authority, register, asked.encryption, asked.domain_certificate)


def federation(
    settings: Settings,
    register: Register,
    own: frozenset[str],
    clock: Callable[[], datetime],
    journal: Journal | None = None,
) -> Federation:
    """Who knows other companies' gateways, as the configuration says."""
    asked = settings.federation
    fetch = web(settings).fetch if asked.discover and journal is not None else None
    return Federation(register, own, clock, fetch=fetch, patience=asked.patience, journal=journal)


def web(settings: Settings) -> Web:
    """Who fetches announcements, as the configuration says."""
    from gatepost.engine.courier import resolver  # noqa: PLC0415 - 0.2 s that others save
    from gatepost.lookup.web import Web  # noqa: PLC0415

    asked = settings.federation
    return Web(
        resolver(settings),
        asked.port,
        str(asked.anchors or ""),
        public=not asked.private_addresses,
        patience=asked.patience.total_seconds(),
    )


class Federation:
    """What other gateways announced.  Without `fetch` only what is pinned counts."""

    def __init__(
        self,
        register: Register,
        own: frozenset[str],
        clock: Callable[[], datetime],
        *,
        fetch: Fetch | None = None,
        patience: timedelta = timedelta(seconds=4),
        journal: Journal | None = None,
    ) -> None:
        self._register, self._own, self._clock = register, own, clock
        self._fetch, self._patience, self._journal = fetch, patience.total_seconds(), journal
        self._quiet: dict[str, datetime] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._since, self._strangers = clock(), 0

    async def meet(self, domain: str, *, wrote: bool = False) -> None:
        """Know what can be known of the domain by now; raises nothing.

        `wrote`: it came to us, and nobody of ours goes to it.  Of those only so many are asked,
        or a stranger with as many domains as he likes would fill the directory.
        """
        if self._fetch is None or domain in self._own or "." not in domain:
            return
        now = self._clock()
        peer = await asyncio.to_thread(self.peer, domain)
        if (peer is not None and not peer.is_due(now)) or now < self._quiet.get(domain, now):
            return
        stranger = wrote and peer is None and domain not in self._asking
        if stranger and not await self._is_welcome(now):
            return
        asked = self._asking.get(domain)
        if asked is None:
            if len(self._asking) >= MAXIMUM_ASKED:
                return
            asked = asyncio.get_running_loop().create_task(self._ask(domain))
            self._asking[domain] = asked
            asked.add_done_callback(lambda _: self._asking.pop(domain, None))
        if peer is None or not peer.is_live(now):
            await asyncio.wait([asked], timeout=self._patience)

    async def _is_welcome(self, now: datetime) -> bool:
        if now - self._since >= HOUR:
            self._since, self._strangers = now, 0
        if self._strangers >= STRANGERS_AN_HOUR:
            return False
        self._strangers += 1
        return await asyncio.to_thread(self._register.count, PEERS) < MAXIMUM_PINNED

    def peer(self, domain: str) -> Peer | None:
        """What is pinned of a domain, live or not."""
        return peer_of(self._register, domain)

    def anchors(self, domain: str, known: Anchors) -> Anchors:
        """The anchors of a domain, with those that it announced for itself."""
        peer = self._live(domain)
        if peer is None:
            return known
        said = peer.announcement
        return Anchors(
            known.roots | frozenset(said.authorities),
            known.intermediates | frozenset(said.intermediates),
            known.evidence,
            known.own | frozenset(said.authorities),
            known.denied,
        )

    def candidates(self, domain: str) -> tuple[Candidate, ...]:
        """The certificates that a domain announced for all its mailboxes."""
        peer = self._live(domain)
        if peer is None:
            return ()
        said = peer.announcement
        return tuple(
            Candidate(one, "federation", said.intermediates, domain=True)
            for one in said.certificates
        )

    def algorithms(self, domain: str) -> frozenset[str]:
        """What the domain's gateway says it reads."""
        peer = self._live(domain)
        return frozenset(peer.announcement.algorithms) if peer else frozenset()

    async def close(self) -> None:
        """Ask nobody any more."""
        for one in tuple(self._asking.values()):
            one.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _live(self, domain: str) -> Peer | None:
        peer = None if domain in self._own else self.peer(domain)
        return peer if peer is not None and peer.is_live(self._clock()) else None

    async def _ask(self, domain: str) -> None:
        assert self._fetch is not None
        now = self._clock()
        try:
            fetched = await self._fetch(page(domain))
            text = fetched.octets.decode("utf-8", "replace")
            evidence = "https, dnssec" if fetched.authentic else "https"
            before, peer = await asyncio.to_thread(
                pin, self._register, domain, text, now, evidence=evidence
            )
        except Unavailable:
            self._hush(domain, SILENCE)
        except GatepostError as error:
            self._hush(domain, TROUBLE)
            self._note(Name.FEDERATION_REFUSED, domain, reason=reason_of(error))
        except Exception as error:  # noqa: BLE001  an announcement must not stop mail
            self._hush(domain, TROUBLE)
            self._note(Name.SERVICE_ERROR, domain, service="federation", reason=reason_of(error))
        else:
            if before is None or before.announcement.key != peer.announcement.key:
                self._note(
                    Name.FEDERATION_PINNED,
                    domain,
                    key=peer.announcement.key,
                    evidence=evidence,
                    until=f"{peer.announcement.expires:%Y-%m-%d}",
                )

    def _hush(self, domain: str, how_long: timedelta) -> None:
        if len(self._quiet) >= MAXIMUM_QUIET:
            self._quiet.clear()
        self._quiet[domain] = self._clock() + how_long

    def _note(self, name: Name, domain: str, **fields: str) -> None:
        if self._journal is not None:
            self._journal.note(name, domain=domain, **fields)


def peers_of(register: Register) -> tuple[Peer, ...]:
    """Everything pinned, by domain."""
    return tuple(map(Peer.restored, register.named(PEERS).values()))


def peer_of(register: Register, domain: str) -> Peer | None:
    """What is pinned of a domain."""
    text = register.read(PEERS + domain)
    return Peer.restored(text) if text else None


def pin(
    register: Register,
    domain: str,
    text: str,
    now: datetime,
    *,
    evidence: str,
    new_key: bool = False,
) -> tuple[Peer | None, Peer]:
    """Take a document in, as the peer before it allows; that peer and the one after it."""
    for _ in range(_ATTEMPTS):
        known = register.read(PEERS + domain)
        before = Peer.restored(known) if known else None
        after = follow(before, text, domain, now, evidence=evidence, new_key=new_key)
        if register.swap(PEERS + domain, known, after.written()):
            return before, after
    raise Unavailable(f"what is known of {domain} is being changed by others")
