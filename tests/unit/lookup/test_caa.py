"""Who may certify our mailboxes, by the DNS (RFC 8659, RFC 9495)."""

import pytest
from tests.unit.lookup.zone import SERVFAIL, Table, resolver, serving

from gatepost.lookup.caa import Permission, permission
from gatepost.lookup.resolver import NameServiceFailed

ONLY = '0 issuemail "CA.example."'


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"example.com A": ["192.0.2.1"]}, Permission()),
        ({"example.com CAA": ['0 issue "web.example"']}, Permission("example.com")),
        (
            {"example.com CAA": [ONLY, '128 IssueMail "b.example; account=7"']},
            Permission("example.com", ("ca.example", "b.example")),
        ),
        ({"example.com CAA": ['0 issuemail ";"']}, Permission("example.com", ())),
        ({"com CAA": [ONLY]}, Permission("com", ("ca.example",))),
        (
            {"example.com CAA": ['0 iodef "mailto:x@example.com"'], "com CAA": [ONLY]},
            Permission("example.com"),
        ),
        (
            {"example.com CAA": ['128 strange "x"', '0 other "y"', '128 issue ";"']},
            Permission("example.com", None, ("strange",)),
        ),
        (
            {"example.com CAA": ["CNAME other.example."], "other.example CAA": [ONLY]},
            Permission("example.com", ("ca.example",)),
        ),
    ],
)
async def test_permission(table: Table, found: Permission) -> None:
    """An administrator looks for a fault in the DNS where there is none, or for none."""
    async with serving(table) as server:
        told = await permission(resolver(server), "example.com")
    assert told.place == found.place
    assert told.unknown == found.unknown
    assert (told.issuers is None) == (found.issuers is None)
    assert set(told.issuers or ()) == set(found.issuers or ())


async def test_unknown() -> None:
    """What the DNS would have said is taken for leave."""
    async with serving({"example.com CAA": SERVFAIL}) as server:
        with pytest.raises(NameServiceFailed):
            await permission(resolver(server), "example.com")


async def test_many_labels() -> None:
    """A name of a hundred labels asks a hundred questions."""
    async with serving({}) as server:
        assert await permission(resolver(server), "a." * 60 + "example.com") == Permission()
        assert len(server.asked) == 20


def test_lets() -> None:
    """A dot at the end, or a capital, forbids what is allowed."""
    some = Permission("example.com", ("ca.example",))
    assert some.lets(("x.example", "CA.Example."))
    assert not some.lets(("x.example",))
    assert not Permission("example.com", ()).lets(("",))
    assert Permission("example.com").lets(("x.example",))
