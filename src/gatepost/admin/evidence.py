"""Evidence of verified signatures: what is kept, one file of it, and whether a file holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gatepost.admin.access import opened
from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.store import chain
from gatepost.store.chain import Link


@dataclass(frozen=True, slots=True)
class Kept:
    """One record, without the mail."""

    number: int
    at: datetime
    queue_id: str
    signers: tuple[str, ...]

    @classmethod
    def of(cls, link: Link) -> Kept:
        """What a list shows of a record."""
        said = json.loads(link.record)
        signers = (str(one["signer"]) for each in said["signatures"] for one in each["signers"])
        return cls(link.number, link.when, said["queue_id"], tuple(dict.fromkeys(signers)))

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "queue_id": self.queue_id,
            "signers": list(self.signers),
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that holds."""

    kept: tuple[Kept, ...]
    signer: str
    fingerprint: str
    signed_at: datetime | None

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "records": [one.as_data() for one in self.kept],
            "signer": self.signer,
            "fingerprint": self.fingerprint,
            "signed_at": self.signed_at.isoformat() if self.signed_at else None,
        }


def find(config: Path | None, limit: int) -> tuple[Kept, ...]:
    """The oldest records first."""
    with opened(config) as (_, stores):
        return tuple(
            map(Kept.of, stores.directory.evidence.read(stores.evidence_seal, limit=limit))
        )


def export(config: Path | None, first: int, last: int | None, now: datetime) -> tuple[bytes, ...]:
    """The lines of one file, signed by the postmaster's key."""
    with opened(config) as (settings, stores):
        links = stores.directory.evidence.read(stores.evidence_seal, first, last)
        postmaster = Mailbox.parse(settings.gateway.postmaster_address)
        signer = stores.vault.signer_for(postmaster, now)
        if signer is None:
            raise ConfigError(
                f"there is no key for {postmaster} to sign the file with",
                hint=f"gatepost cert issue {postmaster}",
            )
        return tuple(chain.export(links, signer, now))


def verify(path: Path) -> Checked:
    """Whether a file is what was exported; needs nothing but the file."""
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    found = chain.verify(octets)
    kept = tuple(map(Kept.of, found.links))
    return Checked(kept, found.signer.name, found.signer.fingerprint, found.signed_at)
