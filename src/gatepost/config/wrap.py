"""The table `[vault.wrap]`: what the key-encryption key is wrapped with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Wrap(Password):
    """By a passphrase (the password here), or by HashiCorp Vault (the password is its token)."""

    transit: str = ""
    """Address of HashiCorp Vault or OpenBao with the transit engine; empty: by passphrase."""
    transit_key: str = "gatepost"
    """The key's name there."""
    transit_mount: Annotated[str, Field(min_length=1)] = "transit"
    """Where the transit engine is mounted."""

    @model_validator(mode="after")
    def _check(self) -> Wrap:
        if self.password_sources != 1:
            raise ValueError(
                "expected exactly one of password_file, password_environment, password_credential"
            )
        if self.transit and not self.transit.startswith(("https://", "http://127.0.0.1")):
            raise ValueError("transit: expected an address with https://")
        return self
