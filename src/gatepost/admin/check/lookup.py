"""Checks of what correspondents' certificates are looked for in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

from gatepost.admin.check.registry import Answer, Installation, bad, check, good, skip, warn
from gatepost.engine.source import directory
from gatepost.errors import GatepostError
from gatepost.mail.address import Mailbox


@check("LDAP-01", "directories answer")
def directories_answer(place: Installation) -> Iterator[Answer]:
    """Each [[ldap]] is asked for the postmaster of one of its domains, or of ours.

    Mail that must be encrypted waits while a directory does not answer, and a wrong base or
    password finds nobody, ever.
    """
    settings = place.right
    if not settings.ldap:
        yield skip("there is no [[ldap]]")
    for one in settings.ldap:
        domain = next(iter((*one.domains, *settings.gateway.domains)))
        try:
            asyncio.run(directory(one).certificates(Mailbox("postmaster", domain)))
        except GatepostError as error:
            yield bad(f"{one.url}: {error}", "see [[ldap]] in docs/lookup.md")
        else:
            clear = one.tls == "none" and not one.is_near
            said = f"{one.url} answers"
            yield warn(f"{said}, in clear", 'url = "ldaps://…"') if clear else good(said)


@check("FOLDER-01", "folder for certificates can be used")
def folder_can_be_used(place: Installation) -> Iterator[Answer]:
    """Certificates put into [lookup] folder are taken in by renaming them.

    The gateway's user has to be able to read, write and rename there.
    """
    folder = place.right.lookup.folder
    if folder is None:
        yield skip("there is no [lookup] folder")
    elif not folder.is_dir():
        yield bad(f"{folder} is no folder", f"mkdir {folder}")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield bad(f"{folder} cannot be written to", f"chown gatepost {folder}")
    else:
        yield good(str(folder))
