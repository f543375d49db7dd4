"""Which next hop a message takes."""

import pytest
from tests.conftest import ROOT

from gatepost.config import parse
from gatepost.engine.routing import MAXIMUM_COPIES, Routes
from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope, Recipient
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


def recipients(*addresses: str) -> Envelope:
    return Envelope(None, tuple(Recipient(Mailbox.parse(one)) for one in addresses))


def test_each_domain_has_a_hop_of_its_own() -> None:
    """One domain that is down delays everybody's mail."""
    found = routes("both", inbound=INWARDS, outbound="mx")
    mail = recipients("a@x.example", "b@Y.example", "c@y.example", "d@partner.example")
    divided = found.divide(Direction.OUTBOUND, mail, 1000)
    assert {name: [str(one) for one in part.recipients] for name, part in divided.items()} == {
        "mx:x.example": ["a@x.example"],
        "mx:y.example": ["b@Y.example", "c@y.example"],
        "partner.example": ["d@partner.example"],
    }
    assert (found.hop("mx:x.example").mx, found.hop("mx:x.example").host) == (True, "x.example")
    assert not found.hop("partner.example").mx
    assert found.back(Mailbox.parse("eve@other.example")) == "mx:other.example"
    assert found.back(Mailbox.parse("alice@example.com")) == "inbound"


def test_what_waits_when_the_way_out_changes() -> None:
    """Mail in the queue is lost from sight when a smart host becomes MX, or the other way."""
    direct, smart = routes("outbound", outbound="mx"), routes("outbound", outbound=OUTWARDS)
    assert (direct.hop("outbound").mx, direct.hop("outbound").host) == (True, "")
    assert smart.hop("mx:x.example").port == 10027


def test_a_large_mail_to_many_domains_is_stored_few_times() -> None:
    """One mail with an attachment to a thousand domains fills the disk."""
    found = routes("outbound", outbound="mx")
    mail = recipients(*(f"a@d{n}.example" for n in range(100)))
    divided = found.divide(Direction.OUTBOUND, mail, 50 * 1024 * 1024)
    assert len(divided) == MAXIMUM_COPIES // (50 * 1024 * 1024)
    assert sum(len(one.recipients) for one in divided.values()) == 100
    assert found.hop("outbound").mx
    assert len(found.divide(Direction.OUTBOUND, mail, 1000)) == 100
    assert list(found.divide(Direction.OUTBOUND, mail, MAXIMUM_COPIES)) == ["outbound"]
