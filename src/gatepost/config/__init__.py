"""The configuration file as frozen settings; attribute paths are the file's key paths."""

from gatepost.config.load import find, load, parse
from gatepost.config.schema import schema
from gatepost.config.settings import (
    Authority,
    Endpoint,
    Gateway,
    Limits,
    Listener,
    Log,
    NextHops,
    Queue,
    Relay,
    Route,
    Settings,
    Tls,
    Vault,
)

__all__ = [
    "Authority",
    "Endpoint",
    "Gateway",
    "Limits",
    "Listener",
    "Log",
    "NextHops",
    "Queue",
    "Relay",
    "Route",
    "Settings",
    "Tls",
    "Vault",
    "find",
    "load",
    "parse",
    "schema",
]
