"""Certificates of our people taken back, whoever issued them (RFC 5280 section 5.3.1).

Our own authority tells the world; of another's we only stop the use.  Who left, or is
suspended, loses all he has for the same purpose along with the one that is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gatepost.certificate import Certificate
from gatepost.enrol.barring import BARRING, beside
from gatepost.enrol.local import LocalAuthority
from gatepost.store.directory import Directory


@dataclass(frozen=True, slots=True)
class Revocation:
    """What takes back; without an authority of our own, only from use."""

    directory: Directory
    authority: LocalAuthority | None

    def revoke(
        self, certificate: Certificate, reason: str, now: datetime
    ) -> tuple[Certificate, ...]:
        """What was taken back, the certificate itself first; nothing if that was so before."""
        wanted = [certificate]
        if reason in BARRING:
            known = self.directory.revoked()
            others = dict.fromkeys(beside(self.directory, certificate, now))
            wanted += [one for one in others if one.fingerprint not in known]
        if not self._revoke(certificate, reason, now):
            return ()
        return (certificate, *(one for one in wanted[1:] if self._revoke(one, reason, now)))

    def release(self, certificate: Certificate, now: datetime) -> bool:
        """End a suspension, of what was suspended along with it too; false when there was none."""
        others = tuple(beside(self.directory, certificate, now))
        if not self._release(certificate, now):
            return False
        for one in others:
            self._release(one, now)
        return True

    def is_ours(self, certificate: Certificate) -> bool:
        """Whether our own authority issued it."""
        return self.authority is not None and self.authority.has_issued(certificate)

    def _revoke(self, one: Certificate, reason: str, now: datetime) -> bool:
        if self.authority is not None and self.authority.has_issued(one):
            return self.authority.revoke(one, reason, now)
        return self.directory.ledger.revoke(one, self._above(one), reason, now)

    def _release(self, one: Certificate, now: datetime) -> bool:
        if self.authority is not None and self.authority.has_issued(one):
            return self.authority.release(one, now)
        return self.directory.ledger.release(one, self._above(one))

    def _above(self, one: Certificate) -> Certificate:
        """The name of its issuer in the ledger; its own where that is unknown."""
        return next(iter(self.directory.issuers_of(one)), one)
