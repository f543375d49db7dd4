"""Generated configuration: the right values, nothing left open, an undo for everything."""

import re
from pathlib import Path

import pytest

from gatepost.admin.integrate import TOPOLOGIES, integrate
from gatepost.admin.integrate.file import filled, powershell, word
from gatepost.errors import ConfigError

CONFIGURATION = """
[gateway]
hostname = "gate.alpha.example"
domains = ["alpha.example", "münchen.example"]
[[listener]]
bind = "0.0.0.0:25"
direction = "both"
[vault]
key_environment = "KEY"
[next_hop]
inbound = "127.0.0.1:10026"
outbound = "{relay}"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gatepost.toml"
    path.write_text(CONFIGURATION.format(relay="127.0.0.1:10026"))
    return path


@pytest.mark.parametrize("topology", ["after-queue", "parallel"])
def test_microsoft(config: Path, topology: str) -> None:
    """A placeholder reaches Exchange, or a rule stays behind when the gateway is gone."""
    connect, undo, steps = integrate(config, "m365", topology, None).files
    for one in (connect, undo, steps):
        assert not re.search(r"@[a-z_]+@|\{\w+\}|None", one.text)
    for one in (connect, undo):
        _assert_balanced(one.text)
    made = set(re.findall(r"(?m)^Ensure '(\w+)' ('[^']+')", connect.text))
    assert len(made) == 5
    assert made == set(re.findall(r"(?m)^Drop '(\w+)' ('[^']+')", undo.text))
    kinds = re.findall(r"(?m)^Drop '(\w+)'", undo.text)
    assert kinds == sorted(kinds, key=lambda kind: kind != "TransportRule")
    assert "SmartHosts = @('gate.alpha.example')" in connect.text
    assert "@('alpha.example', 'xn--mnchen-3ya.example')" in connect.text
    # Every rule that routes leaves alone what has passed the gateway.
    routing = [one for one in connect.text.split("Ensure ") if "RouteMessageOutbound" in one]
    assert len(routing) == 2
    for rule in routing:
        assert "ExceptIfHeaderMatchesMessageHeader = 'X-Gatepost-Trace'" in rule
    assert ("pkcs7" in connect.text) is (topology == "parallel")


@pytest.mark.parametrize("topology", ["after-queue", "parallel"])
def test_google(config: Path, topology: str) -> None:
    """A regular expression for another domain matches nobody's mail."""
    (steps,) = integrate(config, "google", topology, None).files
    assert not re.search(r"@[a-z_]+@|\{\w+\}|None", steps.text)
    assert r"(?i)@(alpha\.example|xn--mnchen-3ya\.example)\b" in steps.text
    assert steps.text.count("(?im)^X-Gatepost-Trace:") == 2
    assert "gate.alpha.example" in steps.text
    assert ("pkcs7" in steps.text) is (topology == "parallel")


@pytest.mark.parametrize("target", ["postfix", "exim"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_mail_servers(config: Path, target: str, topology: str) -> None:
    """A wildcard address is written where a client needs one to connect to."""
    made = integrate(config, target, topology, None)  # type: ignore[arg-type]  # both are targets
    text = "".join(one.text for one in made.files)
    assert "0.0.0.0:25" not in text
    assert not re.search(r"@[a-z_]+@", text)
    assert "127.0.0.1" in text


def test_a_filter_hands_back_to_one_place(config: Path) -> None:
    """Half of the mail comes back to where nobody listens."""
    for relay in ("192.0.2.1:25", "mx"):
        config.write_text(CONFIGURATION.format(relay=relay))
        with pytest.raises(ConfigError, match="hands all mail back to the same place"):
            integrate(config, "postfix", "after-queue", None)
        assert integrate(config, "postfix", "smart-host", None).files


@pytest.mark.parametrize("topology", ["mx", "before-queue"])
def test_what_a_cloud_cannot_do(config: Path, topology: str) -> None:
    """Steps for a place in the way that does not exist."""
    with pytest.raises(ConfigError, match="cannot be used as"):
        integrate(config, "m365", topology, None)
    with pytest.raises(ConfigError, match="cannot be used as"):
        integrate(config, "google", topology, None)


def test_nothing_is_overwritten(config: Path, tmp_path: Path) -> None:
    """What the administrator changed by hand is gone."""
    folder = tmp_path / "made"
    made = integrate(config, "exim", "mx", folder)
    assert integrate(config, "exim", "mx", folder).written == made.written
    made.written[0].write_text("changed")
    with pytest.raises(ConfigError, match="exists and differs"):
        integrate(config, "exim", "mx", folder)
    assert made.written[0].read_text() == "changed"


def test_values_stay_values() -> None:
    """A name with a quote becomes a command."""
    assert powershell("a'; Remove-Mailbox") == "'a''; Remove-Mailbox'"
    assert powershell("a\u2019b") == "'a\u2019\u2019b'"
    for bad in ("a b", "a;b", "$(id)", "a\nb", "{", ""):
        with pytest.raises(ConfigError):
            word(bad)
    with pytest.raises(KeyError):
        filled("undo.ps1", {})


def _assert_balanced(script: str) -> None:
    """Quotes, brackets and braces close, comments aside."""
    code = re.sub(r"(?m)#.*$", "", script)
    code = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "", code)
    assert not set("'\"") & set(code)
    for opening, closing in ("()", "{}", "[]"):
        assert code.count(opening) == code.count(closing)
