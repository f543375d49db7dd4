"""kill -9 under load: what was acknowledged arrives, and nobody finds it in clear.

One victim a round: the whole gateway, one of its workers, or the database.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from tests.crash.load import CLIENTS, Load, while_growing
from tests.crash.scale import scaled
from tests.crash.secret import MARKER, assert_absent
from tests.crash.stem import Stem
from tests.crash.wire import Wiretap, World
from tests.patience import until
from tests.peers.gateway import Gateway, children, keeps_keys, offspring
from tests.peers.lab import Lab
from tests.peers.postfix import free_port
from tests.peers.postgres import Server

ROUNDS = scaled(3, 200, "rounds")
MANY = 10  # rounds from which on gateways are forked: 2 s each would be hours
BACKLOG = 300  # mails under way at which the clients wait
IN_FLIGHT = 2 * 20  # transactions with one hop at a time, per worker: what a kill may double
US, UK = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{US}", f"bob@{UK}"
MANDATORY = '[defaults]\nencrypt = "mandatory"\n'
_log = logging.getLogger(__name__)
LIMIT = 600 + 10 * ROUNDS if ROUNDS >= MANY else 300 + 60 * ROUNDS
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT)]


@dataclass
class Stage:
    """Alice's gateway, which must encrypt to Bob and can; the world; who may be killed."""

    us: Gateway
    uk: Gateway
    world: World
    wire: Wiretap
    server: Server | None
    stem: Stem | None  # a long run starts processes by forking

    @property
    def places(self) -> list[Path]:
        """Everywhere something is written."""
        return [self.us.folder, *([self.server.data] if self.server else [])]

    @property
    def victims(self) -> tuple[str, ...]:
        """Whom to kill in turn."""
        if not self.stem:  # after the database was away some mail waits a minute: too long here
            return ("gateway", "worker", "keys")
        return ("gateway", "gateway", *(["database"] if self.server else []))

    def start(self) -> None:
        """Take mail."""
        (self.stem or self.us).start()

    def kill(self, victim: str) -> None:
        """End it as a power cut would, and bring it back."""
        match victim:
            case "gateway":
                (self.stem or self.us).kill()
                self.start()
            case "worker":
                assert self.us.process is not None
                pid = self.us.process.pid
                killed = children(pid)[0]
                os.kill(killed, 9)
                until(lambda: len(set(children(pid)) - {killed}) == 2)
            case "keys":
                assert self.us.process is not None
                pid = self.us.process.pid
                old = {one for one in offspring(pid) if keeps_keys(one)}
                for one in old:
                    os.kill(one, 9)
                until(lambda: any(keeps_keys(one) for one in {*offspring(pid)} - old))
            case "database":
                assert self.server is not None
                self.server.crash()
                self.server.start()


@pytest.fixture(params=["sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Stage]:
    """Each engine in turn."""
    server = request.getfixturevalue("server") if request.param == "postgres" else None
    with ExitStack() as stack:
        world = stack.enter_context(World(delay=0.01))
        wire = stack.enter_context(Wiretap(world.port))
        us = lab.planned(US, free_port(), wire.port, edits={"# workers = 1": "workers = 2"})
        uk = lab.planned(UK, free_port(), free_port())
        us.trust(uk)
        us.policy(MANDATORY)
        uk.command("cert", "issue", BOB, "--kind", "encrypt")
        path = us.folder / "bob.pem"
        uk.command("cert", "export", BOB, "--output", str(path))
        us.command("cert", "import", str(path))
        tables = '[queue]\nretry_first = "2s"\n\n'
        if server is not None:
            tables += f'[database]\naddress = "{server.fresh().url}"\n\n'
        us.edit({"[vault]": f"{tables}[vault]"})
        if server is not None:
            us.command("database", "fill")
        temporary = us.folder / "tmp"
        temporary.mkdir()
        us.environment = {"TMPDIR": str(temporary)}
        stem = stack.enter_context(closing(Stem(us))) if ROUNDS >= MANY else None
        yield Stage(us, uk, world, wire, server, stem)


def test_kill(stage: Stage) -> None:
    """250 means safe, even when the power goes; sealed means sealed, even then."""
    choice = Random(ROUNDS)
    victims = list(stage.victims)
    stage.start()
    looked = 0
    place = ("127.0.0.1", stage.us.port)
    busy = lambda count: count - len(stage.world.ids) > BACKLOG  # noqa: E731  said once
    with Load(place, sender=ALICE, to=BOB, is_enough=busy) as load:
        for round_ in range(ROUNDS):
            load.wait_for_more(10)
            time.sleep(choice.uniform(0, 0.5))
            if round_ % len(victims) == 0:
                choice.shuffle(victims)
            stage.kill(victims[round_ % len(victims)])
            _log.info("round %s, %s acknowledged", round_ + 1, len(load.acknowledged))
            if round_ % 10 == 0 or round_ == ROUNDS - 1:
                looked += assert_absent(stage.places)
    wanted = set(load.acknowledged)
    ids = stage.world.ids
    while_growing(lambda: len(ids), lambda: not wanted - ids.keys())
    until(stage.us.queue_is_empty, 90)
    looked += assert_absent(stage.places)
    report(stage, load, looked)
    assert_readable(stage)


def report(stage: Stage, load: Load, looked: int) -> None:
    """Say the figures, and compare them with what may be."""
    found, wanted = stage.world.ids, set(load.acknowledged)
    doubled = sum(found.values()) - len(found)
    figures = {
        "database": "postgres" if stage.server else "sqlite",
        "kills": ROUNDS,
        "tried": load.tried,
        "acknowledged": len(wanted),
        "lost": len(wanted - found.keys()),
        "in clear on the wire": stage.wire.seen,
        "octets on the wire": stage.wire.octets,
        "octets looked at on the disk": looked,
        "arrived twice": doubled,
        "arrived though not acknowledged": len(found.keys() - wanted),
    }
    _log.info("%s", figures)  # pytest --log-cli-level=info
    assert stage.wire.seen == 0
    assert stage.world.clear == 0
    assert doubled <= ROUNDS * IN_FLIGHT
    assert len(found.keys() - wanted) <= ROUNDS * CLIENTS


def assert_readable(stage: Stage) -> None:
    """What the world got is ciphertext, whole, and opens with Bob's key."""
    assert stage.world.mails
    for mail in stage.world.mails:
        sealed, opened = stage.uk.folder / "sealed.eml", stage.uk.folder / "opened.eml"
        sealed.write_bytes(mail.content)
        opened.unlink(missing_ok=True)
        stage.uk.command("decrypt", str(sealed), "--as", BOB, "--output", str(opened))
        assert MARKER in opened.read_bytes()
