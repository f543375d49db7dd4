"""Two machines at one database: one dies, is cut off, or stands still; the other goes on.

The database's address is the bridge's, so pulling a cable parts a node from everybody.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.crash.load import Load, submitted, while_growing
from tests.crash.scale import FULL, scaled
from tests.crash.test_kill import ALICE, BOB, MANDATORY, UK, US
from tests.crash.wire import World
from tests.patience import PATIENCE, until
from tests.peers.gateway import Gateway, children
from tests.peers.lab import Lab
from tests.peers.network import Machine, Network
from tests.peers.postfix import free_port
from tests.peers.postgres import running

LEASE = scaled(6, 60, "lease")
BACKLOG = 150  # mails that the node has when it happens
SLOWNESS = 1.0 if FULL else 3.0  # seconds that the world takes for a mail
LONG = 60.0  # seconds that a node stands still in the full form
IN_FLIGHT = 20  # connections of one node to the next hop
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180 + 20 * LEASE)]


@dataclass
class Node:
    """A gateway on a machine of its own."""

    gateway: Gateway
    machine: Machine

    def processes(self) -> list[int]:
        """The supervisor and its workers."""
        assert self.gateway.process is not None
        pid = self.gateway.process.pid
        return [pid, *children(pid)]

    def signal(self, number: signal.Signals) -> None:
        """Send all of them a signal."""
        for pid in self.processes():
            os.kill(pid, number)


@dataclass
class Pair:
    """Two nodes of one gateway, and where their mail goes."""

    nodes: tuple[Node, Node]
    world: World


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    """Both up."""
    with Network() as network, running(network.here, free_port()) as server:
        machines = network.machine(), network.machine()
        with World(host=network.here) as world:
            first = lab.planned(US, free_port(), world.port)
            uk = lab.planned(UK, free_port(), free_port())
            first.trust(uk)
            first.policy(MANDATORY)
            uk.command("cert", "issue", BOB, "--kind", "encrypt")
            uk.command("cert", "export", BOB, "--output", str(first.folder / "bob.pem"))
            first.command("cert", "import", str(first.folder / "bob.pem"))
            database = f'[database]\naddress = "{server.fresh().url}"\nlease = "{LEASE}s"\n'
            first.edit(
                {
                    "[vault]": f'[queue]\nretry_first = "2s"\n{database}\n[vault]',
                    'trusted = ["127.0.0.0/8"': f'trusted = ["{network.block}"',
                    f'host = "127.0.0.1", port = {world.port}': (
                        f'host = "{network.here}", port = {world.port}'
                    ),
                }
            )
            first.command("database", "fill")
            both = first, lab.twin(first)
            nodes = []
            for gateway, machine in zip(both, machines, strict=True):
                place = f"127.0.0.1:{gateway.port}"
                gateway.edit({f'bind = "{place}"': f'bind = "{machine.address}:{gateway.port}"'})
                gateway.wrapper = machine.wrapper
                gateway.start()
                nodes.append(Node(gateway, machine))
            yield Pair((nodes[0], nodes[1]), world)
            for node in nodes:
                node.machine.join()
                if node.gateway.alive:
                    node.signal(signal.SIGCONT)
                node.gateway.stop()


def test_apart(pair: Pair) -> None:
    """A node's trouble would be its mail's: lost, late, or delivered by two at once."""
    for trouble in ("pause", "cut", "kill"):
        endure(pair, trouble)
    if FULL:
        leave(pair)
    assert pair.world.clear == 0


def leave(pair: Pair) -> None:
    """A machine that is shut down while it is cut off must not hang on its database."""
    first, second = pair.nodes
    acknowledged = fill(pair, first)
    begin("cut", first)
    pair.world.delay = 0.0
    begun = time.monotonic()
    assert first.gateway.stop() == 0
    took = time.monotonic() - begun
    ids = pair.world.ids
    while_growing(lambda: len(ids), lambda: not acknowledged - ids.keys())
    until(second.gateway.queue_is_empty, max(60.0, PATIENCE))
    end("cut", first)
    figures = {"trouble": "stopped while cut off", "acknowledged": len(acknowledged)}
    figures |= {"lost": len(acknowledged - ids.keys()), "stopped after": round(took)}
    logging.getLogger(__name__).info("%s", figures)


def endure(pair: Pair, trouble: str) -> None:
    """One node has the trouble while it has mail; the other one takes over."""
    first, second = pair.nodes
    acknowledged = fill(pair, first)
    before = len(acknowledged & pair.world.ids.keys())
    begun = time.monotonic()
    begin(trouble, first)
    pair.world.delay = 0.0
    assert send(second) == 250
    ids = pair.world.ids
    until(lambda: len(acknowledged & ids.keys()) > before + IN_FLIGHT, 2 * LEASE + PATIENCE)
    taken = time.monotonic() - begun
    while_growing(lambda: len(ids), lambda: not acknowledged - ids.keys())
    done = time.monotonic() - begun
    if trouble == "pause" and FULL:
        time.sleep(max(0.0, LONG - taken))
    end(trouble, first)
    until(lambda: send(first) == 250, max(60.0, PATIENCE))
    until(second.gateway.queue_is_empty, max(60.0, PATIENCE))
    doubled = sum(pair.world.ids[one] - 1 for one in acknowledged)
    figures = {
        "trouble": trouble,
        "lease": LEASE,
        "acknowledged": len(acknowledged),
        "delivered before": before,
        "lost": len(acknowledged - pair.world.ids.keys()),
        "taken over after": round(taken, 1),
        "all delivered after": round(done, 1),
        "arrived twice": doubled,
    }
    logging.getLogger(__name__).info("%s", figures)
    assert before + IN_FLIGHT < len(acknowledged)  # it had something to lose
    assert taken < LEASE or not FULL  # of a busy machine nobody can tell
    assert doubled <= IN_FLIGHT


def fill(pair: Pair, node: Node) -> set[str]:
    """Submit to the node more than the slow world takes."""
    pair.world.delay, before = SLOWNESS, len(pair.world.ids)
    place = (node.machine.address, node.gateway.port)
    with Load(place, sender=ALICE, to=BOB, sizes=(2_000, 2_000, 300_000)) as load:
        until(lambda: len(load.acknowledged) >= BACKLOG, max(60.0, PATIENCE))
        until(lambda: len(load.acknowledged) > len(pair.world.ids) - before + 2 * IN_FLIGHT)
    return set(load.acknowledged)


def begin(trouble: str, node: Node) -> None:
    match trouble:
        case "kill":
            node.gateway.kill()
        case "cut":
            node.machine.cut()
        case "pause":
            node.signal(signal.SIGSTOP)


def end(trouble: str, node: Node) -> None:
    match trouble:
        case "kill":
            node.gateway.start()
        case "cut":
            node.machine.join()
        case "pause":
            node.signal(signal.SIGCONT)


def send(node: Node) -> int:
    """Submit one mail there."""
    return submitted((node.machine.address, node.gateway.port), ALICE, BOB)
