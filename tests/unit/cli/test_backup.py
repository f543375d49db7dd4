"""`gatepost backup` and `restore` where something else goes on at the same time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.unit.cli.test_vault import NOW, all_opens, waiting_mail

from gatepost.admin import backup, vault
from gatepost.admin.backup.save import _Saving
from gatepost.config import load
from gatepost.errors import ConfigError, Unavailable
from gatepost.store.directory import Directory
from gatepost.vault import archive
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer

PASSPHRASE = "a recovery key nobody guesses"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for every key is well spent, but not here."""
    monkeypatch.setattr(archive.Writer.__init__, "__defaults__", (4,))


def amid(patch: pytest.MonkeyPatch, acts: list[Callable[[], object]]) -> None:
    """Do these, one a pass, between a backup's key and its queue and directory."""
    real = _Saving._queue

    def queue(self: _Saving) -> None:
        if acts:
            acts.pop()()
        real(self)

    patch.setattr(_Saving, "_queue", queue)


def restored(path: Path, folder: Path) -> Path:
    """The folder of a new installation made from the backup."""
    backup.restore(path, PASSPHRASE, folder / "gatepost.toml", folder / "state")
    return folder


@pytest.mark.parametrize("step", ["rotate", "prepare", "rotated before"])
def test_amid_a_rotation(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The backup holds the old key alone, and everything in it hangs on the new one."""
    waiting_mail(home, NOW)
    steps = {"rotate": partial(vault.rotate, None, NOW), "prepare": partial(vault.prepare, None)}
    if step in steps:
        amid(monkeypatch, [steps[step]])
    else:
        vault.rotate(None, NOW)
    path = tmp_path / "backup"
    saved = backup.save(None, path, PASSPHRASE, NOW)
    assert (saved.left_out, saved.summary.items) == ((), 1)
    assert saved.size == path.stat().st_size
    all_opens(restored(path, tmp_path / "elsewhere"))


@pytest.mark.usefixtures("home")
def test_keys_that_never_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that cannot be used must not look like one."""
    monkeypatch.setattr(_Saving, "has_every_key", lambda _: False)
    path = tmp_path / "backup"
    with pytest.raises(Unavailable, match="try again"):
        backup.save(None, path, PASSPHRASE, NOW)
    assert not path.exists()
    assert vault.show(None).others == ()  # and nothing was changed


def test_what_domains_promised(home: Path, tmp_path: Path) -> None:
    """After a disaster whoever sits between us and a partner could take TLS away once more."""
    promises = home / "gatepost-state" / "mta-sts"
    promises.mkdir()
    (promises / "aa.json").write_text('{"domain": "partner.example"}')
    (promises / "aa.1234").write_text("half a file")
    path = tmp_path / "backup"
    backup.save(None, path, PASSPHRASE, NOW)
    there = restored(path, tmp_path / "elsewhere") / "state" / "mta-sts"
    assert [one.name for one in there.iterdir()] == ["aa.json"]
    assert (there / "aa.json").read_text() == '{"domain": "partner.example"}'
    assert (there / "aa.json").stat().st_mode & 0o777 == 0o600


def test_evidence_of_large_mails(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attachments among the evidence end every backup from then on."""
    seal, records = Sealer(Kek(bytes(32)), "evidence"), [bytes((n,)) * 40_000 for n in range(30)]
    with Directory(home / "gatepost-state" / "directory.db") as directory:
        for one in records:
            directory.evidence.keep(one, seal, now=NOW)
        for number in range(30):
            directory.register.swap(f"test.{number}", None, "x" * 10_000)
    monkeypatch.setattr(archive, "LARGEST", 100_000)
    path = tmp_path / "backup"
    backup.save(None, path, PASSPHRASE, NOW)
    there = restored(path, tmp_path / "elsewhere") / "state" / "directory.db"
    with Directory(there) as directory:
        assert [one.record for one in directory.evidence.read(seal)] == records
        assert len(directory.register.named("test.")) == 30


def test_folders_that_the_configuration_names(home: Path, tmp_path: Path) -> None:
    """Whoever has certificates put into a folder finds out at the disaster that there is no copy."""
    (home / "drop").mkdir()
    config = home / "gatepost.toml"
    config.write_text(config.read_text() + '\n[lookup]\nfolder = "drop"\n')
    path = tmp_path / "backup"
    saved = backup.save(None, path, PASSPHRASE, NOW)
    assert not any("drop" in one for one in saved.summary.files)
    there = restored(path, tmp_path / "elsewhere") / "gatepost.toml"
    assert load(there).lookup.folder == tmp_path / "elsewhere" / "drop"


def test_a_file_that_is_gone(home: Path, tmp_path: Path) -> None:
    """The target is blamed, and whoever looks there finds nothing wrong."""
    (home / "tls-key.pem").unlink()
    path = tmp_path / "backup"
    with pytest.raises(ConfigError, match=r"tls-key\.pem cannot be read"):
        backup.save(None, path, PASSPHRASE, NOW)
    assert not path.exists()


def test_a_large_body_that_is_damaged_in_its_middle(home: Path, tmp_path: Path) -> None:
    """One bad sector under one mail, and there is no backup of anything any more."""
    waiting_mail(home, NOW)
    waiting_mail(home, NOW, bytes(400_000), "1M7AB")
    (body,) = (home / "gatepost-state").rglob("*.body")
    octets = bytearray(body.read_bytes())
    octets[200_000] ^= 1
    body.write_bytes(octets)
    path = tmp_path / "backup"
    saved = backup.save(None, path, PASSPHRASE, NOW)
    assert (saved.left_out, saved.summary.items) == (("1M7AB",), 1)
    all_opens(restored(path, tmp_path / "elsewhere"))
