"""What `gatepost integrate postfix` makes works as it stands, and is undone."""

import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import peer
from tests.patience import until
from tests.peers.lab import RUNNING
from tests.peers.letter import Letter, submit
from tests.peers.postfix import Postfix
from tests.system.integration import BOB, HERE, ROUND_TRIPS, THERE, World, world

__all__ = ["world"]
RELOADED = "reload -- version"  # says its master process


@pytest.fixture(scope="module")
def postfix(world: World) -> Iterator[Postfix]:
    """A Postfix that knows nothing of gateways."""
    peer("postfix")
    settings = {
        "myhostname": f"mail.{HERE}",
        "relayhost": f"[127.0.0.1]:{world.sink.port}",
        "mynetworks": "127.0.0.1/32",
        "smtpd_relay_restrictions": "permit_mynetworks, permit_auth_destination, reject",
        "header_checks": "static:DUNNO",
    }
    with Postfix(world.lab.folder / "postfix", world.mail, settings, mailboxes=(BOB,)) as made:
        RUNNING.append(made)
        yield made
        RUNNING.remove(made)


@pytest.mark.peer("postfix")
@pytest.mark.parametrize("topology", [*ROUND_TRIPS, "smart-host", "mx"])
def test_postfix(world: World, postfix: Postfix, topology: str, tmp_path: Path) -> None:
    """The administrator copies what is printed, and mail goes in circles."""
    etc = postfix.folder / "etc"
    before = _configuration(etc)
    world.gateway(topology).command(
        "integrate", "postfix", "--topology", topology, "--write", str(tmp_path)
    )
    for _ in range(1 + (topology == "parallel")):  # a second time changes nothing
        _script(tmp_path / "apply.sh", postfix)
    applied = _configuration(etc)
    assert applied != before
    world.carries(postfix, topology)
    if topology in ROUND_TRIPS:
        world.knows_us()
    for _ in range(1 + (topology == "parallel")):
        _script(tmp_path / "undo.sh", postfix)
    assert _configuration(etc) == before
    assert not [*etc.glob("*gatepost*")]


@pytest.mark.peer("postfix")
def test_before_queue_refuses_in_the_session(
    world: World, postfix: Postfix, tmp_path: Path
) -> None:
    """The author hears of mail that cannot be encrypted by a bounce, or not at all."""
    world.filter.command(
        "integrate", "postfix", "--topology", "before-queue", "--write", str(tmp_path)
    )
    _script(tmp_path / "apply.sh", postfix)
    with pytest.raises(smtplib.SMTPDataError, match=r"5\.7\.1"):
        submit(world.mail, Letter(BOB, f"carol@{THERE}", "[secure] Offer"))
    _script(tmp_path / "undo.sh", postfix)


def _configuration(etc: Path) -> list[str]:
    return [
        subprocess.run(
            ["/usr/sbin/postconf", "-c", str(etc), option],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for option in ("-n", "-M")
    ]


def _script(path: Path, postfix: Postfix) -> None:
    """Run it, and wait until Postfix has taken the new configuration."""
    command, before = [str(path), str(postfix.folder / "etc")], postfix.log.count(RELOADED)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "refreshing" in done.stdout + done.stderr:  # there was something to do
        until(lambda: postfix.log.count(RELOADED) > before)
