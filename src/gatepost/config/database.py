"""Where the database of several nodes is, and its password."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password
from gatepost.config.quantity import Duration


def check_address(address: str, passwords: int) -> None:
    """Raise ValueError for what is no address, or a secret in the wrong place."""
    if passwords > bool(address):
        raise ValueError("a password needs a database, and one place to stand in")
    if not address:
        return
    if not address.startswith(("postgresql://", "postgres://")):
        raise ValueError("database is no address like postgresql://user@host/name")
    if urlsplit(address).password is not None:
        raise ValueError("the database's password belongs in password_file, not in its address")


@dataclass(frozen=True, slots=True, config=STRICT)
class Database(Password):
    """One PostgreSQL for queue, certificates, keys and policy of several nodes."""

    address: str = ""
    """postgresql://user@host/name; empty: files in the state folder, for one machine."""
    lease: Annotated[Duration, Field(ge=timedelta(seconds=2))] = timedelta(seconds=60)
    """After so long a silence of a node the others deliver what it had."""

    @model_validator(mode="after")
    def _check(self) -> Database:
        check_address(self.address, self.password_sources)
        return self
