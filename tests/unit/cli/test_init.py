"""`gatepost init`: all or nothing, and never over what is there."""

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.config import load


def tree(folder: Path) -> set[str]:
    return {str(one.relative_to(folder)) for one in folder.rglob("*")}


def test_everything_is_made(gatepost: Gatepost, tmp_path: Path) -> None:
    """A new gateway does not start."""
    config = tmp_path / "etc" / "gatepost.toml"
    ran = gatepost("init", "Example.com", "--yes", "--config", config, "--key", "p256")
    assert ran.code == 0, ran.err
    assert [f"({n}/6)" in ran.out for n in range(1, 7)] == [True] * 6
    assert "SHA-256" in ran.out
    assert "gatepost check" in ran.out
    settings = load(config, {})
    assert settings.gateway.domains == ("example.com",)
    assert settings.gateway.state == tmp_path / "etc" / "gatepost-state"
    assert settings.federation.announce
    assert settings.federation.discover
    assert "/.well-known/gatepost/ on to 127.0.0.1:10080" in ran.out
    assert gatepost("check", "--config", config, "--only", "DIR-01", "--only", "CA-01").code == 0
    secret = [config.parent / "vault.key", config.parent / "tls-key.pem"]
    assert [stat.S_IMODE(one.stat().st_mode) for one in secret] == [0o600, 0o600]
    assert stat.S_IMODE(settings.gateway.state.stat().st_mode) == 0o700


def test_options_are_taken(gatepost: Gatepost, tmp_path: Path) -> None:
    """What was said on the command line is lost."""
    config = tmp_path / "gatepost.toml"
    ran = gatepost(
        *("init", "example.com", "--yes", "--json", "--config", config),
        *("--state", tmp_path / "data", "--hostname", "mx.example.com"),
        *("--listen", "0.0.0.0:2525", "--mail-server", "192.0.2.7:25"),
        *("--relay", "relay.example.net:587", "--company", "Exämple GmbH", "--key", "rsa3072"),
        *("--federation", "off"),
    )
    assert ran.code == 0
    assert ran.data["authority"]["name"].startswith("Exämple GmbH")
    settings = load(config, {})
    assert settings.gateway.hostname == "mx.example.com"
    assert str(settings.listener[0].bind) == "0.0.0.0:2525"
    assert settings.listener[0].trusts("192.0.2.7")
    assert not settings.listener[0].trusts("192.0.2.8")
    assert str(settings.next_hop.outbound) == "relay.example.net:587"
    assert settings.public.bind is None
    assert not settings.federation.discover


def test_nothing_is_written_twice(gatepost: Gatepost, home: Path) -> None:
    """A second run destroys the keys of the first."""
    before = {one: one.read_bytes() for one in home.rglob("*") if one.is_file()}
    ran = gatepost("init", "other.example", "--yes", "--config", home / "gatepost.toml")
    assert ran.code == 1
    assert f"exists   {home / 'vault.key'}" in ran.out
    assert before == {one: one.read_bytes() for one in home.rglob("*") if one.is_file()}
    data = gatepost(
        "init", "other.example", "--yes", "--json", "--config", home / "gatepost.toml"
    ).data
    assert str(home / "vault.key") in data["existing"]


def test_what_is_there_is_kept(gatepost: Gatepost, home: Path) -> None:
    """A lost configuration file costs the company its CA."""
    key = (home / "vault.key").read_bytes()
    before = gatepost("cert", "list", "--json").data
    (home / "gatepost.toml").unlink()
    ran = gatepost("init", "example.com", "--yes", "--config", home / "gatepost.toml")
    assert ran.code == 0
    assert "keep" in ran.out
    assert (home / "vault.key").read_bytes() == key
    assert before == gatepost("cert", "list", "--json").data


def test_a_directory_without_its_key_is_refused(gatepost: Gatepost, home: Path) -> None:
    """A new key is put beside a directory it cannot open."""
    (home / "gatepost.toml").unlink()
    (home / "vault.key").unlink()
    ran = gatepost("init", "example.com", "--yes", "--config", home / "gatepost.toml")
    assert ran.code == 1
    assert "bring the key back" in ran.out
    assert not (home / "vault.key").exists()


