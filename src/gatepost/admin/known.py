"""What is known of a correspondent: the directory's word, and what his domain announced.

As mail is judged by it, see docs/reference/federation.md; nothing is fetched.
"""

from __future__ import annotations

from datetime import datetime

from gatepost.config import Settings
from gatepost.engine.federation import Federation, federation
from gatepost.engine.service import Stores, own_domains
from gatepost.mail.address import Mailbox, domain_key
from gatepost.pki.choose import Candidate
from gatepost.pki.validate import Anchors


def anchors(settings: Settings, stores: Stores, domain: str, now: datetime) -> Anchors:
    """What counts for people at a domain."""
    given = stores.directory.anchors_for(domain)
    return (
        _federation(settings, stores, now).anchors(domain_key(domain), given) if domain else given
    )


def candidates(
    settings: Settings, stores: Stores, mailbox: Mailbox, now: datetime
) -> tuple[Candidate, ...]:
    """What mail to somebody could be encrypted with."""
    announced = _federation(settings, stores, now).candidates(mailbox.domain_key)
    return (*stores.directory.candidates_for(mailbox), *announced)


def _federation(settings: Settings, stores: Stores, now: datetime) -> Federation:
    return federation(settings, stores.directory.register, own_domains(settings), lambda: now)
