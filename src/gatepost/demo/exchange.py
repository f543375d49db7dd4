"""One mail from being written to being read, as the demo's claims and page see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatepost.demo.company import Person
from gatepost.mime import headers
from gatepost.mime.entity import decoded, parse


@dataclass(slots=True)
class Exchange:
    """Grows while the mail travels."""

    number: int
    label: str
    author: Person
    reader: Person
    subject: str
    text: str
    content: bytes  # as the author's mail server handed it to the gateway
    wire: list[tuple[str, bytes]] = field(default_factory=list)  # (direction, octets)
    reply: str = ""  # of the gateway to the author's mail server
    refused: bool = False
    decision: str = ""
    arrived: bytes | None = None  # as the reader's mail server got it
    layers: Sequence[Mapping[str, Any]] = ()  # what the reader's gateway peeled off

    @property
    def octets(self) -> bytes:
        """Everything that crossed the wire."""
        return b"".join(octets for _, octets in self.wire)

    @property
    def read_subject(self) -> str:
        """The subject as the reader sees it."""
        found = headers.first(self.arrived or b"", "Subject")
        return found.text if found else ""

    @property
    def read_text(self) -> str:
        """What the reader's mail program shows of the text; empty when it cannot be opened."""
        if self.arrived is None:
            return ""
        entity = parse(self.arrived)
        return decoded(entity).decode("utf-8", "replace") if _is_text(self.arrived) else ""

    @property
    def results(self) -> str:
        """The Authentication-Results field our gateway put on the reader's copy."""
        found = headers.first(self.arrived or b"", "Authentication-Results")
        return " ".join(found.text.split()) if found else ""

    @property
    def verdict(self) -> str:
        """The result after `smime=`: pass, fail, policy, neutral or none (RFC 7281)."""
        _, _, rest = self.results.partition("smime=")
        return rest.split(" ")[0].rstrip(";")

    @property
    def was_encrypted(self) -> bool:
        """Whether a cipher was taken off."""
        return any("cipher" in layer for layer in self.layers)


def _is_text(message: bytes) -> bool:
    return parse(message).content_type.type == "text"
