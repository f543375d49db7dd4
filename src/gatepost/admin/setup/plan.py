"""What setting up would write, and what is there already; reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, get_args

from gatepost.admin.setup.text import configuration
from gatepost.config import Settings, parse
from gatepost.config.endpoint import split_port
from gatepost.config.quantity import domain
from gatepost.errors import ConfigError

Algorithm = Literal["p256", "rsa3072"]
State = Literal["create", "keep"]

_LOOPBACK = ("127.0.0.0/8", "::1/128")


class Already(ConfigError):
    """Something is there already; nothing is overwritten."""

    def __init__(self, detail: str, hint: str, items: Iterable[Item]) -> None:
        super().__init__(detail, hint=hint)
        self.hint = hint
        every = tuple(items)
        self.existing = tuple(one.path for one in every if one.state == "keep")
        self.missing = tuple(one.path for one in every if one.state == "create")

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "error": str(self),
            "hint": self.hint,
            "existing": [str(path) for path in self.existing],
            "missing": [str(path) for path in self.missing],
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What an administrator wants."""

    domain: str
    config: Path
    state: Path
    hostname: str = ""  # empty: mail gateway's usual name in the domain
    company: str = ""  # for the authority's name; empty: the domain
    listen: str = "127.0.0.1:10025"
    mail_server: str = "127.0.0.1:10026"
    relay: str = "127.0.0.1:10026"
    key: Algorithm = "p256"
    federation: str = "127.0.0.1:10080"  # where the web server asks; "off": meet nobody


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that setting up makes."""

    name: str
    path: Path
    what: str
    state: State

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "name": self.name,
            "path": str(self.path),
            "what": self.what,
            "state": self.state,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done; `text` is the whole configuration file."""

    request: Request
    items: tuple[Item, ...]
    text: str = field(repr=False)
    settings: Settings = field(repr=False)

    def path(self, name: str) -> Path:
        """Where an item stands."""
        return next(one.path for one in self.items if one.name == name)

    def keeps(self, name: str) -> bool:
        """Whether the item is there and stays."""
        return any(one.name == name and one.state == "keep" for one in self.items)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"items": [one.as_data() for one in self.items], "configuration": self.text}


def complaint(name: str, value: str) -> str:
    """What is wrong with one value of a request; empty if nothing is."""
    try:
        match name:
            case "listen":
                split_port(value, least=0)
            case "federation" if value != "off":
                split_port(value, least=1)
            case "mail_server" | "relay":
                split_port(value, default=25)
            case "hostname":
                domain(value)
            case "key" if value not in get_args(Algorithm):
                return f"expected {' or '.join(get_args(Algorithm))}"
    except ValueError as error:
        return str(error)
    return ""


def plan(request: Request) -> Plan:
    """Plan a set-up; raises ConfigError for values that cannot be, Already for a second one."""
    own = _domain(request.domain)
    for name in ("hostname", "listen", "mail_server", "relay", "federation"):
        value = getattr(request, name)
        if value and (wrong := complaint(name, value)):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} {value}: {wrong}", hint="gatepost init --help")
    folder = request.config.absolute().parent
    files = {
        "configuration": (request.config.absolute(), "settings, with comments"),
        "vault key": (folder / "vault.key", "seals private keys and queued mail: keep a copy"),
        "TLS certificate": (folder / "tls-certificate.pem", "for STARTTLS, self-signed"),
        "TLS key": (folder / "tls-key.pem", "its private key"),
        "state": (request.state.absolute(), "queue and database"),
        "directory": (
            request.state.absolute() / "directory.db",
            f"company CA ({request.key}), first policy",
        ),
    }
    items = tuple(
        Item(name, path, what, "keep" if path.exists() else "create")
        for name, (path, what) in files.items()
    )
    _consider({one.name: one for one in items})
    text = configuration(
        request,
        own=own,
        hostname=request.hostname or f"gatepost.{own}",
        trusted=(*_LOOPBACK, *_server(request.mail_server)),
        files={name: path for name, (path, _) in files.items()},
    )
    return Plan(request, items, text, parse(text, request.config))


def _consider(items: dict[str, Item]) -> None:
    """What is half there: whether going on would lose or overwrite anything."""
    configuration, key = items["configuration"], items["vault key"]
    if configuration.state == "keep":
        raise Already(
            f"{configuration.path} exists already; nothing was changed",
            "gatepost check looks at the installation; --config FILE makes another one",
            items.values(),
        )
    if items["directory"].state == "keep" and key.state == "create":
        raise Already(
            f"{items['directory'].path} exists, but the key {key.path} it was sealed with does not",
            f"bring the key back to {key.path}, or choose another --state",
            items.values(),
        )
    certificate, private = items["TLS certificate"], items["TLS key"]
    if certificate.state != private.state:
        there, gone = sorted((certificate, private), key=lambda one: one.state == "create")
        raise Already(
            f"{there.path} exists, but {gone.path} does not",
            f"move {there.path} away, or bring {gone.path} back",
            items.values(),
        )
    for one in items.values():
        if one.state == "keep" and one.path.is_dir() is not (one.name == "state"):
            kind = "no folder" if one.name == "state" else "a folder"
            raise ConfigError(f"{one.path} is {kind}", hint="choose another place")
    for folder in {one.path.parent for one in items.values()}:
        _writable(folder)


def _writable(folder: Path) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"nothing can be written below {folder}",
            hint="run as root, or choose --config and --state elsewhere",
        )


def _domain(text: str) -> str:
    try:
        found = domain(text)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}", hint="gatepost init example.com") from error
    if "." not in found:
        raise ConfigError(f"{text!r} is not a whole domain name", hint="gatepost init example.com")
    return found


def _server(mail_server: str) -> tuple[str, ...]:
    """The mail server's own address is trusted when it is one and not on this machine."""
    host = mail_server.rpartition(":")[0].strip("[]") or mail_server
    try:
        address = ip_address(host)
    except ValueError:
        return ()
    return () if address.is_loopback else (f"{address}/{address.max_prefixlen}",)
