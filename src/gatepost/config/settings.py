"""Every setting, frozen; names and defaults here are the reference for `gatepost.toml`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.quantity import Domain, Duration, File, Size

Direction = Literal["outbound", "inbound", "both"]
ListenerTls = Literal["off", "offer", "require", "implicit"]
Protocol = Literal["smtp", "lmtp"]
RelayTls = Literal["none", "opportunistic", "required", "verified"]
_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_PORT = Field(ge=1, le=65535)
_WILDCARDS = {"0.0.0.0": "127.", "::": "::1"}  # noqa: S104  compared with, not bound
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def split_port(value: str, default: int | None = None, least: int = 1) -> tuple[str, int]:
    """Split "host:port"; IPv6 addresses stand in brackets."""
    host, colon, digits = value.strip().rpartition(":")
    if not colon or digits.endswith("]"):
        host, digits = value.strip(), "" if default is None else str(default)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f'write the IPv6 address in brackets: "[{host}]:{digits}"')
    decimal = digits.isascii() and digits.isdigit() and len(digits) < 6
    if not host or not decimal or not least <= int(digits) < 65536:
        raise ValueError('expected "host:port" such as "127.0.0.1:10025"')
    return host, int(digits)


def _network(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('expected a network such as "127.0.0.0/8"')  # noqa: TRY004  pydantic's way
    try:
        return ip_network(value.strip())
    except ValueError:
        pass
    try:
        meant = f", perhaps {ip_network(value.strip(), strict=False)}"
    except ValueError:
        meant = ""
    raise ValueError(f'expected a network such as "127.0.0.0/8" or an address{meant}')


Network = Annotated[
    IPv4Network | IPv6Network, BeforeValidator(_network, json_schema_input_type=str)
]


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Endpoint:
    """A local address and port."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]  # 0: any free one

    def __str__(self) -> str:
        return _joined(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Password:
    """A password, kept outside this file."""

    password_file: Annotated[
        File | None, Field(description="File with the password, its owner's alone (mode 0600).")
    ] = None
    password_environment: Annotated[
        str | None, Field(description="Name of an environment variable with the password.")
    ] = None
    password_credential: Annotated[
        str | None, Field(description="Name of a systemd credential with the password.")
    ] = None

    @property
    def password_sources(self) -> int:
        """How many places were named; one is right."""
        named = (self.password_file, self.password_environment, self.password_credential)
        return sum(one is not None for one in named)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Relay(Password):
    """A mail server to hand mail to."""

    host: Annotated[str, Field(min_length=1)]
    """Name or address of the server."""
    port: Annotated[int, _PORT] = 25
    """TCP port."""
    tls: RelayTls = "opportunistic"
    """none | opportunistic: if offered | required: any certificate | verified: chain and name."""
    tls_name: str = ""
    """Name the server's certificate must carry; empty: the host."""
    tls_ca: File | None = None
    """File of trust anchors (PEM) for `verified`; absent: the system's."""
    implicit_tls: bool = False
    """TLS from the first octet (RFC 8314), usually on port 465."""
    protocol: Protocol = "smtp"
    """smtp | lmtp: a mailbox server that answers for each recipient."""
    username: str = ""
    """Name to log in with; the password stands in password_file, _environment or _credential."""
    xforward: bool = False
    """Tell it whose mail this was before ours, where it offers XFORWARD."""
    chunking: bool = False
    """Send messages by BDAT where it offers CHUNKING; DATA does the same work everywhere."""

    @model_validator(mode="after")
    def _check_log_in(self) -> Relay:
        if self.username and self.password_sources != 1:
            raise ValueError(
                "username needs one of password_file, password_environment, password_credential"
            )
        if not self.username and self.password_sources:
            raise ValueError("a password needs a username")
        if self.implicit_tls and self.tls == "none":
            raise ValueError('implicit_tls contradicts tls = "none"')
        if self.protocol == "lmtp" and self.port == 25:
            raise ValueError("LMTP is not spoken on port 25 (RFC 2033 section 5)")
        return self

    def __str__(self) -> str:
        return _joined(self.host, self.port)


def _endpoint(value: object) -> object:
    if isinstance(value, str):
        host, port = split_port(value, least=0)
        return {"host": host, "port": port}
    return _table(value)


def _relay(value: object) -> object:
    if isinstance(value, str):
        host, port = split_port(value, default=25)
        return {"host": host, "port": port}
    return _table(value)


def _table(value: object) -> object:
    if isinstance(value, bool | int | float | list):
        raise ValueError('expected "host:port" such as "127.0.0.1:10025"')  # noqa: TRY004  as above
    return value


Bind = Annotated[Endpoint, BeforeValidator(_endpoint, json_schema_input_type=str)]
Hop = Annotated[Relay, BeforeValidator(_relay, json_schema_input_type=str | Relay)]


@dataclass(frozen=True, slots=True, config=_STRICT)
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


@dataclass(frozen=True, slots=True, config=_STRICT)
class Listener:
    """An address where mail is taken."""

    bind: Bind
    """Address and port, "127.0.0.1:10025"."""
    direction: Direction
    """outbound: our people's mail | inbound: the world's | both: told apart by peer and domains."""
    name: str = ""
    """A name for logs and traces; empty: the direction."""
    trusted: tuple[Network, ...] = _LOOPBACK
    """Networks that may send outbound mail here; everybody else is a stranger."""
    tls: ListenerTls = "off"
    """off | offer STARTTLS | require STARTTLS | implicit: from the first octet (port 465)."""
    protocol: Protocol = "smtp"
    """smtp | lmtp: one reply for each recipient (RFC 2033)."""
    authentication: bool = False
    """Offer AUTH (PLAIN, LOGIN, SCRAM-SHA-256); who logs in may send outbound mail."""
    trusted_certificates: tuple[str, ...] = ()
    """Clients that may send outbound mail: "mail.example.com", "*.example.com" or "sha256:..."."""
    client_ca: File | None = None
    """File (PEM) of issuers or of the very certificates for these; absent: the system's issuers."""
    proxies: tuple[Network, ...] = ()
    """Load balancers here begin each connection with a PROXY header (v1 or v2)."""
    xclient: tuple[Network, ...] = ()
    """Proxies here may say by XCLIENT who their client is."""
    smtputf8: bool = False
    """Take internationalised addresses (RFC 6531); the next hops must take them too."""
    forwards: bool = False
    """Take outbound mail with a stranger's return path, as aliases that lead outside make it."""

    @property
    def label(self) -> str:
        """The name for logs and traces."""
        return self.name or self.direction

    @property
    def outbound(self) -> bool:
        """Whether our people's mail may enter here."""
        return self.direction != "inbound"

    @property
    def inbound(self) -> bool:
        """Whether the world's mail may enter here."""
        return self.direction != "outbound"

    def trusts(self, peer: str) -> bool:
        """Whether an address lies in a trusted network; IPv4 inside IPv6 counts as IPv4."""
        try:
            address: IPv4Address | IPv6Address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted)

    @model_validator(mode="after")
    def _check(self) -> Listener:
        if self.trusted_certificates and self.tls == "off":
            raise ValueError("trusted_certificates needs tls")
        if self.client_ca is not None and not self.trusted_certificates:
            raise ValueError("client_ca without trusted_certificates trusts nobody")
        if self.protocol == "lmtp" and self.bind.port == 25:
            raise ValueError("LMTP is not spoken on port 25 (RFC 2033 section 5)")
        return self


