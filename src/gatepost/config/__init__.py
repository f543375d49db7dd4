"""The configuration file as frozen settings; attribute paths are the file's key paths."""

from gatepost.config.endpoint import Endpoint
from gatepost.config.listener import Listener
from gatepost.config.load import find, load, parse, read
from gatepost.config.relay import NextHops, Relay, Route
from gatepost.config.schema import schema
from gatepost.config.settings import (
    Authority,
    Gateway,
    Limits,
    Log,
    Queue,
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
    "read",
    "schema",
]
