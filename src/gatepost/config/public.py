"""What anybody may fetch from the gateway over plain HTTP."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Bind


def _url(value: str) -> str:
    """RFC 5280 section 4.2.1.13: whoever checks certificates for TLS could not use https."""
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError('expected an address such as "http://pki.example.com"')
    return value.rstrip("/")


@dataclass(frozen=True, slots=True, config=STRICT)
class Public:
    """What anybody may fetch over HTTP: the embedded CA's certificates, lists and OCSP answers."""

    bind: Bind | None = None
    """Address and port to listen at, such as "0.0.0.0:80"; nothing: nobody listens."""
    url: Annotated[str, AfterValidator(_url)] = ""
    """The address under which the world reaches it, such as "http://pki.example.com"; it is
    written into every certificate issued from then on."""
    connections: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Connections at a time, per worker."""

    @model_validator(mode="after")
    def _check(self) -> Public:
        if self.url and self.bind is None:
            raise ValueError("url: nobody would answer there without bind")
        return self
