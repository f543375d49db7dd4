"""The few messages of LDAP that a search needs (RFC 4511), in BER; nothing here does I/O.

Bind, StartTLS, search with pages (RFC 2696), unbind; of answers only what they say, in
whatever order, within the limits of `cms.ber`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gatepost.cms import ber
from gatepost.cms.ber import Element
from gatepost.cms.der import integer, octet_string, sequence, tlv
from gatepost.errors import Malformed

Scope = Literal["base", "one", "sub"]

MESSAGE: Final = 0x30
MAXIMUM_TEXT: Final = 200  # characters of what a server says

SUCCESS, SIZE_LIMIT, REFERRAL, NO_SUCH_OBJECT, BAD_CREDENTIALS = 0, 4, 10, 32, 49
_BIND, _BOUND, _UNBIND, _SEARCH = 0x60, 0x61, 0x42, 0x63
_ENTRY, _DONE, _REFERENCE, _EXTENDED, _ANSWERED = 0x64, 0x65, 0x73, 0x77, 0x78
_RESULTS: Final = frozenset({_BOUND, _DONE, _ANSWERED})
_CONTROLS, _SIMPLE, _NAME = 0xA0, 0x80, 0x80
_SCOPES: Final[dict[Scope, int]] = {"base": 0, "one": 1, "sub": 2}
_START_TLS: Final = b"1.3.6.1.4.1.1466.20037"
_PAGES: Final = b"1.2.840.113556.1.4.319"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its name, and its values by attribute in lower case without options."""

    name: str
    values: Mapping[str, tuple[bytes, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """How something ended; `cookie`: there is another page."""

    code: int
    text: str = ""
    cookie: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A reference to another server, which nobody follows."""


Answer = Entry | Result | Elsewhere


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked; `filter` in octets."""

    base: str
    scope: Scope
    filter: bytes
    attributes: tuple[str, ...]
    entries: int = 0  # at most; 0: whatever the server gives
    seconds: int = 0
    page: int = 0  # entries of one page; 0: no pages


def bind(number: int, name: str, password: str) -> bytes:
    """A simple bind, anonymous without a name (RFC 4513 section 5.1)."""
    credentials = tlv(_SIMPLE, password.encode())
    return _message(number, tlv(_BIND, integer(3), octet_string(name.encode()), credentials))


def start_tls(number: int) -> bytes:
    """The wish for TLS (section 4.14)."""
    return _message(number, tlv(_EXTENDED, tlv(_NAME, _START_TLS)))


def unbind(number: int) -> bytes:
    """The farewell."""
    return _message(number, tlv(_UNBIND, b""))


def search(number: int, asked: Search, cookie: bytes = b"") -> bytes:
    """A search; aliases are followed inside the directory, as its administrator laid them."""
    request = tlv(
        _SEARCH,
        octet_string(asked.base.encode()),
        tlv(0x0A, bytes((_SCOPES[asked.scope],))),
        tlv(0x0A, b"\x03"),  # derefAlways
        integer(asked.entries),
        integer(asked.seconds),
        tlv(0x01, b"\x00"),  # values, not only types
        asked.filter,
        sequence(*(octet_string(one.encode()) for one in asked.attributes)),
    )
    if not asked.page:
        return _message(number, request)
    wish = octet_string(sequence(integer(asked.page), octet_string(cookie)))
    return _message(number, request, sequence(octet_string(_PAGES), wish))


def read(octets: bytes) -> tuple[int, Answer]:
    """The number of the request and what is answered; raises Malformed."""
    number, operation, *rest = _children(ber.parse(octets), 2)
    asked, tag = number.integer(), operation.tag
    if tag == _ENTRY:
        return asked, _entry(operation)
    if tag == _REFERENCE:
        return asked, Elsewhere()
    if tag not in _RESULTS:
        raise Malformed(f"LDAP: an answer of the kind {tag:#04x} that nobody asked for")
    code, _, text, *_ = _children(operation, 3)
    said = text.value(0x04).decode("utf-8", "replace")
    shown = "".join(one if one.isprintable() else " " for one in said[:MAXIMUM_TEXT])
    value = int.from_bytes(code.value(0x0A)[:4], "big")
    return asked, Result(value, shown.strip(), _cookie(rest))


def plain(name: str) -> str:
    """An attribute's name without options, in lower case: servers add and drop ;binary."""
    return name.partition(";")[0].lower()


def _entry(operation: Element) -> Entry:
    name, attributes = _children(operation, 2)[:2]
    values: dict[str, list[bytes]] = {}
    for one in attributes.sequence():
        kind, found = _children(one, 2)[:2]
        said = kind.octet_string().decode("ascii", "replace")
        # Active Directory tells in an option which part of a long list this is.
        key = said.lower() if ";range=" in said.lower() else plain(said)
        values.setdefault(key, []).extend(each.octets() for each in found.set_of())
    kept = {key: tuple(each) for key, each in values.items()}
    return Entry(name.octet_string().decode("utf-8", "replace"), kept)


def _cookie(controls: Iterable[Element]) -> bytes:
    for holder in controls:
        if holder.tag != _CONTROLS:
            continue
        for control in holder.children():
            kind, *_, value = _children(control, 2)
            if kind.octet_string() == _PAGES:
                return _children(ber.parse(value.octet_string()), 2)[1].octet_string()
    return b""


def _children(element: Element, least: int) -> list[Element]:
    found = element.children()
    if len(found) < least:
        raise Malformed("LDAP: an answer that is cut short")
    return found


def _message(number: int, operation: bytes, *controls: bytes) -> bytes:
    extra = (tlv(_CONTROLS, *controls),) if controls else ()
    return sequence(integer(number), operation, *extra)