def test_a_failure_leaves_nothing(
    gatepost: Gatepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an installation stands in the way of the next attempt."""
    folder = tmp_path / "etc"

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gatepost.enrol.local.LocalAuthority.create", fail)
    ran = gatepost("init", "example.com", "--yes", "--config", folder / "gatepost.toml")
    assert ran.code == 2
    assert "No space left" in ran.err
    assert tree(tmp_path) == set()


def test_a_failure_keeps_what_was_there_before(
    gatepost: Gatepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tidying up removes somebody else's files."""
    (tmp_path / "gatepost-state").mkdir()
    (tmp_path / "gatepost-state" / "precious").write_text("mine")
    monkeypatch.setattr("gatepost.admin.setup.work.POLICY", "nonsense = [")
    monkeypatch.setattr(
        "gatepost.admin.setup.work._directory", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O"))
    )
    before = tree(tmp_path)
    assert gatepost("init", "example.com", "-y", "-c", tmp_path / "gatepost.toml").code == 2
    assert before == tree(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("localhost",), "not a whole domain name"),
        (("alice@example.com",), "without local part"),
        (("exa mple.com",), "expected a domain name"),
        (("example.com", "--listen", "nowhere"), 'expected "host:port"'),
        (("example.com", "--relay", "127.0.0.1:10025"), "mail would loop"),
        (("example.com", "--hostname", "not a name"), "--hostname"),
        (("example.com", "--config", "/etc/hostname/gatepost.toml"), "nothing can be written"),
    ],
)
def test_bad_values_are_refused_before_anything(
    gatepost: Gatepost, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    """A typing error is found after keys were made."""
    place = () if "--config" in arguments else ("--config", tmp_path / "gatepost.toml")
    ran = gatepost("init", *arguments, "--yes", *place)
    assert ran.code == 2
    assert expected in ran.err
    assert tree(tmp_path) == set()


def test_no_terminal_no_consent(gatepost: Gatepost, tmp_path: Path) -> None:
    """A script writes keys nobody asked for."""
    ran = gatepost("init", "example.com", "--config", tmp_path / "gatepost.toml", "--json")
    assert ran.code == 2
    assert "--yes" in ran.data["hint"]
    assert tree(tmp_path) == set()


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"y\n", 0)])
def test_the_dialogue_asks_before_it_writes(tmp_path: Path, answer: bytes, code: int) -> None:
    """Answers are not taken, or 'no' means yes."""
    controller, terminal = pty.openpty()
    command = (sys.executable, "-m", "gatepost", "init", "example.com")
    process = subprocess.Popen(
        [*command, "--config", str(tmp_path / "gatepost.toml")],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(terminal)
    os.write(controller, b"mx.example.com\n" + b"\n" * 8 + answer)
    out, _ = process.communicate(timeout=60)
    os.close(controller)
    assert process.returncode == code, out.decode()
    assert (tmp_path / "gatepost.toml").exists() is (code == 0)
    if code == 0:
        assert load(tmp_path / "gatepost.toml", {}).gateway.hostname == "mx.example.com"
    else:
        assert tree(tmp_path) == set()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--listen", "25", 'expected "host:port"'),
        ("--mail-server", "::1", "in brackets"),
        ("--relay", "mx.example.net:99999", 'expected "host:port"'),
        ("--hostname", "no name", "expected a domain name"),
        ("--federation", "80", 'expected "host:port"'),
    ],
)
def test_a_wrong_option_is_named(
    gatepost: Gatepost, tmp_path: Path, option: str, value: str, expected: str
) -> None:
    """The complaint is about a line of a file that does not exist yet."""
    config = tmp_path / "gatepost.toml"
    ran = gatepost("init", "example.com", "--yes", "--config", config, option, value)
    assert ran.code == 2
    assert f"{option} {value}: " in ran.err
    assert expected in ran.err
    assert not config.exists()
