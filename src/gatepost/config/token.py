"""The table `[vault.token]`: a PKCS #11 token in which private keys live."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password
from gatepost.config.quantity import File


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Token(Password):
    """An HSM or SoftHSM token (needs gatepost[hsm]); its PIN is the password."""

    module: File
    """The vendor's PKCS #11 library."""
    label: Annotated[str, Field(min_length=1, max_length=32)]
    """The token's label."""
    makes: tuple[Literal["people", "authority"], ...] = ("people", "authority")
    """Whose new keys are made in it, and never leave it."""

    @model_validator(mode="after")
    def _check(self) -> Token:
        if self.password_sources != 1:
            raise ValueError(
                "expected exactly one of password_file, password_environment, password_credential"
            )
        return self
