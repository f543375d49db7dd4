"""The machine burns down: the backup and its passphrase bring everything back elsewhere."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from tests.patience import until
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit, text, verdict
from tests.peers.pair import ALICE, BOB, UK, Pair, pair
from tests.peers.postgres import Server, server

from gatepost.cli.run import run
from gatepost.vault import archive

__all__ = ["server"]
SECRET = "a recovery key nobody guesses"
LARGE = b"The price is 2.4 million, in many words. \r\n" * 30_000  # too large for a row


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for every key is well spent, but not here."""
    monkeypatch.setattr(archive.Writer.__init__, "__defaults__", (4,))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "recovery.key"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def test_elsewhere(lab: Lab, secret: Path) -> None:
    """Keys, partners, policy, mail that waits and mail that is held: all of it comes back."""
    world = pair(lab)
    waiting, held = _with_mail(world)
    backup = secret.with_name("backup")
    said = world.uk.asked("backup", str(backup), "--secret", str(secret))
    assert (said["items"], said["left_out"]) == (3, [])
    assert said["domains"] == [UK]
    assert backup.stat().st_mode & 0o777 == 0o600
    _assert_sealed(backup, world.uk)
    before = _told(world.uk)
    world.uk.kill()
    shutil.rmtree(world.uk.folder)
    # A new machine, other places.
    new = _elsewhere(lab, world)
    state = new.folder / "var"
    options = ("--secret", str(secret), "--state", str(state))
    said = new.asked("restore", str(backup), *options)
    assert said["state"] == str(state)
    assert not said["kept"]
    assert new.asked("check", "--only", "KEY-02", "--only", "DIR-01")["status"] == "PASS"
    assert _told(new) == before
    new.start()
    bobs = lab.mailbox(world.bobs.port)
    new.command("queue", "retry", "all")
    for letter in waiting:
        (mail,) = bobs.wait_for(letter.id)
        assert text(mail.content) == letter.body.decode().replace("\r\n", "\n")
        assert verdict(mail.content, new.name) == "pass"
    until(lambda: len(new.asked("queue", "list")) == 1)
    (item,) = new.asked("queue", "list")
    assert item["state"] == "hold"
    new.command("queue", "release", item["id"])
    bobs.wait_for(held.id)
    # The old keys open what is written to them now.
    fresh = Letter(ALICE, BOB)
    submit(world.us.port, fresh)
    assert verdict(bobs.wait_for(fresh.id)[0].content, new.name) == "pass"


def test_from_files_to_postgres_and_back(lab: Lab, secret: Path, server: Server) -> None:
    """Who moves to several nodes, or back, must start with nothing."""
    world = pair(lab)
    waiting, _ = _with_mail(world)
    first, second = secret.with_name("first"), secret.with_name("second")
    world.uk.command("backup", str(first), "--secret", str(secret))
    before = _told(world.uk)
    world.uk.stop()
    schema = server.fresh()
    edited = world.uk.config.read_text()
    on_database = f'[database]\naddress = "{schema.url}"\n\n[vault]'
    new = _elsewhere(lab, world)
    new.folder.mkdir(parents=True)
    new.config.write_text(
        edited.replace("[vault]", on_database).replace('state = "state"', 'state = "there"')
    )
    said = new.asked("restore", str(first), "--secret", str(secret))
    assert str(new.config) in said["kept"]
    assert _told(new) == before
    refused = new.command("restore", str(first), "--secret", str(secret), codes=(2,))
    assert refused == ""
    new.command("backup", str(second), "--secret", str(secret))
    last = _elsewhere(lab, world)
    last.folder.mkdir(parents=True)
    last.config.write_text(edited)
    last.asked("restore", str(second), "--secret", str(secret))
    assert _told(last) == before
    last.start()
    bobs = lab.mailbox(world.bobs.port)
    last.command("queue", "retry", "all")
    for letter in waiting:
        (mail,) = bobs.wait_for(letter.id)
        assert verdict(mail.content, last.name) == "pass"