@dataclass(frozen=True, slots=True, config=_STRICT)
class NextHops:
    """Where mail goes after the gateway."""

    inbound: Hop | None = None
    """The organisation's own mail server."""
    outbound: Hop | None = None
    """The server that takes mail for the world."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Route(Relay):
    """An exception: outbound mail for one domain goes to another server."""

    domain: Domain = ""
    """The recipients' domain."""

    @model_validator(mode="after")
    def _check(self) -> Route:
        if not self.domain:
            raise ValueError("domain is missing: name the recipients' domain this route is for")
        return self


@dataclass(frozen=True, slots=True, config=_STRICT)
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


@dataclass(frozen=True, slots=True, config=_STRICT)
class Tls:
    """Our own certificate for TLS, shown as a server and to next hops that ask."""

    certificate: File
    """PEM file: the server's certificate, then its issuers."""
    key: File
    """PEM file with its private key."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Vault:
    """Where the key that seals private keys and spooled bodies comes from: exactly one of these."""

    key_file: File | None = None
    """File readable by the gateway's user only."""
    key_environment: str | None = None
    """Name of an environment variable."""
    key_credential: str | None = None
    """Name of a systemd credential (LoadCredential=)."""

    @model_validator(mode="after")
    def _check(self) -> Vault:
        given = [one for one in (self.key_file, self.key_environment, self.key_credential) if one]
        if len(given) != 1:
            raise ValueError("expected exactly one of key_file, key_environment, key_credential")
        return self


@dataclass(frozen=True, slots=True, config=_STRICT)
class Authority:
    """The embedded company CA."""

    user_key: Literal["rsa2048", "rsa3072", "p256"] = "rsa2048"
    """Key type of the certificates it issues to people."""
    validity: Duration = timedelta(days=730)
    """How long they are valid."""


@dataclass(frozen=True, slots=True, config=_STRICT)
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


@dataclass(frozen=True, slots=True, config=_STRICT)
class Queue(Password):
    """Where accepted mail waits, and how long and how often delivery is tried."""

    database: str = ""
    """postgresql://user@host/name: one queue for several nodes; empty: files in the state."""
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

    @model_validator(mode="after")
    def _check(self) -> Queue:
        self._check_database()
        if self.retry_first > self.retry_maximum:
            raise ValueError("retry_first is longer than retry_maximum")
        if self.retry_first <= timedelta(0):
            raise ValueError("retry_first must be longer than nothing")
        return self

    def _check_database(self) -> None:
        if self.password_sources > bool(self.database):
            raise ValueError("a password needs a database, and one place to stand in")
        if not self.database:
            return
        if not self.database.startswith(("postgresql://", "postgres://")):
            raise ValueError("database is no address like postgresql://user@host/name")
        if urlsplit(self.database).password is not None:
            raise ValueError("the database's password belongs in password_file, not in its address")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Log:
    """What is written to standard error."""

    format: Literal["text", "json"] = "text"
    """text for people, json for collectors."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious thing still written."""


@dataclass(frozen=True, slots=True, config=_STRICT)
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
    limits: Limits = field(default_factory=Limits)
    queue: Queue = field(default_factory=Queue)
    log: Log = field(default_factory=Log)

    @model_validator(mode="after")
    def _check(self) -> Settings:
        _check_listeners(self)
        _check_hops(self)
        return self


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
    if bind.port != hop.port:
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
