"""Builds one process's gateway: every part once, each handed its neighbours, nothing global."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from gatepost.config import Listener as ListenerSettings
from gatepost.config import Settings
from gatepost.engine.adoption import Adopter
from gatepost.engine.archive import Archive
from gatepost.engine.backend import free_queue, open_directory
from gatepost.engine.bounce import Bouncer
from gatepost.engine.chase import chase
from gatepost.engine.custody import BODIES, EVIDENCE, TRACE, opened
from gatepost.engine.delivery import Delivery, DeliverySettings
from gatepost.engine.door import key
from gatepost.engine.drop_folder import drop_folder
from gatepost.engine.enrolment import enrolment
from gatepost.engine.farewell import Farewell
from gatepost.engine.federation import federation
from gatepost.engine.gateway import Gateway, Parts
from gatepost.engine.gather import Gatherer
from gatepost.engine.issuer import Surroundings
from gatepost.engine.journal import Journal
from gatepost.engine.public import public_server
from gatepost.engine.respond import Respondent, challenges
from gatepost.engine.routing import Routes
from gatepost.engine.rulebook import Rulebook
from gatepost.engine.secret import Accounts
from gatepost.engine.source import sources
from gatepost.engine.standing import standing
from gatepost.engine.staple import stapler
from gatepost.engine.upkeep import Duties, Upkeep
from gatepost.engine.waiting import Waiting
from gatepost.enrol.local import ROOT, LocalAuthority
from gatepost.enrol.pointer import Pointers
from gatepost.events import Name
from gatepost.flow.context import Context
from gatepost.flow.retry import Schedule
from gatepost.mail.address import Mailbox, domain_key
from gatepost.net.bind import Sockets
from gatepost.net.listener import Listener
from gatepost.net.relay import Relay
from gatepost.net.roster import ConnectionLimits
from gatepost.net.settings import EdgeSettings, RelaySettings
from gatepost.net.tls import server_context
from gatepost.smtp.sasl import MECHANISMS
from gatepost.smtp.settings import ServerSettings
from gatepost.store.contract import MailQueue
from gatepost.store.directory import Directory
from gatepost.store.queue_id import Identifier
from gatepost.store.queue_item import NewItem
from gatepost.vault.client import Client
from gatepost.vault.keys import Vault
from gatepost.vault.mac import Mac, purpose_of
from gatepost.vault.seal import Sealer

if TYPE_CHECKING:
    from gatepost.engine.courier import Courier

Clock = Callable[[], datetime]

_CLIENTS = 0.5  # of the time for stopping
_WRITING = 3.0  # seconds to write down what became of the last mails


def utc_now() -> datetime:
    """The clock of real services."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Stores:
    """What is at rest: opened the same way by `serve`, `check`, `explain` and every command."""

    directory: Directory
    vault: Vault
    authority: LocalAuthority | None
    queue_folder: Path
    queue_seal: Sealer
    trace: Mac
    evidence_seal: Sealer

    @classmethod
    def open(cls, settings: Settings, keys: Client | None = None) -> Stores:
        """Open directory and vault; raises ConfigError or KeyUnavailable saying what to do.

        With `keys`, private keys stay in the key process.
        """
        custody, subkey = opened(settings, keys)
        directory = open_directory(settings)
        vault = Vault(directory, custody)
        return cls(
            directory,
            vault,
            _authority(settings, directory, vault),
            settings.gateway.queue_folder,
            Sealer(subkey(BODIES), BODIES),
            Mac(subkey(purpose_of(TRACE)), TRACE),
            Sealer(subkey(EVIDENCE), EVIDENCE),
        )

    def archive(self, settings: Settings, clock: Clock) -> Archive:
        """Who looks after the evidence."""
        store, turns = self.directory.evidence, self.directory.turns
        return Archive(settings, store, turns, self.evidence_seal, self.vault, clock)

    def close(self) -> None:
        """Give the files back."""
        self.directory.close()


def _authority(settings: Settings, directory: Directory, vault: Vault) -> LocalAuthority | None:
    if directory.setting(ROOT) is None:
        return None
    return LocalAuthority(
        directory,
        vault,
        own_domains(settings),
        settings.authority.user_key,
        Pointers(settings.public.url),
    )


def own_domains(settings: Settings) -> frozenset[str]:
    """Our domains in the form two spellings share."""
    return frozenset(domain_key(domain) for domain in settings.gateway.domains)


def context(
    settings: Settings, rulebook: Rulebook, clock: Clock, mac: Mac
) -> Callable[[], Context]:
    """Makes a snapshot per message: the time and the policy of that moment."""
    domains = own_domains(settings)

    def snapshot() -> Context:
        policy = rulebook()
        return Context(
            now=clock(),
            hostname=settings.gateway.hostname,
            domains=domains,
            policy=policy,
            entropy=secrets.token_bytes,
            names=secrets.token_urlsafe,
            mac=mac,
            asks_revocation=settings.revocation.inbound != "off",
            generation=rulebook.generation,
        )

    return snapshot


