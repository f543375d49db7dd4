"""Checks of the machine: disk, clock, folder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gatepost.admin.check.registry import Answer, Installation, bad, check, good, skip, warn
from gatepost.engine.backend import directory_path

MIB = 1 << 20
GIB = 1 << 30
_SKEW = timedelta(minutes=2)


@check("DSK-01", "disk has room")
def has_room(place: Installation) -> Iterator[Answer]:
    """Every accepted mail is written to disk before it is acknowledged.

    A full disk means that no mail is accepted: 452 until there is room again.
    """
    for folder in _disks(place):
        yield _room(folder, place.right.limits.message_size)


def _disks(place: Installation) -> Iterator[Path]:
    """One folder on each disk that accepted mail is written to."""
    gateway = place.right.gateway
    folders = [_existing(one) for one in (gateway.state, gateway.queue_folder)]
    yield from {one.stat().st_dev: one for one in reversed(folders)}.values()


def _room(folder: Path, largest: int) -> Answer:
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} GiB at {folder}"
    if usage.free < max(100 * MIB, 4 * largest):
        return bad(text, "make room: new mail is refused soon")
    if usage.free < GIB or usage.free < usage.total // 20:
        return warn(text, "make room before mail is refused")
    return good(text)


@check("DSK-02", "state folder belongs to the gateway")
def is_ours(place: Installation) -> Iterator[Answer]:
    """Queue, spool and database live here.

    The folder should be its owner's alone, and whoever runs this command should be that owner.
    """
    folder = place.right.gateway.state
    if not folder.exists():
        yield warn(f"{folder} does not exist yet", f"mkdir -m 700 {folder}")
        return
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        yield bad(f"{folder} is not a folder", "name another state folder in [gateway]")
    elif mode & 0o077:
        yield warn(f"{folder} is open to others (mode {mode:04o})", f"chmod 700 {folder}")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield bad(f"{folder} cannot be written by this user", "run as the gateway's user")
    else:
        yield good(f"{folder} is its owner's alone")


@check("CLK-01", "clock is plausible")
def is_plausible(place: Installation) -> Iterator[Answer]:
    """Certificates and signatures are judged by this machine's clock.

    A clock behind its own files makes valid certificates look not yet valid.
    """
    seen = [path for path in _witnesses(place) if path.exists()]
    latest = max(seen, key=lambda path: path.stat().st_mtime, default=None)
    if latest is None:
        yield skip("nothing to compare with")
        return
    written = datetime.fromtimestamp(latest.stat().st_mtime, UTC)
    if written > place.now + _SKEW:
        yield bad(
            f"{place.now:%Y-%m-%d %H:%M} UTC, but {latest} was written {written:%Y-%m-%d %H:%M}",
            "set the clock and let a time service (chrony, systemd-timesyncd) keep it",
        )
    else:
        yield good(f"{place.now:%Y-%m-%d %H:%M} UTC, later than every file here")


def _witnesses(place: Installation) -> Iterator[Path]:
    if place.path is not None:
        yield place.path
    if (directory := directory_path(place.right)) is not None:
        yield directory
    yield from place.right.gateway.queue_folder.glob("*.db")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
