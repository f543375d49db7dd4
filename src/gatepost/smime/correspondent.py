"""What is known of a correspondent's software, by signatures of his own (RFC 8551 section 2.7.1).

Everything is dated by the time it was signed: what is older than what is known changes
nothing, so a mail sent again teaches nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from gatepost.cms.algorithms import BY_NAME, Kind
from gatepost.mail.address import Mailbox

# Ways of writing that are no algorithms, by the names they are remembered under.
HEADER_PROTECTION = "header-protection"  # RFC 9788
OPAQUE, CLEAR = "opaque-signature", "clear-signature"

# RFC 8551 section 2.7.1.2, and what every S/MIME program since 2005 reads.
ASSUMED = frozenset({"aes128-cbc", "aes256-cbc", "rsa-pkcs1"})
NAMES = frozenset({*BY_NAME, HEADER_PROTECTION, OPAQUE, CLEAR})


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one valid, trusted signature of an author showed of him."""

    mailbox: Mailbox
    signed_at: datetime | None  # None: the signature is not dated
    announced: frozenset[str] = frozenset()  # SMIMECapabilities
    used: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Correspondent:
    """Everything remembered of one; all moments are signing times but `seen_at`."""

    announced: frozenset[str] = frozenset()
    announced_at: datetime | None = None
    used: Mapping[str, datetime | None] = field(default_factory=lambda: MappingProxyType({}))
    seen_at: datetime | None = None

    def reads(self, name: str) -> bool:
        """Whether he is known to read this, or may be taken to."""
        return bool(self.because(name)) or (name in ASSUMED and not self._leaves_out(name))

    def because(self, name: str) -> str:
        """How it is known that he reads this; empty: it is not.

        His word counts before what seems to come from him: the encryption around a
        signature can be anybody's.
        """
        if name in self.announced:
            return _dated("announced it", self.announced_at)
        kind = _kind(name)
        is_his = kind in (None, "signature")  # signed, or stands inside what is
        if name in self.used and (is_his or not self._told(kind)):
            return _dated("used it", self.used[name])
        return ""

    def told(self, kind: Kind) -> tuple[str, ...]:
        """What he announced of this kind."""
        return tuple(sorted(self._told(kind)))

    def _leaves_out(self, name: str) -> bool:
        """Whether his list has others of its sort, and so says that this is not among them."""
        family = BY_NAME[name].family
        return any(BY_NAME[one].family == family for one in self.announced if one != name)

    def _told(self, kind: Kind | None) -> frozenset[str]:
        return frozenset(one for one in self.announced if _kind(one) == kind)


def _kind(name: str) -> Kind | None:
    found = BY_NAME.get(name)
    return found.kind if found is not None else None


def _dated(what: str, when: datetime | None) -> str:
    return f"{what} on {when:%Y-%m-%d}" if when else what
