"""Which next hop a message takes."""

import pytest
from tests.conftest import ROOT

from gatepost.config import parse
from gatepost.engine.routing import Routes
from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox
from gatepost.mail.message import Direction

INWARDS, OUTWARDS = "127.0.0.1:10026", "127.0.0.1:10027"


def routes(direction: str, **hops: str) -> Routes:
    """The hops of a gateway with one listener."""
    listed = "\n".join(f'{name} = "{hop}"' for name, hop in hops.items())
    text = f"""
[gateway]
hostname = "gw.example.com"
domains = ["example.com"]
[[listener]]
bind = "127.0.0.1:0"
direction = "{direction}"
[next_hop]
{listed}
[[route]]
domain = "partner.example"
host = "mx.partner.example"
tls = "verified"
[vault]
key_environment = "KEY"
"""
    return Routes(parse(text, ROOT / "gatepost.toml"))


def test_arriving_mail_never_leaves() -> None:
    """Opened mail that still waits would go out to the world once its hop is not configured."""
    with pytest.raises(Unavailable, match="inbound"):
        routes("outbound", outbound=OUTWARDS).hop("inbound")


def test_domains_called_like_directions() -> None:
    """Mail to user@inbound would be handed to our own server as if it had arrived."""
    found = routes("both", inbound=INWARDS, outbound=OUTWARDS)
    assert found.name(Direction.OUTBOUND, Mailbox.parse("x@inbound")) == "outbound"


@pytest.mark.parametrize(
    ("direction", "hops", "address", "hop"),
    [
        ("both", {"inbound": INWARDS, "outbound": OUTWARDS}, "alice@example.com", INWARDS),
        ("both", {"inbound": INWARDS, "outbound": OUTWARDS}, "eve@other.example", OUTWARDS),
        ("outbound", {"outbound": OUTWARDS}, "alice@EXAMPLE.com", OUTWARDS),
        ("inbound", {"inbound": INWARDS}, "eve@other.example", INWARDS),
    ],
)
def test_notices_find_a_way(direction: str, hops: dict[str, str], address: str, hop: str) -> None:
    """The failure of a mail would be tried for five days with nobody told."""
    found = routes(direction, **hops)
    reached = found.hop(found.back(Mailbox.parse(address)))
    assert f"{reached.host}:{reached.port}" == hop


def test_notices_take_the_partners_route() -> None:
    """What is said about a partner's mail would pass where TLS is not demanded."""
    found = routes("both", inbound=INWARDS, outbound=OUTWARDS)
    assert found.hop(found.back(Mailbox.parse("bob@partner.example"))).tls == "verified"