class Service:
    """A running gateway: listeners in front, delivery behind."""

    def __init__(
        self,
        settings: Settings,
        *,
        sockets: Mapping[str, Sockets] = MappingProxyType({}),
        clock: Clock = utc_now,
        journal: Journal | None = None,
        keys: Client | None = None,
    ) -> None:
        """`sockets` are those of a supervisor, by the `key` of their listener; `keys` its vault."""
        self.settings = settings
        self.journal = journal or Journal(clock)
        self.stores = Stores.open(settings, keys)
        domains = own_domains(settings)
        identify = Identifier(secrets.token_bytes)
        hostname = settings.gateway.hostname
        self._relay = _sender(settings, clock)
        routes = Routes(settings)
        bouncer = Bouncer(
            hostname,
            routes.back,
            identify,
            secrets.token_urlsafe,
            Mailbox.parse(settings.gateway.postmaster_address),
        )
        self._federation = federation(
            settings, self.stores.directory.register, domains, clock, self.journal
        )
        stores = self.stores
        around = Surroundings(settings, stores.directory, stores.vault, clock, self.journal)
        self._enrolment = enrolment(around, stores.authority)
        self._chase = chase(settings, stores.directory, clock)
        self._folder = drop_folder(settings, stores.directory, domains, clock, self.journal)
        stands = standing(settings, self.stores.directory.statuses, clock)
        self._stapler = stapler(
            settings.revocation.staple,
            stores.directory,
            stores.authority,
            standing=stands,
            clock=clock,
            journal=self.journal,
        )
        self.gather = Gatherer(
            self.stores.directory,
            self.stores.vault,
            self._enrolment.identities,
            domains=domains,
            clock=clock,
            journal=self.journal,
            federation=self._federation,
            standing=stands,
            challenges=challenges(settings, self.stores.directory, clock),
            sources=sources(settings, domains, clock, self.journal),
            chase=self._chase,
            stapler=self._stapler,
        )
        snapshot = context(settings, Rulebook(self.stores.directory), clock, self.stores.trace)

        def deliver(queue: MailQueue) -> Delivery:
            waiting = Waiting(
                queue,
                snapshot,
                self.gather,
                self.stores.directory.generation,
                routes,
                bouncer,
                self.journal,
                settings.queue.maximum_age,
                settings.gateway.soft_bounce,
            )
            return Delivery(
                queue,
                self._relay,
                lambda item: routes.hop(item.hop),
                delivery_settings(settings),
                bouncer=bouncer,
                journal=self.journal,
                clock=clock,
                revisit=waiting.look,
            )

        folder, seal = self.stores.queue_folder, self.stores.queue_seal
        self.queue = free_queue(settings, seal, clock)
        self._delivery = deliver(self.queue)
        self._adopter = Adopter(folder, seal, deliver, clock, self.journal)
        self._monitored = frozenset(one.label for one in settings.monitored)
        self._gateway = Gateway(
            Parts(
                listeners={one.label: one for one in settings.listener},
                domains=domains,
                context=snapshot,
                queue=self.queue,
                delivery=self._delivery,
                directory=self.stores.directory,
                gather=self.gather,
                routes=routes,
                bouncer=bouncer,
                journal=self.journal,
                identify=identify,
                monitored=self._monitored,
                soft_bounce=settings.gateway.soft_bounce,
                maximum_age=settings.queue.maximum_age,
                evidence_seal=self.stores.evidence_seal,
                respondent=Respondent(self.stores.directory, self.journal, identify, routes.back),
            )
        )
        accounts = Accounts(settings.account)
        self._listeners = {
            one.label: _listener(self._gateway, one, settings, accounts, sockets.get(key(one), ()))
            for one in settings.listener
        }
        self._clock = clock
        self._upkeep = Upkeep(
            Duties(
                settings,
                self.stores.directory,
                self.stores.authority,
                stands,
                self.stores.archive(settings, clock),
                bouncer,
                self._send,
                self.journal,
                clock,
            )
        )
        self._public = public_server(settings, self.stores.authority, clock, self.journal)

    async def _send(self, letter: NewItem) -> None:
        """Put a letter of our own into the queue."""
        self._delivery.submit(await self.queue.accept((letter,), ()))

    async def start(self) -> None:
        """Recover the queue, then listen; raises OSError when an address cannot be bound."""
        await self._delivery.start()
        if self._public is not None:
            await self._public.start()
        for label, listener in self._listeners.items():
            await listener.start()
            mode = "monitor" if label in self._monitored else None
            self.journal.note(
                Name.SERVICE_STARTED, service=f"listener {label}", port=listener.port, mode=mode
            )
        self._adopter.start()
        self._upkeep.start()
        self._enrolment.start()
        if self._folder is not None:
            self._folder.start()

    async def retire(self, limit: float) -> None:
        """Take no new clients; return when all have left, or after so many seconds."""
        await asyncio.gather(*(one.retire(limit) for one in self._listeners.values()))

    async def stop(self, grace: timedelta = timedelta(seconds=30)) -> None:
        """Stop accepting, finish what is under way, leave the rest in the queue."""
        farewell = Farewell(grace.total_seconds(), self.journal)
        if self._public is not None:
            await farewell.of("public", self._public.stop())
        patience = farewell.left * _CLIENTS
        draining = asyncio.gather(*(one.drain(patience) for one in self._listeners.values()))
        await farewell.of("listeners", draining)
        await farewell.of("upkeep", self._upkeep.stop())
        await farewell.of("enrolment", self._enrolment.stop())
        if self._folder is not None:
            await farewell.of("folder", self._folder.stop())
        await farewell.of("learning", self._gateway.settle())
        if self._stapler is not None:
            await farewell.of("staple", self._stapler.close())
        delivering = timedelta(seconds=max(farewell.left - _WRITING, 0.0))
        await farewell.of("adopter", self._adopter.stop(delivering))
        await farewell.of("delivery", self._delivery.stop(delivering), _WRITING)
        self.queue.close()
        await farewell.of("relay", self._relay.close())
        await farewell.of("federation", self._federation.close())
        await farewell.of("chase", self._chase.close())
        self.stores.close()
        self.journal.note(Name.SERVICE_STOPPED, service="worker")

    async def settle(self) -> None:
        """Wait until what past messages taught is in the directory."""
        await self._gateway.settle()

    def port(self, label: str) -> int:
        """The port a listener really uses (0 was asked for in tests and the demo)."""
        return self._listeners[label].port