def test_nothing_living_is_overwritten(lab: Lab, secret: Path) -> None:
    """A restore on the wrong machine destroys what it was to save."""
    gateway = lab.planned(UK, 25, 26)
    backup = secret.with_name("backup")
    gateway.command("backup", str(backup), "--secret", str(secret))
    before = _contents(gateway.folder)
    for more in ((), ("--state", str(gateway.folder / "other"))):
        assert _run(gateway, "restore", str(backup), "--secret", str(secret), *more) == 2
        assert _contents(gateway.folder) == before
    # Nor is anything left of a restore that failed half-way.
    elsewhere = Gateway(gateway.folder / "elsewhere", UK, 25, 26)
    elsewhere.folder.mkdir()
    (elsewhere.folder / "vault.key").write_text("5a" * 32)
    (elsewhere.folder / "vault.key").chmod(0o600)
    options = ("--secret", str(secret), "--state", str(elsewhere.folder / "state"))
    assert _run(elsewhere, "restore", str(backup), *options) == 2
    assert _contents(elsewhere.folder) == {"vault.key": b"5a" * 32}
    assert _run(gateway, "backup", str(backup), "--secret", str(secret)) == 2


def test_damaged_backup_changes_nothing(lab: Lab, secret: Path) -> None:
    """Half an installation, made of half a file."""
    gateway = lab.planned(UK, 25, 26)
    backup = secret.with_name("backup")
    gateway.command("backup", str(backup), "--secret", str(secret))
    whole = backup.read_bytes()
    assert gateway.asked("restore", str(backup), "--secret", str(secret), "--check")["items"] == 0
    other = Gateway(gateway.folder / "other", UK, 25, 26)
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for damaged in (bytes(flipped), whole[:-1], whole[: len(whole) // 2], b"", b"x" * 1000):
        backup.write_bytes(damaged)
        for more in ((), ("--check",)):
            assert _run(other, "restore", str(backup), "--secret", str(secret), *more) == 2
        assert not other.folder.exists()
    backup.write_bytes(whole)
    secret.write_text("another passphrase")
    assert _run(other, "restore", str(backup), "--secret", str(secret)) == 2
    secret.chmod(0o644)
    assert _run(other, "restore", str(backup), "--secret", str(secret)) == 2
    assert not other.folder.exists()


def _with_mail(world: Pair) -> tuple[list[Letter], Letter]:
    """Two mails that wait for Bob's server, one large; one that is held."""
    world.bobs.close()
    waiting = [Letter(ALICE, BOB, body=b"Small.\r\n"), Letter(ALICE, BOB, body=LARGE)]
    for letter in waiting:
        submit(world.us.port, letter)
    until(lambda: [bool(tries) for tries in _tries(world.uk)] == [True, False])
    held = Letter("mallory@evil.example", BOB, "Hello", b"x\r\n")
    submit(world.uk.port, held)
    world.uk.wait_for("message.accepted", sender="mallory@evil.example")
    for item in world.uk.asked("queue", "list"):
        if item["return_path"] == "mallory@evil.example":
            world.uk.command("queue", "hold", item["id"])
    assert len(world.uk.asked("queue", "list")) == 3
    return waiting, held


def _tries(gateway: Gateway) -> list[int]:
    """How often each mail was tried: the second waits, for the first has found nobody."""
    return sorted((int(one["tries"]) for one in gateway.asked("queue", "list")), reverse=True)


def _told(gateway: Gateway) -> dict[str, object]:
    """What commands say about everything, the passing of time aside."""
    queue = gateway.asked("queue", "list")
    return {
        "certificates": gateway.asked("cert", "list"),
        "partners": gateway.asked("partner", "list"),
        "policy": gateway.asked("policy", "history"),
        "queue": [
            {k: v for k, v in one.items() if k not in {"age", "due", "tries", "recipients"}}
            for one in sorted(queue, key=lambda one: str(one["id"]))
        ],
        "traces": [
            [r["name"] for r in gateway.asked("trace", one["queue_id"])["records"]][:1]
            for one in sorted(queue, key=lambda one: str(one["id"]))
        ],
    }


def _elsewhere(lab: Lab, world: Pair) -> Gateway:
    """A gateway that takes the place of Bob's, with nothing in its folder yet."""
    return lab.empty(UK, world.bobs.port, world.us.port, port=world.uk.port)


def _contents(folder: Path) -> dict[str, bytes]:
    files = {str(one.relative_to(folder)): one for one in folder.rglob("*") if one.is_file()}
    passing = (".db-wal", ".db-shm", ".lock")
    return {name: one.read_bytes() for name, one in files.items() if one.suffix not in passing}


def _assert_sealed(backup: Path, gateway: Gateway) -> None:
    octets = backup.read_bytes()
    key = (gateway.folder / "vault.key").read_text().strip()
    for clear in (b"2.4 million", BOB.encode(), key.encode(), bytes.fromhex(key)):
        assert clear not in octets


def _run(gateway: Gateway, *arguments: str) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run((*arguments, "--config", str(gateway.config)))
