"""`gatepost vault`: the key under everything is changed while mail waits and keys are used."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.admin import vault
from gatepost.config import load
from gatepost.engine.backend import control, open_queue
from gatepost.engine.service import Stores
from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.store import resealing
from gatepost.store.queue_item import NewItem
from gatepost.store.sqlite_database import SqliteDatabase

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=6)  # also where the tests before take long


class Killed(BaseException):
    """The machine stops here."""


def waiting_mail(home: Path, at: datetime, text: bytes = b"secret", id_: str = "1M7AA") -> None:
    """A mail in the queue."""
    settings = load(home / "gatepost.toml")
    stores = Stores.open(settings)
    envelope = Envelope(
        Mailbox.parse("alice@example.com"), (Recipient(Mailbox.parse("bob@partner.example")),)
    )

    async def accept() -> None:
        queue = open_queue(settings, stores.queue_seal, "0", lambda: at)
        items = await queue.accept([NewItem(id_, envelope, "outbound", Octets(text))])
        queue.release(items)
        await queue.flush()
        queue.close()

    asyncio.run(accept())
    stores.close()


def all_opens(home: Path) -> None:
    """What a gateway that starts now can use: every key, and every mail that waits."""
    settings = load(home / "gatepost.toml")
    stores = Stores.open(settings)
    held = [one for one in stores.directory.find(limit=100) if one.key_purpose is not None]
    assert len(held) == 2
    for one in held:
        stores.vault.private_key_of(one.certificate)

    async def read() -> None:
        queue = open_queue(settings, stores.queue_seal, "0", lambda: LATER)
        queue.recover()
        for one in queue.due("outbound", LATER, 10):
            assert b"".join(queue.opened(one).content.chunks()) == b"secret"
            queue.release([one])
        await queue.flush()
        queue.close()

    asyncio.run(read())
    stores.close()


def stopping(patch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Die at the so-manieth step that changes something on the disk; gives how many were made."""
    steps = 0

    def step(name: str, where: Any) -> None:
        real = getattr(where, name)

        def instead(*given: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == at:
                raise Killed
            return real(*given, **named)

        patch.setattr(where, name, instead)

    for name, where in (
        ("fsync", os),
        ("fchown", os),
        ("rename", Path),
        ("unlink", Path),
        ("writing", SqliteDatabase),
        ("bump", resealing),  # within the transaction, which is undone
    ):
        step(name, where)
    return lambda: steps


def test_rotation_may_be_killed_at_every_step(home: Path) -> None:
    """A power failure during the rotation would leave keys nobody opens: all mail is lost."""
    waiting_mail(home, NOW)
    for at in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resealing, "BATCH", 1)
            steps = stopping(patch, at)
            try:
                vault.rotate(None, NOW)
            except Killed:
                pass
            else:
                assert steps() < at
                break
        all_opens(home)
    assert at > 4
    state = vault.rotate(None, NOW)
    assert (state.left, len(state.others), state.waiting) == (0, 1, 1)
    all_opens(home)


def test_retiring_may_be_killed_at_every_step(home: Path) -> None:
    """The last key of a waiting mail would be thrown away too early, or twice."""
    before = vault.show(None).current
    vault.rotate(None, NOW)
    for at in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            steps = stopping(patch, at)
            try:
                vault.retire(None, LATER)
            except Killed:
                pass
            else:
                assert steps() < at
                break
        all_opens(home)
    assert at > 4
    state = vault.show(None)
    assert (state.others, state.left) == ((), 0)
    assert state.current != before
    aside = home / f"vault.key.retired-{before}"
    assert aside.stat().st_mode & 0o777 == 0o600


def test_earlier_key_stays_for_waiting_mail(home: Path) -> None:
    """Mail queued before the rotation could not be sent any more."""
    waiting_mail(home, NOW)
    vault.rotate(None, NOW)
    with pytest.raises(ConfigError, match="1 queued mails"):
        vault.retire(None, LATER)
    control(load(home / "gatepost.toml")).delete("1M7AA")
    with pytest.raises(ConfigError, match="seconds ago"):  # a process may not know yet
        vault.retire(None, datetime.now(UTC))
    assert vault.retire(None, LATER).others == ()


def test_running_process_notices(home: Path) -> None:
    """Every worker would have to be restarted in the moment of the rotation."""
    settings = load(home / "gatepost.toml")
    stores = Stores.open(settings)
    before = stores.queue_seal.seal(b"before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gatepost.vault.kek.PAUSE", 0.0)
        vault.rotate(None, NOW)
        after = stores.queue_seal.seal(b"after")
        assert after[1:5].hex() == vault.show(None).current
        assert before[1:5] != after[1:5]
        assert stores.queue_seal.unseal(before) == b"before"
        for one in stores.directory.find(limit=100):
            if one.key_purpose is not None:
                stores.vault.private_key_of(one.certificate)
    stores.close()


def test_prepared_for_several_nodes(home: Path) -> None:
    """Another node would meet boxes under a key it does not have yet."""
    first = vault.show(None).current
    prepared = vault.prepare(None)
    assert prepared.current == first
    (new,) = prepared.others
    all_opens(home)
    with pytest.raises(ConfigError, match="more than one"):
        vault.prepare(None)
    done = vault.rotate(None, NOW)
    assert (done.current, done.others, done.resealed) == (new, (first,), 2)
    again = vault.rotate(None, NOW)  # not back to the first
    assert (again.current, again.resealed) == (new, 0)


def test_commands(gatepost: Gatepost, home: Path) -> None:
    """The administrator is told what is done and what is left."""
    assert gatepost("vault", "show").code == 0
    ran = gatepost("vault", "rotate", "--json")
    assert ran.code == 0
    assert ran.data["resealed"] == ran.data["private_keys"] == 2
    shown = gatepost("vault", "show")
    assert shown.code == 1
    assert "still opens" in shown.out
    assert gatepost("vault", "retire").code == 2
    config = home / "gatepost.toml"
    text = config.read_text()
    (home / "secret").write_text("correct horse battery staple\n")
    (home / "secret").chmod(0o600)
    config.write_text(f'{text}\n[vault.wrap]\npassword_file = "{home / "secret"}"\n')
    assert gatepost("vault", "wrap", "--json").data["is_wrapped"] is True
    assert "passphrase:" in (home / "vault.key").read_text()
    all_opens(home)
    (home / "secret").write_text("another\n")
    failed = gatepost("vault", "show")
    assert failed.code == 2
    assert "passphrase is not the one" in failed.err
