"""The configuration file: what is read, and how faults are named."""

from datetime import timedelta
from pathlib import Path

import pytest

from gatepost.config import find, load, parse
from gatepost.errors import ConfigError

GOOD = """\
# A comment
[gateway]
hostname = "gate.example.com"
domains = [
    "Example.com",  # ours
    "bücher.example",
]
state = "state"

[[listener]]
bind = "127.0.0.1:10025"
direction = "both"

[next_hop]
inbound = "127.0.0.1:10026"
outbound = { host = "mx.example", port = 25, tls = "verified" }

[[route]]
domain = "partner.example"
host = "mx.partner.example"

[vault]
key_file = "kek"
"""


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


def test_an_empty_file() -> None:
    """The complaint points at a line where nothing stands."""
    assert complaint("").splitlines()[0] == "gatepost.toml: gateway: is missing"


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    """A new installation does not start with the file `init` wrote."""
    (tmp_path / "gatepost.toml").write_text(GOOD)
    settings = load(tmp_path / "gatepost.toml", {})
    assert settings.gateway.domains == ("example.com", "xn--bcher-kva.example")
    assert settings.gateway.state == tmp_path / "state"
    assert settings.vault.key_file == tmp_path / "kek"
    assert settings.gateway.postmaster_address == "postmaster@example.com"
    assert str(settings.listener[0].bind) == "127.0.0.1:10025"
    assert settings.next_hop.outbound is not None
    assert settings.next_hop.outbound.tls == "verified"
    assert settings.route[0].port == 25
    assert settings.queue.maximum_age == timedelta(days=5)
    assert settings.limits.message_size == 100 * 1024 * 1024


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("hostname", "hostnam", "line 3, gateway.hostnam: unknown key; did you mean hostname?"),
        ("key_file", "keyfile", "line 23, vault.keyfile: unknown key; did you mean key_file?"),
        ("[vault]", "[vautl]", "line 22, vautl: unknown key; did you mean vault?"),
        ("state =", "level =", "line 8, gateway.level: unknown key; level belongs in [log]"),
        ('"both"', '"out"', "listener[1].direction: expected 'outbound', 'inbound' or 'both'"),
        (":10026", ":99999", 'line 15, next_hop.inbound: expected "host:port"'),
        ('"verified"', '"yes"', "line 16, next_hop.outbound.tls: expected 'none'"),
        ("port = 25", "port = 0", "line 16, next_hop.outbound.port: expected at least 1"),
        ("Example.com", "a@example.com", "line 4, gateway.domains[1]: expected a domain name wit"),
        ("Example.com", "exa mple", "line 4, gateway.domains[1]: expected a domain name such"),
        ("direction =", "direction", "line 12: not TOML: "),
        ("[vault]", "a = " + "[" * 5000 + "\n[vault]", "not TOML: "),
        ("[vault]", "a." * 20 + "a = 1\n[vault]", "line 22: a key has too many parts"),
        ("10025", "10026", ", next_hop.inbound: 127.0.0.1:10026 is this gateway's own"),
        ("127.0.0.1:10025", "::1:25", 'write the IPv6 address in brackets: "[::1]:25"'),
        (
            'direction = "both"',
            'direction = "both"\ntls = "offer"',
            "gatepost.toml: tls: is missing, a listener uses STARTTLS",
        ),
        (
            'inbound = "127.0.0.1:10026"',
            "",
            "line 14, next_hop.inbound: is missing, a listener takes inbound mail",
        ),
        ('key_file = "kek"', "", "vault: expected exactly one of key_file"),
        ("[[listener]]", "[listener]", "line 10, listener: expected a list"),
        ('domain = "partner', 'domains = "partner', "did you mean domain?"),
        ("[vault]", '[limits]\nmessage_size = "9 parsecs"\n[vault]', "limits.message_size: exp"),
        ("[vault]", "[limits]\nrecipients = 5\n[vault]", "expected at least 100, found 5"),
        ("[vault]", '[queue]\nretry_first = "2h"\n[vault]', "retry_first is longer than"),
        ("[vault]", "[queue]\nmaximum_age = -1\n[vault]", "queue.maximum_age: must not be negat"),
        (
            'direction = "both"',
            'direction = "both"\ntrusted = ["10.0.0.1/8"]',
            "perhaps 10.0.0.0/8",
        ),
        ('direction = "both"', 'direction = "both"\ntrusted = [10]', "trusted[1]: expected a netw"),
        ('direction = "both"', 'direction = "both"\ntls = true', ", found true"),
        ('"127.0.0.1:10025"', "10025", 'listener[1].bind: expected "host:port"'),
        ('"127.0.0.1:10025"', '"0.0.0.0:10026"', "own listener, mail would loop"),
        ("[[listener]]", "[[listner]]", "line 10, listner: unknown key; did you mean listener?"),
        ("[vault]", "[queue]\nmaximum_age = true\n[vault]", "expected a duration such as"),
    ],
)
def test_a_fault_is_named_with_line_and_key(old: str, new: str, expected: str) -> None:
    """An administrator stares at a file that is 'invalid' without being told where."""
    assert old in GOOD
    found = complaint(GOOD.replace(old, new, 1))
    assert expected in found
    assert found.startswith("gatepost.toml")
    assert "Traceback" not in found


def test_one_mistake_gives_one_complaint() -> None:
    """A misspelt key is drowned in complaints about its consequences."""
    for old, new in (("hostname", "hostnam"), ("[vault]", "[vautl]"), ('"both"', '"out"')):
        assert len(complaint(GOOD.replace(old, new, 1)).split("\n")) == 1


def test_every_mistake_is_told_at_once() -> None:
    """Faults come to light one restart at a time."""
    text = GOOD.replace('"both"', '"out"').replace("port = 25", "port = 0")
    assert [
        one.split("gatepost.toml ")[1].split(",")[0] for one in complaint(text).split("\n")
    ] == ["line 12", "line 16"]


@pytest.mark.parametrize("text", ["", "\x00", "a = [", "[[[", '"' * 5, "= 1", "gateway = 3"])
def test_rubbish_is_a_complaint(text: str) -> None:
    """A wrong file ends in a traceback."""
    assert complaint(text)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A wrong path ends in a traceback."""
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(ConfigError, match="line 2 is not UTF-8"):
        load(tmp_path / "latin.toml", {})
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, {})
    (tmp_path / "huge.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ConfigError, match="larger than"):
        load(tmp_path / "huge.toml", {})


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    """A container cannot say where its volume is without editing the file."""
    (tmp_path / "gatepost.toml").write_text(GOOD)
    settings = load(
        tmp_path / "gatepost.toml",
        {"GATEPOST_STATE": "/srv/state", "GATEPOST_WORKERS": "4", "GATEPOST_LOG_FORMAT": "json"},
    )
    assert settings.gateway.state == Path("/srv/state")
    assert settings.gateway.workers == 4
    assert settings.log.format == "json"


def test_find_prefers_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong file of several is used."""
    monkeypatch.chdir(tmp_path)
    assert find({"GATEPOST_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
    (tmp_path / "gatepost.toml").write_text(GOOD)
    assert find({}) == Path("gatepost.toml")
