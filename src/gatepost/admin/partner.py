"""Partners: whose own CA counts for their own domain; correspondents: what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gatepost.admin import credential
from gatepost.admin.access import opened
from gatepost.certificate import Certificate
from gatepost.config.quantity import domain as as_domain
from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.smime.correspondent import Correspondent
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


@dataclass(frozen=True, slots=True)
class Known:
    """One correspondent: what his signed mail showed, and the certificates filed for him."""

    address: str
    software: Correspondent
    certificates: tuple[Certificate, ...]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        one = self.software
        return {
            "address": self.address,
            "announced": sorted(one.announced),
            "announced_at": _moment(one.announced_at),
            "used": {name: _moment(when) for name, when in sorted(one.used.items())},
            "seen_at": _moment(one.seen_at),
            "certificates": [
                {
                    "name": each.name,
                    "fingerprint": each.fingerprint,
                    "key": key_name(each),
                    "not_after": each.not_after.isoformat(),
                }
                for each in self.certificates
            ],
        }


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything known about a domain or an address."""

    partner: Partner | None
    people: tuple[Known, ...]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        found = Partners((self.partner,)).as_data() if self.partner else []
        return {
            "partner": found[0] if found else None,
            "correspondents": [one.as_data() for one in self.people],
        }


def show(config: Path | None, whom: str) -> Knowledge:
    """What is known of a domain and its people, or of one address; raises ConfigError if nothing.

    An address is shown with its partner, for that is why its certificates count.
    """
    mailbox = Mailbox.parse(whom) if "@" in whom.lstrip("@") else None
    domain = mailbox.domain if mailbox else _domain(whom.lstrip("@"))
    with opened(config) as (_, stores):
        directory = stores.directory
        found = directory.correspondents(domain)
        if mailbox is not None:
            found = {mailbox.key: directory.correspondent(mailbox)}
        people = tuple(
            Known(
                address,
                software,
                tuple(one.certificate for one in directory.find(address=address, limit=20)),
            )
            for address, software in found.items()
        )
        knowledge = Knowledge(directory.partner(domain), people)
    known = [one for one in people if one.software.seen_at or one.certificates]
    if not known and (mailbox is not None or knowledge.partner is None):
        raise ConfigError(f"nothing is known about {whom}", hint="gatepost partner list")
    return knowledge


def key_name(certificate: Certificate) -> str:
    """What kind of key it is, for people."""
    key = certificate.public_key
    if isinstance(key, RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey") if key is not None else "unknown"


def _moment(when: datetime | None) -> str | None:
    return when.isoformat() if when else None


def _domain(text: str) -> str:
    try:
        return as_domain(text)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}") from error


def add(
    config: Path | None, domain: str, files: Sequence[Path], note: str, now: datetime
) -> Partners:
    """Trust the CAs in these files for mail of this domain."""
    given = [one for path in files for one in credential.certificates_in(path)]
    domain = _domain(domain)
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
