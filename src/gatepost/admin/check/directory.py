"""Checks of the directory: database, authority, certificates, policy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from gatepost.admin.check.registry import (
    Answer,
    Installation,
    Unready,
    bad,
    check,
    good,
    warn,
)
from gatepost.engine.backend import directory_path, open_directory
from gatepost.errors import GatepostError
from gatepost.policy import parse
from gatepost.store.directory import Directory
from gatepost.store.schema import HEAD

_SOON = timedelta(days=30)
_AUTHORITY_SOON = timedelta(days=365)
_SHOWN = 5
_MAXIMUM = 10_000
RESTORE = (
    "bring it back from a backup; for a new one move the configuration away and run gatepost init"
)


@check("DIR-01", "directory opens")
def opens(place: Installation) -> Iterator[Answer]:
    """The database of certificates, private keys, partners and policy.

    Opened for reading only: its version is compared with the program's, its pages are verified.
    """
    path = directory_path(place.right)
    if path is None:
        yield from _answers(place)
        return
    if not path.exists():
        yield bad(f"{path} does not exist", RESTORE)
        return
    version, damage = _looked_at(path)
    if damage != "ok":
        yield bad(f"{path} is damaged: {damage}", RESTORE)
    elif version != HEAD:
        yield warn(f"{path} has version {version}, this program makes {HEAD} of it at its start")
    else:
        yield good(f"{path} is whole, version {version}")


@check("CA-01", "own authority is valid")
def authority_is_valid(place: Installation) -> Iterator[Answer]:
    """The company CA issues its people's certificates.

    When it ends, so does every certificate below it: renew it a year before.
    """
    with readable(place) as directory:
        ours = [
            one.certificate
            for one in directory.find(authority=True, limit=_MAXIMUM)
            if one.key_purpose == "authority"
        ]
    if not ours:
        yield warn("no authority of our own", "gatepost init makes one; or import certificates")
    for one in ours:
        left = one.not_after - place.now
        text = f"{one.name} until {one.not_after:%Y-%m-%d}, SHA-256 {one.fingerprint}"
        if left < timedelta(0):
            yield bad(f"expired: {text}", "make a new one")
        elif one.not_before > place.now:
            yield bad(f"not yet valid: {text}", "see CLK-01")
        elif left < _AUTHORITY_SOON:
            yield warn(f"ends in {left.days} days: {text}", "make a new one")
        else:
            yield good(text)


@check("CRT-01", "certificates in use are in time")
def are_in_time(place: Installation) -> Iterator[Answer]:
    """Certificates whose private keys are here.

    An expired one signs nothing; issue the next one before.
    """
    with readable(place) as directory:
        held = [
            one.certificate
            for one in directory.find(authority=False, limit=_MAXIMUM)
            if one.key_purpose is not None
        ]
    soon = sorted(
        (one for one in held if place.now <= one.not_after < place.now + _SOON),
        key=lambda one: one.not_after,
    )
    for one in soon[:_SHOWN]:
        name = one.emails[0] if one.emails else one.name
        yield warn(
            f"{name} ends {one.not_after:%Y-%m-%d}, {one.fingerprint[:16]}",
            f"gatepost cert issue {name}",
        )
    if len(soon) > _SHOWN:
        yield warn(f"{len(soon) - _SHOWN} more end within {_SOON.days} days")
    if not soon:
        yield good(f"{len(held)} with private key, none ends within {_SOON.days} days")


@check("POL-01", "policy is right")
def policy_is_right(place: Installation) -> Iterator[Answer]:
    """Reads the policy in force as the gateway does at its start."""
    with readable(place) as directory:
        current = directory.policy.current()
    if current is None:
        yield warn("no policy was written: the built-in one counts", "gatepost policy apply FILE")
        return
    found = parse.parse(current.toml, f"policy revision {current.rev}")
    yield good(f"revision {current.rev} of {current.at:%Y-%m-%d}, {len(found.rules)} rules")


def _answers(place: Installation) -> Iterator[Answer]:
    """Whether the database of several nodes is there and has a gateway's directory in it."""
    try:
        with open_directory(place.right) as directory:
            is_empty = directory.is_empty()
    except GatepostError as error:
        yield bad(str(error), "bring the database back, or correct [database]")
        return
    if is_empty:  # no rules: mail that must be encrypted would leave in clear
        yield bad(f"{directory.place} answers, but is empty", "gatepost database fill")
    else:
        yield good(f"{directory.place} answers")


def _looked_at(path: Path) -> tuple[str, str]:
    """Schema version and the first complaint of an integrity check, without writing."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return "", str(error)
    return str(version[0]) if version else "", " ".join(str(damage[0]).split())


def readable(place: Installation) -> Directory:
    """The directory, if opening it changes nothing (a migration would)."""
    path = directory_path(place.right)
    if path is None:
        return open_directory(place.right)
    if not path.exists():
        raise Unready("needs the directory (DIR-01)")
    version, damage = _looked_at(path)
    if damage != "ok" or version != HEAD:
        raise Unready("needs a directory without faults (DIR-01)")
    return Directory(path)
