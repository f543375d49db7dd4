"""One file of a chain of evidence that proves itself, and the chain's signed head.

The file is lines of JSON written in one way only: lists and answers that records name, RFC 3161
tokens, the links, and at last a CMS signature (RFC 5652) over all of it.  Any octet changed,
any record taken out, put in or moved is found; whose word the signature is, the reader must know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gatepost.certificate import Certificate
from gatepost.cms import signed
from gatepost.cms.capability import Signer
from gatepost.errors import GatepostError, Malformed
from gatepost.mail.content import Octets, join
from gatepost.store.chain import Link, fault

FILE, HEAD = "gatepost evidence file 1", "gatepost evidence head 1"
MAXIMUM_LINE = 128 * 1024 * 1024
MAXIMUM_HEAD = 64 * 1024
_LATEST = 253_402_300_800  # seconds since 1970, when the calendar ends

Visit = Callable[[Link, Mapping[str, bytes]], None]


class NotProven(GatepostError):
    """The file is not what was exported."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp over a link's digest, and so over everything before."""

    number: int
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """What the last link was at some time, by somebody's signature."""

    number: int
    digest: str
    signer: Certificate
    signed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Proven:
    """What a file holds, and who signed it."""

    digests: Mapping[int, str] = field(repr=False)
    stamps: tuple[Stamp, ...]
    signer: Certificate
    signed_at: datetime | None

    def check(self, head: Head) -> None:
        """Raises NotProven where the file is not of the chain that had this head."""
        known = self.digests.get(head.number)
        if known == head.digest:
            return
        if known is not None:
            raise NotProven(f"record {head.number} is not the one that the head names")
        if head.number > max(self.digests):
            raise NotProven(
                f"the file ends at record {max(self.digests)}: it is cut short, for the head is "
                f"of record {head.number}"
            )
        raise NotProven(f"the file begins after record {head.number}, which the head is of")


def export(
    links: Iterable[Link],
    signer: Signer,
    now: datetime,
    *,
    proofs: Iterable[bytes] = (),
    stamps: Sequence[Stamp] = (),
) -> Iterator[bytes]:
    """The lines of the file; raises NotProven for a chain that does not hold."""
    whole = hashlib.sha256()
    first, last = None, None

    def kept(line: bytes) -> bytes:
        whole.update(line)
        return line

    for der in proofs:
        yield kept(_proof_line(der))
    for stamp in stamps:
        yield kept(_stamp_line(stamp))
    for one in links:
        if wrong := fault(last, one):
            raise NotProven(f"the evidence kept here is damaged: {wrong}")
        yield kept(_link_line(one))
        first, last = first or one.emptied(), one.emptied()
    if first is None or last is None:
        raise NotProven("there is no record to be exported")
    yield _end(FILE, _sign(_statement(first, last, whole.hexdigest()), signer, now))


