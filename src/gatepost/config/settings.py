"""Every setting, frozen; names and defaults here are the reference for `gatepost.toml`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.alerts import Alerts
from gatepost.config.certificate_source import LOCAL, CertificateSource
from gatepost.config.database import Database, check_address
from gatepost.config.endpoint import STRICT, Endpoint, Password
from gatepost.config.evidence import Evidence
from gatepost.config.federation import Federation
from gatepost.config.identity import Identity
from gatepost.config.ldap import Ldap
from gatepost.config.listener import Listener, Mode
from gatepost.config.lookup import Lookup
from gatepost.config.public import Public
from gatepost.config.quantity import Domain, Duration, File, Size
from gatepost.config.relay import NextHops, Relay, Route
from gatepost.config.resolver import Resolver
from gatepost.config.revocation import Revocation
from gatepost.config.token import Token
from gatepost.config.wrap import Wrap

_WILDCARDS = {"0.0.0.0": "127.", "::": "::1"}  # noqa: S104  compared with, not bound


@dataclass(frozen=True, slots=True, config=STRICT)
class Gateway:
    """Who this gateway is."""

    hostname: Domain
    """Its own name in EHLO, Received and Authentication-Results."""
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)]
    """The organisation's own mail domains."""
    state: File = Path("/var/lib/gatepost")
    """Folder for queue, spool and database."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Worker processes; one per core is plenty."""
    postmaster: str = ""
    """Address for notices; empty: postmaster@ the first domain."""
    mode: Mode = "enforce"
    """enforce | monitor: decide and record, but pass mail on untouched; for going live."""
    soft_bounce: bool = False
    """Answer 4xx where 5xx is due, and retry what a next hop refused: nothing bounces meanwhile."""

    @property
    def queue_folder(self) -> Path:
        """Where the workers' queues and their sealed bodies stand."""
        return self.state / "queue"

    @property
    def postmaster_address(self) -> str:
        """The postmaster's address, set or derived (RFC 5321 section 4.5.1)."""
        return self.postmaster or f"postmaster@{self.domains[0]}"

    @model_validator(mode="after")
    def _check(self) -> Gateway:
        if self.postmaster and not all(self.postmaster.partition("@")):
            raise ValueError("postmaster: expected an address such as postmaster@example.com")
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class Account(Password):
    """Somebody who may log in where a listener offers it."""

    name: Annotated[str, Field(min_length=1)]
    """The name to log in with."""
    verifier: str = ""
    """SCRAM-SHA-256$iterations:salt$stored:server, instead of a password."""

    @model_validator(mode="after")
    def _check(self) -> Account:
        if self.password_sources + bool(self.verifier) != 1:
            raise ValueError(
                "expected exactly one of verifier, password_file, password_environment,"
                " password_credential"
            )
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class Tls:
    """Our own certificate for TLS, shown as a server and to next hops that ask."""

    certificate: File
    """PEM file: the server's certificate, then its issuers."""
    key: File
    """PEM file with its private key."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Vault:
    """Where the key that seals private keys and spooled bodies comes from: exactly one of these."""

    key_file: File | None = None
    """File readable by the gateway's user only."""
    key_environment: str | None = None
    """Name of an environment variable."""
    key_credential: str | None = None
    """Name of a systemd credential (LoadCredential=)."""
    four_eyes: bool = False
    """Whether private keys leave by `gatepost key export` alone, with two passphrases."""
    key_passphrase: bool = False
    """Whether that key is under a passphrase that is typed when the gateway starts."""
    process: bool = True
    """Whether `gatepost serve` keeps private keys in a process of their own, not in its workers."""
    wrap: Wrap | None = None
    """What that key is wrapped with, so that it opens nothing by itself."""
    token: Token | None = None
    """A PKCS #11 token in which private keys are made and used."""

    @model_validator(mode="after")
    def _check(self) -> Vault:
        given = [one for one in (self.key_file, self.key_environment, self.key_credential) if one]
        if len(given) != 1:
            raise ValueError("expected exactly one of key_file, key_environment, key_credential")
        if self.key_passphrase and (self.wrap or not self.process):
            raise ValueError("key_passphrase needs process = true, and no [vault.wrap]")
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class Authority:
    """The embedded company CA."""

    user_key: Literal["rsa2048", "rsa3072", "p256"] = "rsa2048"
    """Key type of the certificates it issues to people."""
    validity: Duration = timedelta(days=730)
    """How long they are valid."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Limits:
    """What a peer may ask of us."""

    message_size: Annotated[Size, Field(ge=65536)] = 100 << 20
    """Octets of one message, announced by SIZE (RFC 1870)."""
    recipients: Annotated[int, Field(ge=100)] = 1000
    """Recipients of one message; RFC 5321 section 4.5.3.1.8 asks for at least 100."""
    connections: Annotated[int, Field(ge=1)] = 500
    """Connections at a time, per listener and worker; a tenth more for trusted peers."""
    connections_per_peer: Annotated[int, Field(ge=1)] = 50
    """Connections at a time of one stranger (an IPv4 address or an IPv6 /64)."""
    connection_rate: Annotated[int, Field(ge=0)] = 0
    """New connections of one stranger in a minute; 0 means any number."""
    message_rate: Annotated[int, Field(ge=0)] = 0
    """Messages of one stranger in a minute; 0 means any number."""
    bare_newlines: Literal["reject", "normalise"] = "reject"
    """What to do with CR or LF alone, the raw material of SMTP smuggling."""
    command_timeout: Duration = timedelta(minutes=5)
    """Patience for the next command (RFC 5321 section 4.5.3.2.7)."""
    data_timeout: Duration = timedelta(minutes=5)
    """Patience for the next octets of a message."""
    transaction_timeout: Duration = timedelta(hours=1)
    """From MAIL to the end of the message, however busy the client is."""
    minimum_rate: Annotated[Size, Field(ge=0)] = 128
    """Octets of a message in a second, on the average; slower clients are sent away."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Queue(Password):
    """Where accepted mail waits, and how long and how often delivery is tried."""

    database: str = ""
    """Like [database], for the queue alone."""
    maximum_age: Duration = timedelta(days=5)
    """After this the sender gets a failure notice (RFC 5321 section 4.5.4.1: 4 to 5 days)."""
    delay_notice: Duration = timedelta(hours=4)
    """After this the sender hears of the delay, once; 0 means never."""
    retry_first: Duration = timedelta(seconds=60)
    """The first pause; each later one is longer."""
    retry_maximum: Duration = timedelta(hours=1)
    """The longest pause."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 20
    """Connections to one next hop at a time, per worker."""
    deliveries: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Deliveries at a time to all next hops together, per worker."""

    @model_validator(mode="after")
    def _check(self) -> Queue:
        check_address(self.database, self.password_sources)
        if self.retry_first > self.retry_maximum:
            raise ValueError("retry_first is longer than retry_maximum")
        if self.retry_first <= timedelta(0):
            raise ValueError("retry_first must be longer than nothing")
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class Log:
    """What is written to standard error."""

    format: Literal["text", "json"] = "text"
    """text for people, json for collectors."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious thing still written."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Settings:
    """The whole file."""

    gateway: Gateway
    listener: Annotated[tuple[Listener, ...], Field(min_length=1)]
    vault: Vault
    next_hop: NextHops = field(default_factory=NextHops)
    route: tuple[Route, ...] = ()
    tls: Tls | None = None
    account: tuple[Account, ...] = ()
    authority: Authority = field(default_factory=Authority)
    identity: tuple[Identity, ...] = ()
    certificate_source: tuple[CertificateSource, ...] = ()
    public: Public = field(default_factory=Public)
    revocation: Revocation = field(default_factory=Revocation)
    evidence: Evidence = field(default_factory=Evidence)
    alerts: Alerts = field(default_factory=Alerts)
    federation: Federation = field(default_factory=Federation)
    lookup: Lookup = field(default_factory=Lookup)
    ldap: tuple[Ldap, ...] = ()
    limits: Limits = field(default_factory=Limits)
    database: Database = field(default_factory=Database)
    queue: Queue = field(default_factory=Queue)
    resolver: Resolver = field(default_factory=Resolver)
    log: Log = field(default_factory=Log)

    @model_validator(mode="after")
    def _check(self) -> Settings:
        _check_listeners(self)
        _check_hops(self)
        _check_sources(self)
        if self.database.address and self.queue.database:
            raise ValueError("queue.database: [database] says already where the queue is")
        return self

    @property
    def queue_database(self) -> Database:
        """Where the queue is; without an address in files."""
        if not self.queue.database:
            return self.database
        return Database(
            address=self.queue.database,
            password_file=self.queue.password_file,
            password_environment=self.queue.password_environment,
            password_credential=self.queue.password_credential,
        )

    @property
    def asks_dns(self) -> bool:
        """Whether mail goes anywhere by what the DNS says."""
        hops = (self.next_hop.inbound, self.next_hop.outbound, *self.route)
        return any(one is not None and (one.mx or one.tls == "dane") for one in hops)

    @property
    def monitored(self) -> tuple[Listener, ...]:
        """The listeners whose mail is decided about and passed untouched."""
        return tuple(one for one in self.listener if (one.mode or self.gateway.mode) == "monitor")


def _check_listeners(settings: Settings) -> None:
    if doubled := _doubled(str(one.bind) for one in settings.listener if one.bind.port):
        raise ValueError(f"listener: two bind {doubled}")
    if doubled := _doubled(one.label for one in settings.listener):
        raise ValueError(f"listener: two are called {doubled!r}, give each its own name")
    if settings.tls is None and any(one.tls != "off" for one in settings.listener):
        raise ValueError("tls: is missing, a listener uses STARTTLS with its certificate and key")
    if not settings.account and any(one.authentication for one in settings.listener):
        raise ValueError("a listener offers authentication, but there is no [[account]]")
    if doubled := _doubled(one.name for one in settings.account):
        raise ValueError(f"two accounts are called {doubled!r}")


def _check_sources(settings: Settings) -> None:
    names = [one.name for one in settings.certificate_source]
    if doubled := _doubled(names):
        raise ValueError(f"certificate_source: two are called {doubled!r}")
    for one in settings.identity:
        if one.source not in {LOCAL, *names}:
            raise ValueError(f"identity: no [[certificate_source]] is called {one.source!r}")


def _check_hops(settings: Settings) -> None:
    hops = settings.next_hop
    if hops.inbound is None and any(one.inbound for one in settings.listener):
        raise ValueError("next_hop.inbound: is missing, a listener takes inbound mail")
    if hops.outbound is None and any(one.outbound for one in settings.listener):
        raise ValueError("next_hop.outbound: is missing, a listener takes outbound mail")
    if doubled := _doubled(one.domain for one in settings.route):
        raise ValueError(f"route: two are for {doubled}")
    for name, hop in (
        ("next_hop.inbound", hops.inbound),
        ("next_hop.outbound", hops.outbound),
        *(("route", one) for one in settings.route),
    ):
        if hop is not None and any(_meets(one.bind, hop) for one in settings.listener):
            raise ValueError(f"{name}: {hop} is this gateway's own listener, mail would loop")


def _meets(bind: Endpoint, hop: Relay) -> bool:
    """Whether a hop leads to our own listener; one for every address answers on loopback too."""
    if bind.port != hop.port or hop.mx:
        return False
    loopback = _WILDCARDS.get(bind.host, "-")
    return (
        hop.host == bind.host
        or hop.host.startswith(loopback)
        or (hop.host == "localhost" and (bind.host in _WILDCARDS or bind.host.startswith("127.")))
    )


def _doubled(values: Iterable[str]) -> str:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return ""
