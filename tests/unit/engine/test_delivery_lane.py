"""One next hop's mail in memory."""

from datetime import datetime, timedelta

from tests.unit.store.box import START, envelope

from gatepost.engine.lane import FEW, Lane, Room
from gatepost.mail.content import Octets
from gatepost.mail.reply import Reply
from gatepost.store.queue_item import Item

DOWN = Reply(451, "4.4.1", "connection refused")


def item(number: int, size: int = 10) -> Item:
    return Item(
        number, f"A{number}", f"A{number}", "outbound", envelope(), Octets(bytes(size)), START, START, (None,)
    )  # fmt: skip


def lane(*numbers: int, capacity: int = 1000, octets: int = 10**6) -> Lane:
    made = Lane("outbound", 2, capacity, octets)
    made.fill([item(n) for n in numbers], more=False)
    return made


def take(one: Lane, now: datetime = START) -> list[int]:
    taken = []
    while (found := one.take(now)) is not None:
        taken.append(found.number)
    return taken


def test_in_order_and_so_many_at_a_time() -> None:
    """Mail leaves in the order it came, over no more connections than the hop was promised."""
    one = lane(1, 2, 3)
    assert take(one) == [1, 2]
    one.done()
    assert take(one) == [3]


def test_no_overtaking() -> None:
    """New mail does not overtake older mail that waits in the database."""
    one = Lane("outbound", 2, more=True)
    assert not one.put(item(9), START), "nobody has looked into the database yet"
    one.fill([item(1)], more=False)
    assert one.put(item(2), START)
    assert take(one) == [1, 2]


def test_memory_is_bounded() -> None:
    """A hop slower than its mail fills the disk, not the memory."""
    one = lane(capacity=4)
    assert [one.put(item(n), START) for n in range(6)] == [True] * 4 + [False] * 2
    assert one.more
    assert one.wants(START) == 0
    assert take(one) == [0, 1]
    assert one.wants(START) == 0
    one.done()
    assert take(one) == [2]
    assert one.wants(START) == 2
    large = lane(octets=1000)
    assert [large.put(item(n, 600), START) for n in range(3)] == [True, True, False]


def test_down_and_up_again() -> None:
    """A hop that is down gets one mail now and then, not everything at once."""
    one = lane(1, 2, 3, 4)
    assert take(one) == [1, 2]
    assert [i.number for i in one.unreached(DOWN, START)] == [3, 4]
    assert one.unreached(DOWN, START) == ()
    assert one.failures == 1, "two mails in flight are one failure"
    one.done()
    one.done()
    assert one.is_down(START)
    assert one.wants(START) == 0
    assert not one.put(item(5), START)
    later = START + timedelta(seconds=20)
    assert one.wants(later) == 1
    one.fill([item(1)], more=True)
    assert one.wants(later) == 0
    assert take(one, later) == [1]
    assert one.wants(later) == 0
    one.reached()
    one.done()
    assert one.wants(later) == 500


def test_pauses_grow_to_five_minutes() -> None:
    """The hop's own server is found again within minutes, however long it was away."""
    one, now = lane(), START
    pauses = []
    for _ in range(12):
        one.unreached(DOWN, now)
        assert one.closed_until is not None
        pauses.append(one.closed_until - now)
        now = one.closed_until
    assert pauses[0] < timedelta(seconds=12)
    assert timedelta(minutes=4) < pauses[-1] < timedelta(minutes=6)


def test_nudge() -> None:
    """When the administrator says "now", a hop that is down is tried now, still with one mail."""
    one = lane()
    one.unreached(DOWN, START)
    one.nudge()
    assert one.wants(START) == 1


def test_taken_by_others() -> None:
    """A mail somebody deleted or held leaves the lane, the others stay in order."""
    one = lane(1, 2, 3, 4)
    assert [i.number for i in one.drop({2, 3, 77})] == [2, 3]
    assert take(one) == [1, 4]


def test_a_new_hop_gets_little_first() -> None:
    """Twenty connections at once to a server that nobody knows look like an attack."""
    one = Lane("mx:beta.test", 4, opening=1)
    one.fill([item(n) for n in range(10)], more=False)
    assert take(one) == [0]
    for expected in ([1, 2], [3, 4], [5, 6], [7]):
        one.done()
        one.reached()
        assert take(one) == expected
    for _ in range(4):
        one.done()
    one.unreached(DOWN, START)
    one.fill([item(n) for n in range(10)], more=False)
    later = START + timedelta(minutes=10)
    assert take(one, later) == [0]
    one.done()
    one.reached()
    assert len(take(one, later)) == 2


def full(room: Room) -> bool:
    return room.is_full


def idle(one: Lane) -> bool:
    return one.is_idle


def test_lanes_share_the_memory() -> None:
    """Ten thousand hops of a thousand mails each; each lane alone was within its bounds."""
    room = Room(items=5, octets=1000)
    lanes = [Lane(f"mx:d{n}.test", 2, room=room) for n in range(4)]
    lanes[0].fill([item(n) for n in range(4)], more=True)
    assert lanes[1].put(item(9), START)
    assert full(room)
    assert not lanes[2].put(item(9), START), "it waits in the database"
    assert lanes[2].more
    assert [one.wants(START) for one in lanes] == [0, 0, FEW, FEW], "yet nobody starves"
    assert take(lanes[0]) == [0, 1]
    assert not full(room)
    assert lanes[3].put(item(9, 990), START)
    assert full(room)
    lanes[3].drop({9})
    lanes[1].empty()
    lanes[0].unreached(DOWN, START)
    assert (room.held, room.held_octets) == (0, 0)


def test_nothing_to_remember() -> None:
    """A lane is kept for every domain that ever got mail."""
    one = Lane("mx:beta.test", 2)
    assert idle(one)
    one.fill([item(1)], more=False)
    assert not idle(one)
    take(one)
    assert not idle(one)
    one.done()
    assert idle(one)
    one.unreached(DOWN, START)
    assert not idle(one), "that it is down must be remembered"