def verify(lines: Iterable[bytes], visit: Visit = lambda _link, _proofs: None) -> Proven:
    """Read a file; raises NotProven with what is wrong with it, and where.

    Each link is shown to `visit`; what that makes of it counts only when this returns.
    """
    reader = _Reader(visit)
    try:
        return reader.read(lines)
    except NotProven as error:
        raise NotProven(f"line {reader.line}: {error}") from error
    except GatepostError as error:
        where = f"line {reader.line}" if reader.line else "the file"
        raise NotProven(f"{where} is not what was exported: {error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotProven(f"line {reader.line} is no line of evidence") from error


def head(link: Link, signer: Signer, now: datetime) -> bytes:
    """One line that says which record is the last now, kept elsewhere to notice a cut."""
    return _end(HEAD, _sign(_head_statement(link.number, link.digest), signer, now), link)


def read_head(octets: bytes) -> Head:
    """Read such a line; raises NotProven."""
    try:
        data = json.loads(octets[:MAXIMUM_HEAD])
        number, digest, cms = data["number"], data["digest"], _octets(data["signature"])
        signer, when = _signed(cms, _head_statement(number, digest))
        if not isinstance(number, int) or _end(HEAD, cms, (number, digest)) != octets:
            raise Malformed("it is not as it was written")
        return Head(number, digest, signer, when)
    except GatepostError as error:
        raise NotProven(f"this is not a head of evidence: {error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotProven("this is not a head of evidence") from error


class _Reader:
    """Reads a file line by line: proofs, stamps, links, the end."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._whole = hashlib.sha256()
        self._proofs: dict[str, bytes] = {}
        self._stamps: list[Stamp] = []
        self._digests: dict[int, str] = {}
        self._first: Link | None = None
        self._last: Link | None = None
        self._found: Proven | None = None
        self.line = 0  # that is being read

    def read(self, lines: Iterable[bytes]) -> Proven:
        for self.line, line in enumerate(lines, 1):
            if self._found is not None or not line.endswith(b"\n"):
                raise Malformed("it does not end as it was written")
            data: dict[str, Any] = json.loads(line)
            self._read(line, data)
            self._whole.update(line)
        if self._found is None:
            raise Malformed("the end is missing after it" if self.line else "it is empty")
        return self._found

    def _read(self, line: bytes, data: dict[str, Any]) -> None:
        """A line that is not as we write it is refused, whatever it means."""
        if "proof" in data:
            der = _octets(data["der"])
            written = _proof_line(der)
            self._proofs[hashlib.sha256(der).hexdigest()] = der
        elif "stamp" in data:
            self._stamps.append(Stamp(data["stamp"], _octets(data["token"])))
            written = _stamp_line(self._stamps[-1])
        elif "signature" in data:
            cms = _octets(data["signature"])
            written = _end(FILE, cms)
            self._found = self._ended(cms)
        else:
            written = self._linked(data)
        if written != line:
            raise Malformed("a line is not as it was written")

    def _linked(self, data: dict[str, Any]) -> bytes:
        record = None if data["record"] is None else _octets(data["record"])
        one = Link(
            data["number"], data["at"], data["previous"], data["digest"], data["inside"], record
        )
        written = _link_line(one)
        if type(one.number) is not int or type(one.at) is not int or not 0 <= one.at < _LATEST:
            raise Malformed("a record has no place or no time")
        if wrong := fault(self._last, one):
            raise Malformed(wrong)
        self._visit(one, self._proofs)
        self._digests[one.number] = one.digest
        self._last = one.emptied()
        self._first = self._first or self._last
        return written

    def _ended(self, cms: bytes) -> Proven:
        if self._first is None or self._last is None:
            raise Malformed("it holds no record")
        statement = _statement(self._first, self._last, self._whole.hexdigest())
        signer, when = _signed(cms, statement)
        return Proven(self._digests, tuple(self._stamps), signer, when)


def _statement(first: Link, last: Link, whole: str) -> bytes:
    ends = (first.number, first.previous, last.number, last.digest, whole)
    return "\n".join((FILE, *map(str, ends), "")).encode()


def _head_statement(number: int, digest: str) -> bytes:
    return f"{HEAD}\n{number}\n{digest}\n".encode()


def _sign(statement: bytes, signer: Signer, now: datetime) -> bytes:
    made = signed.sign(Octets(statement), [signer], None, detached=True, when=now, capabilities=())
    return join(made)


def _signed(cms: bytes, statement: bytes) -> tuple[Certificate, datetime | None]:
    (verdict,) = signed.verify(signed.parse(cms), Octets(statement))
    if not verdict.intact or verdict.weak or verdict.certificate is None:
        raise Malformed(verdict.reason or "its signature is too weak")
    return verdict.certificate, verdict.signing_time


def _end(form: str, cms: bytes, of: Link | tuple[int, str] | None = None) -> bytes:
    """Parts of a CMS are not signed (other certificates); a sum finds what happens to them."""
    number, digest = (of.number, of.digest) if isinstance(of, Link) else of or (None, None)
    named = {} if of is None else {"number": number, "digest": digest}
    total = hashlib.sha256(cms).hexdigest()
    return _json({"format": form, **named, "signature": _base64(cms), "sum": total})


def _link_line(one: Link) -> bytes:
    return _json(
        {
            "number": one.number,
            "at": one.at,
            "previous": one.previous,
            "digest": one.digest,
            "inside": one.inside,
            "record": None if one.record is None else _base64(one.record),
        }
    )


def _proof_line(der: bytes) -> bytes:
    return _json({"proof": hashlib.sha256(der).hexdigest(), "der": _base64(der)})


def _stamp_line(one: Stamp) -> bytes:
    return _json({"stamp": one.number, "token": _base64(one.token)})


def _json(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Malformed("a record cannot be read") from error
