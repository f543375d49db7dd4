"""The tables that say whose certificates come from where."""

from __future__ import annotations

import pytest

from gatepost.config import Settings
from gatepost.config.load import parse
from gatepost.errors import ConfigError

BASE = """
[gateway]
hostname = "gw.example.com"
domains = ["example.com"]
[vault]
key_environment = "K"
[[listener]]
bind = "127.0.0.1:10025"
direction = "outbound"
[next_hop]
outbound = "127.0.0.1:10026"
"""
SOURCE = '[[certificate_source]]\nname = "ca"\nkind = "managed"\noptions.project = 7\n'


def read(text: str) -> Settings:
    return parse(BASE + text)


def test_rules_and_sources() -> None:
    """People listed for the outside authority would get certificates of the embedded one."""
    found = read(
        SOURCE
        + '[[identity]]\naddresses = ["Info@EXAMPLE.com", "@example.com"]\nsource = "ca"\n'
        + 'keys = "separate"\nissue = "at-once"\n[[identity]]\n'
    )
    first, rest = found.identity
    assert first.addresses == ("Info@example.com", "@example.com")
    assert (first.source, rest.source, rest.issue) == ("ca", "local", "first-mail")
    assert (first.is_for_all, rest.is_for_all) == (False, True)
    assert found.certificate_source[0].options == {"project": 7}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[identity]]\nsource = "other"', "no [[certificate_source]] is called 'other'"),
        ('[[identity]]\naddresses = ["alice"]', "expected an address"),
        ('[[identity]]\npatterns = ["sales"]', "expected a pattern"),
        ('[[identity]]\npatterns = ["*a*b*c*@d"]', "expected a pattern"),
        ('[[identity]]\nissue = "at-once"', "who else is there?"),
        ('[[identity]]\nkey_type = "p256"', "[authority] user_key"),
        (SOURCE + SOURCE, "two are called 'ca'"),
        (SOURCE.replace('"ca"', '"local"'), "is the embedded CA"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    """Nobody would get a certificate, and nobody know why."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert said in str(caught.value)
