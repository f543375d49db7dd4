"""Settings answer what the engine asks of them."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config import Endpoint, Listener, schema
from gatepost.config.endpoint import split_port
from gatepost.config.load import parse
from gatepost.config.quantity import domain, duration, octets
from gatepost.errors import ConfigError


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_only_trusted_networks_are_trusted(peer: str, expected: bool) -> None:
    """A stranger relays mail through the gateway, or our own server is refused."""
    listener = Listener(bind=Endpoint("127.0.0.1", 10025), direction="outbound")
    assert listener.trusts(peer) is expected


def test_directions() -> None:
    """A listener for our people takes the world's mail."""
    both = Listener(bind=Endpoint("::1", 25), direction="both")
    assert (both.inbound, both.outbound, str(both.bind)) == (True, True, "[::1]:25")
    assert not Listener(bind=Endpoint("::1", 25), direction="outbound").inbound
    assert not Listener(bind=Endpoint("::1", 25), direction="inbound").outbound


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("5d", timedelta(days=5)),
        ("2 h", timedelta(hours=2)),
        (90, timedelta(seconds=90)),
        (1.5, timedelta(seconds=1.5)),
    ],
)
def test_durations(text: object, expected: timedelta) -> None:
    """Five days are taken for five seconds."""
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 x", "-5s", "s", "1e9s", "999999999999d", True, None])
def test_what_is_no_duration(text: object) -> None:
    """A typing error becomes some other duration."""
    with pytest.raises(ValueError, match="expected a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"), [(7, 7), ("7", 7), ("25MiB", 26214400), ("25 MB", 25000000)]
)
def test_sizes(text: object, expected: int) -> None:
    """Mail is refused at another size than the one written."""
    assert octets(text) == expected


@pytest.mark.parametrize("text", ["mib", "25mb!", "1.5GiB", True, [], -0.5])
def test_what_is_no_size(text: object) -> None:
    """A typing error becomes some other size."""
    with pytest.raises(ValueError, match="expected a size"):
        octets(text)


@given(st.text(max_size=300))
def test_domain_gives_a_domain_or_complains(text: str) -> None:
    """Strange text in the file ends in a traceback, or in a header."""
    try:
        found = domain(text)
    except ValueError:
        return
    assert found.isascii()
    assert found == found.lower()
    assert not set(found) & set(" \r\n\t@:<>()\"'")


@given(st.text(max_size=80))
def test_split_port_gives_both_or_complains(text: str) -> None:
    """Strange text for an address ends in a traceback."""
    try:
        host, port = split_port(text)
    except ValueError:
        return
    assert host
    assert 0 < port < 65536


def test_the_schema_documents_every_key() -> None:
    """An editor cannot help with the file."""
    made = schema()
    undocumented = [
        f"{name}.{key}"
        for name, table in made["$defs"].items()
        for key, value in table["properties"].items()
        if "description" not in value and name not in {"Endpoint", "Route"}
    ]
    assert undocumented == []
    assert made["additionalProperties"] is False


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('tls = "off"', 'tls = "implicit"', "certificate and key"),
        ('tls = "off"', "authentication = true", "no [[account]]"),
        ('tls = "off"', 'trusted_certificates = ["a.example"]', "needs tls"),
        ('tls = "off"', 'protocol = "lmtp"', "port 25"),
        ("port = 26", 'port = 26\nusername = "a"', "username needs one of"),
        ("port = 26", 'port = 26\npassword_file = "x"', "needs a username"),
        ("port = 26", 'port = 26\ntls = "none"\nimplicit_tls = true', "contradicts"),
    ],
)
def test_what_does_not_go_together(old: str, new: str, said: str) -> None:
    """A listener that could not work, or a password sent to nobody, is found at the first mail."""
    text = _WHOLE.replace(old, new)
    assert text != _WHOLE
    with pytest.raises(ConfigError) as raised:
        parse(text, Path("gatepost.toml"))
    assert said in str(raised.value)


_WHOLE = """
[gateway]
hostname = "gw.example"
domains = ["example.com"]
[[listener]]
bind = "127.0.0.1:25"
direction = "outbound"
tls = "off"
[next_hop.outbound]
host = "mx.example"
port = 26
[vault]
key_file = "kek"
"""


@pytest.mark.parametrize(
    ("hop", "told"),
    [
        ('outbound = "mx"', ""),
        ('outbound = { mx = true, tls = "mta-sts", port = 2525 }', ""),
        ('outbound = { host = "smart.example", tls = "dane" }', ""),
        ("outbound = { port = 25 }", "expected a host, or mx = true"),
        ('outbound = { host = "smart.example", mx = true }', "expected a host, or mx = true"),
        ("outbound = { mx = true, implicit_tls = true }", "need a host"),
        ('outbound = { host = "smart.example", tls = "mta-sts" }', "is for MX hosts"),
        ('outbound = "mx"\ninbound = "mx"', "name the mail server"),
    ],
)
def test_mx_hops(hop: str, told: str) -> None:
    """A password goes to strangers' servers, or arriving mail out into the world."""
    text = f"""
[gateway]
hostname = "gw.example.com"
domains = ["example.com"]
[[listener]]
bind = "127.0.0.1:0"
direction = "outbound"
[vault]
key_environment = "KEY"
[next_hop]
{hop}
"""
    if not told:
        assert parse(text, Path("gatepost.toml")).asks_dns
        return
    with pytest.raises(ConfigError, match=told):
        parse(text, Path("gatepost.toml"))
