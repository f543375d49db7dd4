"""The order of MX hosts and the domains that have none (RFC 5321 section 5.1, RFC 7505)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail.reply import Reply
from gatepost.route import mx
from gatepost.route.mx import Exchange

OURS = "gate.example.com"


def entropy(count: int) -> bytes:
    return bytes((255 - n) % 256 for n in range(count))  # the last of equals comes first


def hosts(*exchanges: tuple[int, str], domain: str = "partner.example") -> tuple[str, ...] | Reply:
    return mx.hosts(domain, [Exchange(*one) for one in exchanges], entropy, ours=OURS)


def test_by_preference_then_by_chance() -> None:
    """All mail hits one of two equal hosts, or the spare before the first."""
    found = hosts((20, "spare.example"), (10, "A.example."), (10, "b.example"))
    assert found == ("b.example", "a.example", "spare.example")
    equals = [Exchange(1, "a"), Exchange(1, "b")]
    draws = (bytes(4) + b"\xff" * 4, b"\xff" * 4 + bytes(4))
    every = {mx.hosts("x.example", equals, lambda _, draw=draw: draw, ours=OURS) for draw in draws}  # type: ignore[misc]  # a default binds the loop's value
    assert every == {("a", "b"), ("b", "a")}


def test_no_mx_is_the_domain_itself() -> None:
    """A domain with an address only gets no mail."""
    assert hosts() == ("partner.example",)


@pytest.mark.parametrize("exchanges", [((0, "."),), ((0, ""),), ((0, "."), (10, "."))])
def test_null_mx(exchanges: tuple[tuple[int, str], ...]) -> None:
    """Mail for a domain that takes none is tried for five days."""
    found = hosts(*exchanges)
    assert isinstance(found, Reply)
    assert (found.code, found.status) == (556, "5.1.10")


def test_null_mx_beside_others_is_ignored() -> None:
    """One wrong record turns a partner's mail away."""
    assert hosts((0, "."), (10, "mx.example")) == ("mx.example",)


def test_never_to_hosts_no_better_than_ourselves() -> None:
    """A backup MX hands mail to itself, or to a worse one, for ever."""
    assert hosts((10, "first.example"), (20, OURS.upper() + "."), (20, "equal.example"), (30, "worse.example")) == ("first.example",)  # fmt: skip
    for looping in (hosts((10, OURS), (20, "worse.example")), hosts(domain=OURS)):
        assert isinstance(looping, Reply)
        assert looping.status == "5.4.6"


def test_not_hundreds() -> None:
    """A hostile zone has us try a thousand hosts for one mail."""
    found = hosts(*((n, f"h{n}.example") for n in range(1000)))
    assert len(found) == mx.MAXIMUM_HOSTS  # type: ignore[arg-type]  # it is no Reply


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.sampled_from("abcdefgh")), max_size=90),
    st.binary(min_size=400, max_size=400),
)
def test_order_always_holds(exchanges: list[tuple[int, str]], octets: bytes) -> None:
    """Some draw of the lot puts a worse host first."""
    found = mx.hosts(
        "x.example", [Exchange(*one) for one in exchanges], lambda n: octets[:n], ours=OURS
    )
    assert not isinstance(found, Reply)
    best = [min(p for p, host in exchanges if host == name) for name in found if exchanges]
    assert best == sorted(best)


def test_address_kinds_take_turns() -> None:
    """Where IPv6 is broken, nobody gets to the IPv4 address within the attempt."""
    assert mx.addresses(["2001:db8::1", "2001:db8::2"], ["192.0.2.1"], entropy) == ("2001:db8::2", "192.0.2.1", "2001:db8::1")  # fmt: skip
    assert mx.addresses([], ["192.0.2.1", "192.0.2.2"], entropy) == ("192.0.2.2", "192.0.2.1")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "::ffff:127.0.0.1"],
)
def test_a_strangers_dns_does_not_point_at_ourselves(address: str) -> None:
    """Whoever owns a domain has us submit mail to our own server, which trusts us."""
    assert not mx.is_elsewhere(address)
    assert mx.is_elsewhere("10.1.2.3")


def test_literals() -> None:
    """Mail to an address literal is looked up as a name, or crashes the worker."""
    assert mx.literal("[192.0.2.1]") == "192.0.2.1"
    assert mx.literal("[IPv6:2001:DB8::1]") == "2001:db8::1"
    assert mx.literal("partner.example") is None
    for wrong in ("[999.1.1.1]", "[IPv6:xyz]", "[]"):
        with pytest.raises(ValueError):
            mx.literal(wrong)
