"""Mailboxes as SMTP and S/MIME see them (RFC 5321 section 4.1.2, RFC 6531).

Parsed once at the door; from there on only `Mailbox` travels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from encodings.idna import nameprep
from functools import lru_cache

from gatepost.errors import Malformed

# RFC 5321 section 4.5.3.1: 64 octets of local-part, 255 of domain, 256 of path with its brackets.
MAXIMUM_LOCAL = 64
MAXIMUM_DOMAIN = 255

_DOT_STRING = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
    r"(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+)*\Z"
)
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"\Z')
_ESCAPE = re.compile(r"\\(.)")
_LABEL = (
    r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9_\-\u0080-\U0010ffff]*[A-Za-z0-9\u0080-\U0010ffff])?"
)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_DOTS = re.compile(
    "[.\u3002\uff0e\uff61]"
)  # RFC 3490 section 3.1: what a person may type for a dot
_KEPT = re.compile("([\u00df\u03c2])")
_LITERAL = re.compile(r"\[(?:[0-9.]+|IPv6:[0-9A-Fa-f:.]+)\]\Z")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A local-part at a domain, spelled as it arrived."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Parse `local@domain` without angle brackets; raises Malformed naming the fault."""
        return _parse(text)

    @property
    def key(self) -> str:
        """The form two spellings of one mailbox share: lower case, domain as A-labels.

        RFC 5321 lets a host tell local-parts apart by case; no company does, and
        certificates are issued in either case, so comparison here ignores it.
        """
        return _key(self.local, self.domain)

    @property
    def domain_key(self) -> str:
        """The domain in lower case as A-labels (RFC 5890)."""
        return domain_key(self.domain)

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@lru_cache(maxsize=8192)
def _parse(text: str) -> Mailbox:
    local, at, domain = text.rpartition("@")
    if not at:
        raise Malformed(f"address {text[:80]!r} has no @")
    if not _is_text(text):
        raise Malformed(f"address {text[:80]!r} is not UTF-8")
    if len(local.encode()) > MAXIMUM_LOCAL or len(domain.encode()) > MAXIMUM_DOMAIN:
        raise Malformed(f"address {text[:80]!r} is too long")
    if not (_DOT_STRING.match(local) or _QUOTED.match(local)):
        raise Malformed(f"address {text[:80]!r} has a malformed local-part")
    if not (_DOMAIN.match(domain) or _LITERAL.match(domain)):
        raise Malformed(f"address {text[:80]!r} has a malformed domain")
    return Mailbox(local, domain)


def _is_text(text: str) -> bool:
    """Without lone surrogates, which octets that are no UTF-8 may have been decoded to."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


@lru_cache(maxsize=8192)
def _key(local: str, domain: str) -> str:
    return f"{_unquoted(local).lower()}@{domain_key(domain)}"


def _unquoted(local: str) -> str:
    """RFC 5321 section 4.1.2: "alice" in quotes and alice without are one local-part."""
    if not local.startswith('"'):
        return local
    bare = _ESCAPE.sub(r"\1", local[1:-1])
    return bare if _DOT_STRING.match(bare) else local


@lru_cache(maxsize=4096)
def domain_key(domain: str) -> str:
    """Lower-case a domain and turn U-labels into A-labels; unknown labels stay as they are."""
    if domain.isascii():
        return domain.lower().rstrip(".")
    labels = _DOTS.split("".join(map(str.lower, domain)))  # one by one: a final sigma is no other
    return ".".join(map(_a_label, labels)).rstrip(".")


def _a_label(label: str) -> str:
    """A label as the next hop looks it up.

    IDNA2003, which Python knows, makes ss of the sharp s; IDNA2008 (RFC 5891) and every mail
    server of today keep it and the final sigma: straße.example and strasse.example are two.
    """
    try:
        if label.isascii() or not _KEPT.search(label):
            return label.encode("idna").decode("ascii")
        parts = [one if _KEPT.fullmatch(one) else nameprep(one) for one in _KEPT.split(label)]
        return "xn--" + "".join(parts).encode("punycode").decode("ascii")
    except UnicodeError:
        return label
