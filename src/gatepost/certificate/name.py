"""Comparing distinguished names (RFC 5280 section 7.1): letter case and spacing do not count.

A folded name is octets, so that it can key a dictionary; equal octets are equal names.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TypeVar

from cryptography import x509

T = TypeVar("T")

MAXIMUM_REMEMBERED = 4096
UNREADABLE = "a name that cannot be read"
Folded = tuple[bytes, ...]  # one item for each relative distinguished name


def spelled(name: x509.Name) -> str:
    """For people, and for what is remembered (RFC 4514)."""
    try:
        return name.rfc4514_string()[:500]
    except ValueError:  # read lazily: a certificate can be whole and its names not
        return UNREADABLE


@lru_cache(maxsize=8192)
def folded(name: x509.Name) -> Folded:
    """Every relative name in a form that is equal exactly when the names are."""
    return tuple(_relative(one) for one in name.rdns)


def key(name: x509.Name) -> bytes:
    """The whole name as octets."""
    return joined(folded(name))


class Memory(dict[tuple[bytes, bool], T]):
    """What was made of names, by their octets and whether those were mended before reading.

    The same octets are the same name, and few authorities issue all certificates there are.
    """

    def keep(self, octets: tuple[bytes, bool], made: T) -> T:
        """Remember it, and give it back."""
        if len(self) >= MAXIMUM_REMEMBERED:
            self.clear()
        self[octets] = made
        return made


def joined(relatives: Folded) -> bytes:
    """Lengths go first, so that no value can pose as two."""
    return b"".join(len(one).to_bytes(4, "big") + one for one in relatives)


def _relative(relative: x509.RelativeDistinguishedName) -> bytes:
    """The order within a set means nothing (X.501 section 9.3)."""
    return joined(tuple(sorted(_attribute(one) for one in relative)))


def _attribute(attribute: x509.NameAttribute[str | bytes]) -> bytes:
    value = attribute.value
    octets = _text(value).encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return joined((attribute.oid.dotted_string.encode(), octets))


def _text(value: str) -> str:
    """RFC 4518 in what matters here: compatibility forms, case, and runs of spaces."""
    if not value.isascii():
        value = unicodedata.normalize("NFKC", value)
    return " ".join(value.casefold().split())
