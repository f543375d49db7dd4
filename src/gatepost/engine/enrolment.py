"""Builds from the configuration what gives our own people certificates, and what asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gatepost.config import Settings
from gatepost.engine.enroller import Enroller, Enrolment
from gatepost.engine.identity import Identities
from gatepost.engine.issuer import Surroundings, issuers
from gatepost.engine.journal import Journal
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.rule import Members, Rules
from gatepost.events import Name
from gatepost.mail.address import Mailbox, domain_key
from gatepost.store.directory import Directory
from gatepost.store.request import Request
from gatepost.vault.keys import Vault


def identities(
    settings: Settings,
    directory: Directory,
    vault: Vault,
    authority: LocalAuthority | None,
    asked: Callable[[Request], None] = lambda _: None,
) -> Identities:
    """Who gives whom what, by the rules of the configuration."""
    return Identities(
        directory,
        vault,
        authority,
        Rules(settings.identity, members(settings)),
        frozenset(map(domain_key, settings.gateway.domains)),
        settings.authority.user_key,
        asked,
    )


def enrolment(around: Surroundings, authority: LocalAuthority | None) -> Enrolment:
    """The whole of it, for a process that serves."""

    def asked(request: Request) -> None:
        note_requested(around.journal, request)
        made.wake()

    ours = identities(around.settings, around.directory, around.vault, authority, asked)
    made = Enrolment(Enroller(ours, issuers(around), around.journal, around.clock))
    return made


def note_requested(journal: Journal, request: Request) -> None:
    """Somebody is to have a certificate from outside."""
    journal.note(
        Name.CERTIFICATE_REQUESTED,
        address=request.address,
        source=request.source,
        purpose=request.purpose,
    )


def members(settings: Settings) -> Members | None:
    """Asks the LDAP directory under whose base the group stands, else the first."""
    if not settings.ldap or not any(one.group for one in settings.identity):
        return None
    from gatepost.engine.source import directory  # noqa: PLC0415  only where there are groups

    async def ask(group: str) -> Sequence[Mailbox]:
        inside = [one for one in settings.ldap if _folded(group).endswith(_folded(one.base))]
        where = (inside or list(settings.ldap))[0]
        return await directory(where).members(group)

    return ask


def _folded(name: str) -> str:
    return name.lower().replace(", ", ",")
