"""Authorities outside that certificates of our own people come from."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Any, Final

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.acme import Acme
from gatepost.config.cmp import Cmp
from gatepost.config.endpoint import STRICT
from gatepost.config.est import Est
from gatepost.config.folder import Folders

LOCAL: Final = "local"  # the embedded CA's name among the sources

_DOMAIN: Final = re.compile(r"(?:[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*)?")

# Every kind that is built in: its settings stand in the table of the same name.
BUILT_IN: Final[frozenset[str]] = frozenset({"acme", "cmp", "est", "file"})


@dataclass(frozen=True, slots=True, config=STRICT)
class CertificateSource:
    """An authority outside for `[[identity]] source`: see reference/certificate-sources.md."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What it is called here; changing it later leaves its open requests without a source."""
    kind: Annotated[str, Field(min_length=1, max_length=64)]
    """How it is asked: a built-in kind, or that of a plug-in."""
    options: dict[str, Any] = field(default_factory=dict)
    """What a plug-in wants to know."""
    acme: Acme | None = None
    """How an authority that speaks ACME for S/MIME (RFC 8823) is reached: for kind "acme"."""
    est: Est | None = None
    """How a server of EST is reached: for kind "est"."""
    cmp: Cmp | None = None
    """How a server of CMP is reached: for kind "cmp"."""
    file: Folders | None = None
    """The folders requests and certificates pass through: for kind "file"."""
    caa: str = ""
    """The domain name by which the authority goes in CAA records, such as "ca.example", for
    `gatepost check`; empty: as an authority that speaks ACME says itself."""

    @model_validator(mode="after")
    def _check(self) -> CertificateSource:
        if not _DOMAIN.fullmatch(self.caa):
            raise ValueError('caa: expected a domain name such as "ca.example"')
        if self.name == LOCAL:
            raise ValueError(f"name: {LOCAL!r} is the embedded CA")
        if self.kind in BUILT_IN:
            if self.options:
                raise ValueError(f"options: are for plug-ins, {self.kind} has a table of its own")
            if getattr(self, self.kind) is None:
                raise ValueError(f"{self.kind}: is missing, the settings of this kind stand in it")
        for other in BUILT_IN - {self.kind}:
            if getattr(self, other) is not None:
                raise ValueError(f"{other}: has no meaning for a source of kind {self.kind!r}")
        return self
