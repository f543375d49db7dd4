"""An administrator's word on single certificates: allowed, denied, or accepted after a change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gatepost.admin import known
from gatepost.admin.access import administrator, opened
from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known
from gatepost.pki.choose import choose, watched
from gatepost.store.record import Judged

_WHOLE = re.compile(r"[0-9a-f]{64}\Z")
MAXIMUM_REASON = 300


@dataclass(frozen=True, slots=True)
class Accepted:
    """A correspondent's key that counts as his from now on."""

    address: str
    known: Known
    changes: tuple[str, ...]

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "address": self.address,
            "fingerprint": self.known.fingerprint,
            "issuer": self.known.issuer,
            "changes": list(self.changes),
        }


def judge(config: Path | None, which: str, reason: str, now: datetime, *, allow: bool) -> Judged:
    """Allow a certificate without a path, or deny one that is here or may come."""
    if not reason.strip() or len(reason) > MAXIMUM_REASON or not reason.isprintable():
        raise ConfigError(f"a reason has 1 to {MAXIMUM_REASON} printable characters")
    with opened(config) as (_, stores):
        fingerprint = which.replace(":", "").lower()
        if allow or not _WHOLE.match(fingerprint):
            certificate = stores.directory.entry(fingerprint).certificate
            if allow and certificate.is_authority:
                raise ConfigError(
                    f"{certificate.name} is a certification authority: allowed is one certificate",
                    hint="gatepost partner add DOMAIN --ca FILE",
                )
            fingerprint = certificate.fingerprint
        given = Judged(fingerprint, allow, reason.strip(), administrator(), now)
        stores.directory.judgements.judge(given, now=now)
        return given


def withdraw(config: Path | None, which: str) -> Judged:
    """Let path and dates decide again."""
    with opened(config) as (_, stores):
        wanted = which.replace(":", "").lower()
        found = [
            one for one in stores.directory.judgements.every() if one.fingerprint.startswith(wanted)
        ]
        if len(found) != 1 or not wanted:
            raise ConfigError(
                f"{len(found)} certificates whose fingerprint begins with {which!r} "
                "are allowed or denied",
                hint="gatepost cert judged",
            )
        stores.directory.judgements.withdraw(found[0].fingerprint)
        return found[0]


def judged(config: Path | None) -> tuple[Judged, ...]:
    """Every certificate somebody allowed or denied."""
    with opened(config) as (_, stores):
        return stores.directory.judgements.every()


def accept(config: Path | None, address: str, now: datetime) -> Accepted:
    """Take the certificate that would be used now as a correspondent's own."""
    mailbox = Mailbox.parse(address)
    with opened(config) as (settings, stores):
        directory = stores.directory
        anchors = known.anchors(settings, stores, mailbox.domain_key, now)
        found = known.candidates(settings, stores, mailbox, now)
        chosen = choose(found, mailbox, anchors, now)
        before = directory.known_keys.of(mailbox)
        seen = watched(chosen, found, mailbox, anchors, now, known=before)
        if seen.known is None:
            why = "is as it was" if seen.chosen else "is not there"
            raise ConfigError(f"the certificate of {mailbox} {why}: there is nothing to accept")
        directory.known_keys.remember(mailbox, seen.known, now=now)
        return Accepted(str(mailbox), seen.known, seen.changes)
