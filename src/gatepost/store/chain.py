"""A chain of records each of which names the one before, and one file of it that proves itself.

The file is lines of JSON written in one way only; its last line is a CMS signature (RFC 5652)
over where the chain begins and ends.  Any octet changed, any record taken out, put in or moved
is found without anything else at hand; whose word the signature is, the reader must know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gatepost.certificate import Certificate
from gatepost.cms import signed
from gatepost.cms.capability import Signer
from gatepost.errors import GatepostError, Malformed
from gatepost.mail.content import Octets, join

FORMAT = "gatepost evidence 1"
BEGINNING = "0" * 64  # what the first record names
_KEYS = ["number", "at", "previous", "digest", "record"]


class NotProven(GatepostError):
    """The file is not what was exported."""


@dataclass(frozen=True, slots=True)
class Link:
    """One record in its place."""

    number: int
    at: int  # seconds since 1970
    previous: str
    digest: str
    record: bytes = field(repr=False)

    @property
    def when(self) -> datetime:
        """When it was kept."""
        return datetime.fromtimestamp(self.at, UTC)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a file holds, and who signed it."""

    links: tuple[Link, ...]
    signer: Certificate
    signed_at: datetime | None


def linked(number: int, at: int, previous: str, record: bytes) -> Link:
    """The next link: its digest covers its place, its time, the one before and the record."""
    inside = hashlib.sha256(record).hexdigest()
    text = f"{FORMAT}\n{number}\n{at}\n{previous}\n{inside}\n"
    return Link(number, at, previous, hashlib.sha256(text.encode()).hexdigest(), record)


def objection(links: Sequence[Link]) -> str:
    """What is wrong with a chain; empty when it holds from its first link to its last."""
    before: Link | None = None
    for one in links:
        if linked(one.number, one.at, one.previous, one.record) != one:
            return f"record {one.number} is not as it was kept"
        if before and (one.number, one.previous) != (before.number + 1, before.digest):
            return f"record {one.number} does not follow record {before.number}"
        before = one
    return "" if before else "it holds no record"


def export(links: Sequence[Link], signer: Signer, now: datetime) -> Iterator[bytes]:
    """The lines of the file; raises NotProven for a chain that does not hold."""
    if wrong := objection(links):
        raise NotProven(f"the evidence kept here is damaged: {wrong}")
    for one in links:
        yield _line(one)
    signature = signed.sign(
        Octets(_statement(links)), [signer], None, detached=True, when=now, capabilities=()
    )
    yield _end(join(signature))


def verify(octets: bytes) -> Proven:
    """Read a file; raises NotProven with what is wrong with it."""
    *lines, last, end = octets.split(b"\n") if octets.count(b"\n") > 1 else [b"", b"", b"?"]
    try:
        if end:
            raise Malformed("it does not end as it was written")
        links = tuple(map(_read, lines))
        if wrong := objection(links):
            raise Malformed(wrong)
        return _proven(links, last)
    except (GatepostError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotProven(f"this is not what was exported: {error}") from error


def _proven(links: tuple[Link, ...], last: bytes) -> Proven:
    data = json.loads(last)
    cms = _octets(data["signature"])
    if _end(cms) != last + b"\n":
        raise Malformed("its last line is not as it was written")
    (verdict,) = signed.verify(signed.parse(cms), Octets(_statement(links)))
    if not verdict.intact or verdict.weak or verdict.certificate is None:
        raise Malformed(verdict.reason or "its signature is too weak")
    return Proven(links, verdict.certificate, verdict.signing_time)


def _end(cms: bytes) -> bytes:
    """Parts of a CMS are not signed (other certificates); a sum finds what happens to them."""
    total = hashlib.sha256(cms).hexdigest()
    return _json({"format": FORMAT, "signature": _base64(cms), "sum": total})


def _statement(links: Sequence[Link]) -> bytes:
    first, last = links[0], links[-1]
    ends = (first.number, first.previous, last.number, last.digest)
    return "\n".join((FORMAT, *map(str, ends), "")).encode()


def _line(one: Link) -> bytes:
    values = (one.number, one.at, one.previous, one.digest, _base64(one.record))
    return _json(dict(zip(_KEYS, values, strict=True)))


def _read(line: bytes) -> Link:
    """A line that is not as we write it is refused, whatever it means."""
    data: dict[str, Any] = json.loads(line)
    found = Link(
        data["number"], data["at"], data["previous"], data["digest"], _octets(data["record"])
    )
    if _line(found) != line + b"\n":
        raise Malformed("a line is not as it was written")
    return found


def _json(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Malformed("a record cannot be read") from error
