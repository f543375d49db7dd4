"""What a source outside has for a mailbox."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Offer:
    """Certificates, those above them, and what was offered beside and is none."""

    certificates: tuple[Certificate, ...] = ()
    issuers: tuple[Certificate, ...] = ()
    remarks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to be looked at."""
        return bool(self.certificates or self.remarks)
