"""What a source outside has for a mailbox."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.certificate import Certificate
from gatepost.smime.word import Word


@dataclass(frozen=True, slots=True)
class Offer:
    """Certificates, those above them, what was offered beside and is none, and words of owners."""

    certificates: tuple[Certificate, ...] = ()
    issuers: tuple[Certificate, ...] = ()
    remarks: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to be looked at."""
        return bool(self.certificates or self.remarks)
