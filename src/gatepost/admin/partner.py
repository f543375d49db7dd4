"""Partners: companies whose own CA counts for their own domain, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin import credential
from gatepost.admin.access import opened
from gatepost.config.quantity import domain as as_domain
from gatepost.errors import ConfigError
from gatepost.store.record import Partner


@dataclass(frozen=True, slots=True)
class Partners:
    """Some or all of them."""

    partners: tuple[Partner, ...]

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [
            {
                "domain": one.domain,
                "note": one.note,
                "added_at": one.added_at.isoformat(),
                "authorities": [
                    {
                        "name": ca.name,
                        "fingerprint": ca.fingerprint,
                        "not_after": ca.not_after.isoformat(),
                        "root": ca in one.roots,
                    }
                    for ca in (*one.roots, *one.intermediates)
                ],
            }
            for one in self.partners
        ]


def add(
    config: Path | None, domain: str, files: Sequence[Path], note: str, now: datetime
) -> Partners:
    """Trust the CAs in these files for mail of this domain."""
    given = [one for path in files for one in credential.certificates_in(path)]
    try:
        domain = as_domain(domain)
    except ValueError as error:
        raise ConfigError(f"{domain!r}: {error}") from error
    with opened(config) as (settings, stores):
        if domain in settings.gateway.domains:
            raise ConfigError(f"{domain} is your own domain; its CA is trusted already")
        return Partners((stores.directory.add_partner(domain, given, note=note, now=now),))


def every(config: Path | None) -> Partners:
    """Every partner, by domain."""
    with opened(config) as (_, stores):
        return Partners(stores.directory.partners())


def remove(config: Path | None, domain: str) -> Partners:
    """Forget a partner and stop trusting its CAs; raises ConfigError when there is none."""
    with opened(config) as (_, stores):
        known = stores.directory.partner(domain)
        if known is None:
            raise ConfigError(f"{domain} is no partner", hint="gatepost partner list")
        stores.directory.remove_partner(domain)
        return Partners((known,))
