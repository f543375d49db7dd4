"""Sub-keys: who has one, and how they follow a key that changes."""

from collections.abc import Callable

import pytest

from gatepost.errors import KeyUnavailable
from gatepost.vault.kek import Kek, KekSource, Watch
from gatepost.vault.mac import Mac, purpose_of
from gatepost.vault.seal import Sealer
from gatepost.vault.subkey import Drawn, Subkey, draw

OLD, NEW = Kek(bytes(range(32))), Kek(bytes(range(1, 33)))
BOTH = Kek(NEW.key, (OLD.key,))


def source(*given: Kek) -> Callable[[], Subkey]:
    """Each time the next key; at the last it stays."""
    left = list(given)
    return Drawn(lambda: left.pop(0) if len(left) > 1 else left[0], "test")


def test_purposes_are_strangers() -> None:
    """A worker that may unseal queued mail could open private keys."""
    queue, keys = draw(OLD, "queue"), draw(OLD, "private-key")
    assert queue.key != keys.key != OLD.key
    assert queue.id == keys.id == OLD.id
    assert queue.key.hex() not in repr(queue)
    assert draw(OLD, purpose_of("queue")).key != queue.key


def test_whoever_has_the_sub_key_has_the_seal() -> None:
    """A worker that was only lent a sub-key could not read what another sealed."""
    lent = draw(OLD, "test")
    box = Sealer(OLD, "test").seal(b"mail", b"aad")
    assert Sealer(lambda: lent, "test").unseal(box, b"aad") == b"mail"
    code = draw(OLD, purpose_of("trace"))
    assert Mac(lambda: code, "trace")(b"x") == Mac(OLD, "trace")(b"x")


def test_a_change_is_followed() -> None:
    """After a rotation a running gateway would call its own mail unreadable."""
    box = Sealer(NEW, "test").seal(b"new")
    sealer = Sealer(source(OLD, BOTH), "test")
    old = sealer.seal(b"old")
    assert sealer.unseal(box) == b"new"  # a key it has not met makes it look
    assert sealer.unseal(old) == b"old"
    assert Sealer(OLD, "test").unseal(old) == b"old"
    with pytest.raises(KeyUnavailable, match=NEW.id.hex()):
        Sealer(OLD, "test").unseal(sealer.seal(b"x"))


def test_a_key_that_is_not_there_yet() -> None:
    """A gateway that starts before its vault is unlocked would never notice the unlocking."""
    answers: list[Kek | None] = [None, OLD]

    def read() -> Kek:
        if (found := answers.pop(0)) is None:
            raise KeyUnavailable("locked")
        return found

    sealer = Sealer(Drawn(Watch(KekSource("environment", "X"), read, lambda: 0.0), "test"), "test")
    with pytest.raises(KeyUnavailable, match="locked"):
        sealer.seal(b"x")
    assert sealer.unseal(sealer.seal(b"x")) == b"x"
    assert not answers
