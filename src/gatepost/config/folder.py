"""An authority that is reached by way of two folders."""

from __future__ import annotations

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT
from gatepost.config.quantity import File


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Folders:
    """Where requests are put out, and where certificates come in."""

    outbox: File
    """Folder in which requests (PKCS #10 in PEM) appear; with several nodes a shared one."""
    inbox: File
    """Folder into which somebody puts certificates: PEM, DER or PKCS #7, under any name."""

    @model_validator(mode="after")
    def _check(self) -> Folders:
        if self.outbox == self.inbox:
            raise ValueError("inbox: is the outbox, too; expected another folder")
        return self
