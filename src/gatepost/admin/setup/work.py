"""Write what was planned; on any failure take away again what this run has written."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin.setup.pair import self_signed
from gatepost.admin.setup.plan import Plan
from gatepost.admin.setup.text import POLICY
from gatepost.certificate import Certificate
from gatepost.engine.service import Stores
from gatepost.enrol.local import LocalAuthority
from gatepost.errors import ConfigError
from gatepost.vault import kek


@dataclass(frozen=True, slots=True)
class Result:
    """A gateway that was set up."""

    plan: Plan
    root: Certificate

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "domain": self.plan.settings.gateway.domains[0],
            "files": [one.as_data() for one in self.plan.items],
            "authority": {
                "name": self.root.name,
                "sha256": self.root.fingerprint,
                "not_after": self.root.not_after.isoformat(),
            },
        }


def carry_out(plan: Plan, now: datetime) -> Result:
    """Write everything; the configuration comes last, so that it never names what is not there."""
    made: list[Path] = []
    try:
        return _write(plan, now, made)
    except BaseException:
        for path in reversed(made):
            _remove(path)
        raise


def _write(plan: Plan, now: datetime, made: list[Path]) -> Result:
    _folder(plan.path("configuration").parent, 0o755, made)
    _folder(plan.path("state"), 0o700, made)
    if not plan.keeps("vault key"):
        made.append(plan.path("vault key"))
        kek.generate_file(plan.path("vault key"))
    if not plan.keeps("TLS certificate"):
        certificate, key = self_signed(plan.settings.gateway.hostname, now)
        _new(plan.path("TLS certificate"), certificate, 0o644, made)
        _new(plan.path("TLS key"), key, 0o600, made)
    if not plan.keeps("directory"):
        directory = plan.path("directory")
        made += [directory, *(directory.with_name(directory.name + end) for end in _COMPANIONS)]
    root = _directory(plan, now)
    _new(plan.path("configuration"), plan.text.encode(), 0o644, made)
    return Result(plan, root)


_COMPANIONS = ("-wal", "-shm", "-journal")  # SQLite's own


def _directory(plan: Plan, now: datetime) -> Certificate:
    """The authority and the first policy, unless they are there."""
    settings, request = plan.settings, plan.request
    stores = Stores.open(settings)
    try:
        authority = stores.authority or LocalAuthority.create(
            stores.directory,
            stores.vault,
            request.company or settings.gateway.domains[0],
            settings.gateway.domains,
            algorithm=request.key,
            user_key=settings.authority.user_key,
            now=now,
        )
        if stores.directory.policy.current() is None:
            stores.directory.policy.apply(
                POLICY, author="gatepost init", note="first policy", now=now
            )
        return authority.root
    finally:
        stores.close()


def _folder(folder: Path, mode: int, made: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(mode=mode)
        made.append(one)


def _new(path: Path, octets: bytes, mode: int, made: list[Path]) -> None:
    """Write a new file to the disk; whatever stands there stays."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise ConfigError(f"{path} appeared meanwhile; it was not touched") from error
    made.append(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)  # made by this run, so everything in it is, too
    else:
        path.unlink(missing_ok=True)
