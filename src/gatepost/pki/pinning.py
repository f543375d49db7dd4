"""Which announcement of a domain counts: the first is pinned, later ones have to follow it.

Trust on first use, as docs/reference/federation.md specifies: numbers only grow, a new key is
signed for by the old one, and what an announcement trusts counts for its own domain only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gatepost.errors import Malformed, Refused
from gatepost.pki.announcement import Announcement, Document, read

LONGEST: Final = timedelta(days=90)
SKEW: Final = timedelta(hours=1)  # by which clocks differ
FRESH: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Peer:
    """A domain whose announcement is pinned."""

    domain: str
    text: str  # the document in force
    evidence: str  # what spoke for it at first: "https", "https, dnssec", "file"
    first_seen: datetime
    checked: datetime

    @property
    def document(self) -> Document:
        """The document in force, read."""
        return read(self.text)

    @property
    def announcement(self) -> Announcement:
        """What it says."""
        return self.document.announcement

    def is_live(self, now: datetime) -> bool:
        """Whether it still counts."""
        return now < self.announcement.expires

    def is_due(self, now: datetime) -> bool:
        """Whether to ask for a newer one."""
        return not self.is_live(now) or now - self.checked > FRESH

    def written(self) -> str:
        """As a text to keep."""
        data = {
            "domain": self.domain,
            "text": self.text,
            "evidence": self.evidence,
            "first_seen": self.first_seen.timestamp(),
            "checked": self.checked.timestamp(),
        }
        return json.dumps(data)

    @classmethod
    def restored(cls, text: str) -> Peer:
        """The inverse of `written`; raises Malformed."""
        try:
            data: dict[str, Any] = json.loads(text)
            first, checked = (
                datetime.fromtimestamp(float(data[one]), UTC) for one in ("first_seen", "checked")
            )
            domain, text, evidence = (str(data[one]) for one in ("domain", "text", "evidence"))
            return cls(domain, text, evidence, first, checked)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise Malformed("what is kept of a federation peer cannot be read") from error


def follow(
    peer: Peer | None,
    text: str,
    domain: str,
    now: datetime,
    *,
    evidence: str,
    new_key: bool = False,
) -> Peer:
    """The peer after this document; raises Malformed or Refused and changes nothing.

    `new_key`: an administrator has said that another key is right.
    """
    document = read(text)
    said = document.announcement
    if said.domain != domain:
        raise Refused(f"the document is of {said.domain[:80]}, not of {domain}")
    if said.issued > now + SKEW:
        raise Refused(f"the document of {domain} is from the future: {said.issued:%Y-%m-%d %H:%M}")
    if not said.issued < said.expires <= said.issued + LONGEST:
        raise Refused(f"the document of {domain} is valid for longer than {LONGEST.days} days")
    if now >= said.expires:
        raise Refused(f"the document of {domain} expired on {said.expires:%Y-%m-%d %H:%M} UTC")
    if peer is None:
        return Peer(domain, text, evidence, now, now)
    _check_successor(peer, document, new_key=new_key)
    return replace(peer, text=text, checked=now, evidence=evidence if new_key else peer.evidence)


def _check_successor(peer: Peer, document: Document, *, new_key: bool) -> None:
    said, pinned = document.announcement, peer.announcement
    if pinned.key not in document.signers and not new_key:
        raise Refused(
            f"the document of {peer.domain} is signed by another key than the one known since "
            f"{peer.first_seen:%Y-%m-%d}; ask the partner, then gatepost federation import"
            " --new-key"
        )
    if said.sequence < pinned.sequence:
        raise Refused(
            f"the document of {peer.domain} has number {said.sequence}, but {pinned.sequence}"
            " was seen already: somebody plays an old one back"
        )
    if said.sequence == pinned.sequence and document.digest != peer.document.digest:
        raise Refused(f"{peer.domain} shows two documents with number {said.sequence}")
