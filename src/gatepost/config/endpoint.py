"""What several tables of `gatepost.toml` are made of: addresses, networks, passwords."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from gatepost.config.quantity import File

Protocol = Literal["smtp", "lmtp"]
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


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


def joined(host: str, port: int) -> str:
    """Write host and port; IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, config=STRICT)
class Endpoint:
    """A local address and port."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]  # 0: any free one

    def __str__(self) -> str:
        return joined(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
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


def _endpoint(value: object) -> object:
    if isinstance(value, str):
        host, port = split_port(value, least=0)
        return {"host": host, "port": port}
    return table(value)


def table(value: object) -> object:
    """A table or its short form; raises ValueError for what is neither."""
    if isinstance(value, bool | int | float | list):
        raise ValueError('expected "host:port" such as "127.0.0.1:10025"')  # noqa: TRY004  as above
    return value


Bind = Annotated[Endpoint, BeforeValidator(_endpoint, json_schema_input_type=str)]