def _sender(settings: Settings, clock: Clock) -> Relay | Courier:
    identity = (settings.tls.certificate, settings.tls.key) if settings.tls else None
    relay = Relay(
        settings.gateway.hostname,
        RelaySettings(per_hop=settings.queue.concurrency, identity=identity),
        clock,
    )
    if not settings.asks_dns:
        return relay
    from gatepost.engine.courier import courier  # noqa: PLC0415 - 0.2 s that others save

    return courier(relay, settings, clock)


def delivery_settings(settings: Settings) -> DeliverySettings:
    """The delivery's part of the configuration."""
    queue = settings.queue
    return DeliverySettings(
        schedule=Schedule(
            first=queue.retry_first,
            longest=queue.retry_maximum,
            maximum_age=queue.maximum_age,
            warn_after=queue.delay_notice or timedelta.max,
            soft_bounce=settings.gateway.soft_bounce,
        ),
        concurrency=queue.concurrency,
        total=queue.deliveries,
    )


def _tls(one: ListenerSettings, settings: Settings) -> ssl.SSLContext | None:
    if settings.tls is None or one.tls == "off":
        return None
    return server_context(
        settings.tls.certificate,
        settings.tls.key,
        ask=bool(one.trusted_certificates),
        anchors=str(one.client_ca or ""),
    )


def _edge(one: ListenerSettings, settings: Settings) -> EdgeSettings:
    limits = settings.limits
    return EdgeSettings(
        server=ServerSettings(
            hostname=settings.gateway.hostname,
            postmaster_domain=settings.gateway.postmaster_address.rpartition("@")[2],
            size_limit=limits.message_size,
            recipient_limit=limits.recipients,
            bare=limits.bare_newlines,
            require_tls=one.tls == "require",
            smtputf8=one.smtputf8,
            lmtp=one.protocol == "lmtp",
            mechanisms=MECHANISMS if one.authentication else (),
        ),
        listener=one.label,
        command_timeout=limits.command_timeout.total_seconds(),
        data_timeout=limits.data_timeout.total_seconds(),
        transaction_timeout=limits.transaction_timeout.total_seconds(),
        minimum_rate=limits.minimum_rate,
        trusted=one.trusted,
        forward_from=one.trusted,
        substitute_from=one.xclient,
    )


def _listener(
    gateway: Gateway,
    one: ListenerSettings,
    settings: Settings,
    accounts: Accounts,
    sockets: Sockets,
) -> Listener:
    limits = settings.limits
    return Listener(
        gateway,
        _edge(one, settings),
        host=one.bind.host,
        port=one.bind.port,
        tls=_tls(one, settings),
        is_implicit_tls=one.tls == "implicit",
        limits=ConnectionLimits(
            total=limits.connections,
            per_peer=limits.connections_per_peer,
            reserve=max(limits.connections // 10, 5),
            connections_per_minute=limits.connection_rate,
            messages_per_minute=limits.message_rate,
        ),
        authenticator=accounts,
        proxies=one.proxies,
        sockets=sockets,
        is_shared=settings.gateway.workers > 1,
    )
