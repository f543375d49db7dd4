"""Change the key-encryption key while mail flows: a step can be cut short and begun again.

What is on the disk says how far it came: the first key of the file seals, the others open.
Nothing is taken away before everything that needed it is gone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from gatepost.config import Settings, load
from gatepost.engine import backend
from gatepost.engine.custody import (
    EVIDENCE,
    KEYS,
    SOCKETS,
    client_of,
    kek_source,
    load_kek,
    wrap_of,
)
from gatepost.errors import ConfigError, GatepostError, KeyUnavailable, Unavailable
from gatepost.store.evidence import EvidenceStore
from gatepost.store.resealing import Box, Boxes
from gatepost.vault import kek
from gatepost.vault.frame import Word
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer

PREPARED: Final = "the second key only opens yet"
UNLOCKING: Final = 60.0  # seconds to make a key of the passphrase
NOTICED: Final = timedelta(seconds=10)  # after which every process has seen a changed file


@dataclass(frozen=True, slots=True)
class State:
    """The keys, and what hangs on those before the first."""

    source: str
    current: str
    others: tuple[str, ...]
    is_wrapped: bool
    private_keys: int
    left: int  # private keys not yet under the current key
    evidence: int  # records not yet under the current key
    waiting: int  # queued mails that may be sealed under another key
    resealed: int = 0
    retired: tuple[Path, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return asdict(self) | {"retired": [str(one) for one in self.retired]}


def show(config: Path | None) -> State:
    """Which keys there are, and whether one of them can go."""
    settings = load(config)
    return _state(settings, load_kek(settings))


def prepare(config: Path | None) -> State:
    """Add a new key that only opens, so that its file can be brought to the other nodes."""
    settings = load(config)
    old = load_kek(settings)
    if old.others:
        raise ConfigError(
            "there is more than one key already", hint="gatepost vault rotate goes on"
        )
    new = secrets.token_bytes(kek.SIZE)
    kek.replace_file(_file(settings), replace(old, others=(new,)), wrap_of(settings), PREPARED)
    return show(config)


def rotate(config: Path | None, now: datetime) -> State:
    """Make a new key the first, and seal private keys and evidence under it."""
    settings = load(config)
    keys = load_kek(settings)
    if not keys.others or kek.remark(_file(settings)) == PREPARED:
        keys = _promoted(settings, keys, now)
    done = _reseal(settings, keys)
    return replace(_state(settings, keys), resealed=done)


def retire(config: Path | None, now: datetime) -> State:
    """Take away the keys nothing is sealed under any more; each goes into a file of its own."""
    settings = load(config)
    keys, path = load_kek(settings), _file(settings)
    state = _state(settings, keys)
    if not keys.others:
        return state
    if state.left:
        raise ConfigError(
            f"{state.left} private keys hang on an earlier key", hint="gatepost vault rotate"
        )
    if state.evidence:
        raise ConfigError(
            f"{state.evidence} records of evidence hang on an earlier key",
            hint="gatepost vault rotate",
        )
    if now - _changed(path) < NOTICED:
        raise ConfigError(
            f"{path} changed less than {NOTICED.seconds} seconds ago; nothing was changed",
            hint="try again when every process has seen it",
        )
    if state.waiting:
        raise ConfigError(
            f"{state.waiting} queued mails may hang on an earlier key; nothing was changed",
            hint="try again when the mails queued before the rotation have left",
        )
    retired = tuple(_set_aside(path, one) for one in keys.each[1:])
    kek.replace_file(path, Kek(keys.key), wrap_of(settings))
    return replace(_state(settings, Kek(keys.key)), retired=retired)


def wrap(config: Path | None) -> State:
    """Write the key file anew, wrapped as [vault.wrap] says, or plain without it."""
    settings = load(config)
    path = _file(settings)
    kek.replace_file(path, load_kek(settings), wrap_of(settings), kek.remark(path))
    return show(config)


@dataclass(frozen=True, slots=True)
class Unlocked:
    """Key processes that took the passphrase."""

    count: int

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return asdict(self)


def unlock(config: Path | None, passphrase: Callable[[], bytes]) -> Unlocked:
    """Bring the passphrase to the running gateway's key process; nobody else sees it."""
    settings = load(config)
    places = sorted(settings.gateway.state.glob(SOCKETS))
    if not settings.vault.key_passphrase:
        raise ConfigError("[vault] key_passphrase is off: this vault opens by itself")
    if not places:
        raise Unavailable(
            f"no gateway runs on {settings.gateway.state}",
            hint="gatepost serve, or systemctl start gatepost, starts one",
        )
    secret = passphrase()
    refused: list[GatepostError] = []
    for one in places:  # more than one while an earlier configuration ends
        try:
            with closing(client_of(settings, one.name)) as keys:
                keys.ask(Word.UNLOCK, secret, patience=UNLOCKING)
        except (KeyUnavailable, ConfigError) as error:
            refused.append(error)
    if len(refused) == len(places):
        raise refused[0]
    return Unlocked(len(places) - len(refused))


def _promoted(settings: Settings, keys: Kek, now: datetime) -> Kek:
    """The new key first: one that was prepared, else one made now."""
    others = keys.others or (secrets.token_bytes(kek.SIZE),)
    made = Kek(others[0], (keys.key, *others[1:]))
    kek.replace_file(_file(settings), made, wrap_of(settings), f"rotated {now:%Y-%m-%d %H:%M:%S}Z")
    return made


def _reseal(settings: Settings, keys: Kek) -> int:
    sealer = Sealer(keys, KEYS)

    def seal(one: Box) -> bytes:
        bond = one.key_id.encode()
        return sealer.seal(sealer.unseal(one.sealed, bond), bond)

    database = backend.directory_database(settings)
    try:
        boxes = Boxes(database)
        EvidenceStore(database).reseal(Sealer(keys, EVIDENCE))
        return boxes.replace(_old(boxes, sealer), seal)
    finally:
        database.close()


def _old(boxes: Boxes, sealer: Sealer) -> tuple[Box, ...]:
    return tuple(one for one in boxes.all() if not sealer.is_current(one.sealed))


def _state(settings: Settings, keys: Kek) -> State:
    source = kek_source(settings)
    database = backend.directory_database(settings)
    try:
        boxes = Boxes(database)
        count, left = len(boxes.all()), len(_old(boxes, Sealer(keys, KEYS)))
        evidence = len(EvidenceStore(database).aged(Sealer(keys, EVIDENCE)))
    finally:
        database.close()
    return State(
        str(source),
        keys.id.hex(),
        tuple(one.id.hex() for one in keys.each[1:]),
        wrap_of(settings) is not None,
        count,
        left,
        evidence,
        _waiting(settings) if keys.others else 0,
    )


def _waiting(settings: Settings) -> int:
    """Mails queued before every process knew of the new key."""
    path = settings.vault.key_file
    control = backend.control(settings)
    if path is None:
        return len(control.list())
    safe = _changed(path) + NOTICED
    return sum(one.created < safe for one in control.list())


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _file(settings: Settings) -> Path:
    path = settings.vault.key_file
    if path is None:
        raise ConfigError(
            f"the key comes from {kek_source(settings)}, which this command cannot write",
            hint="put the new key into its first line and keep the old one in the second",
        )
    return path


def _set_aside(path: Path, one: Kek) -> Path:
    """A copy that nothing reads: for a backup that is older, and for second thoughts."""
    aside = path.with_name(f"{path.name}.retired-{one.id.hex()}")
    aside.unlink(missing_ok=True)
    kek.generate_file(aside)
    kek.replace_file(aside, one)
    return aside
