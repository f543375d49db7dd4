"""How long evidence is kept, and who else vouches for when it was there."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT
from gatepost.config.quantity import Duration, File


def _url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError('expected an address such as "http://tsa.example.com/tsr"')
    return value


@dataclass(frozen=True, slots=True, config=STRICT)
class Evidence:
    """Evidence of verified signatures, which `[inbound] keep_evidence` of the policy turns on."""

    keep: Duration | None = None
    """After this a record is removed, and its place in the chain stays; nothing: never."""
    timestamp_url: Annotated[str, AfterValidator(_url)] = ""
    """A time stamping authority (RFC 3161), asked in the background; its token over the newest
    record covers all before. Empty: none."""
    timestamp_anchors: File | None = None
    """PEM file of the CAs by which its answers are checked at once."""
    timestamp_period: Duration = timedelta(hours=1)
    """How often it is asked, where there are new records."""
    heads: File | None = None
    """Folder into which the signed head of the chain is written every day, to be carried away:
    `evidence verify --head` finds by it that an end was cut off."""

    @model_validator(mode="after")
    def _check(self) -> Evidence:
        if self.timestamp_period < timedelta(minutes=1):
            raise ValueError("timestamp_period: expected at least a minute")
        if self.timestamp_anchors is not None and not self.timestamp_url:
            raise ValueError("timestamp_anchors: nobody is asked without timestamp_url")
        return self
