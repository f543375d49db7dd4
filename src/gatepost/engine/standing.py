"""Whether other people's certificates were revoked, as strictly as the configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.config.revocation import Revocation, Strictness
from gatepost.lookup.revocation import Revocations
from gatepost.pki.evidence import Evidence
from gatepost.pki.place import names_places
from gatepost.store.status import Statuses

Chain = tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Asks for one process."""

    revocations: Revocations
    settings: Revocation

    async def of_signer(self, chain: Chain) -> Evidence:
        """What is known of a signer's path."""
        return await self._known(chain, self.settings.inbound)

    async def of_recipient(self, chain: Chain) -> Evidence | None:
        """What is known of a path to encrypt by; nothing where nobody asks or could be asked."""
        level = self.settings.outbound
        if level == "off" or (level != "hard" and not names_places(chain)):
            return None
        return await self._known(chain, level)

    async def _known(self, chain: Chain, level: Strictness) -> Evidence:
        required = level in {"hard", "grace"}
        grace = self.settings.grace if level == "grace" else timedelta()
        return await self.revocations.evidence(chain, required=required, grace=grace)


def standing(
    settings: Settings, statuses: Statuses, clock: Callable[[], datetime]
) -> Standing | None:
    """Who asks, as the configuration says; nobody where it is off."""
    asked = settings.revocation
    if asked.inbound == asked.outbound == "off":
        return None
    from gatepost.engine.courier import resolver  # noqa: PLC0415  0.2 s that others save
    from gatepost.lookup.download import Download  # noqa: PLC0415

    patience = asked.patience.total_seconds()
    download = Download(resolver(settings), asked.private, patience=2 * patience)
    made = Revocations(download, statuses, clock, maximum=asked.maximum, patience=patience)
    return Standing(made, asked)
