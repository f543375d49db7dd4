"""What `gatepost integrate exim` makes works as it stands, and is undone."""

from pathlib import Path

import pytest
from tests.peers.exim import Exim
from tests.peers.lab import RUNNING
from tests.system.integration import ALICE, HERE, ROUND_TRIPS, World, world

__all__ = ["world"]


@pytest.mark.peer("exim4")
@pytest.mark.parametrize("topology", [*ROUND_TRIPS, "smart-host", "mx"])
def test_exim(world: World, topology: str, tmp_path: Path) -> None:
    """The administrator includes what is printed, and mail goes in circles."""
    gateway = world.gateway(topology)
    ports = (world.mail, world.back) if topology in ROUND_TRIPS else (world.mail,)
    exim = Exim(world.lab.folder / f"exim-{topology}", HERE, ports, world.sink.port).lay_out()
    plain = exim.run("-bt", ALICE)
    gateway.command("integrate", "exim", "--topology", topology, "--write", str(tmp_path))
    for path in tmp_path.glob("*.conf"):
        (exim.folder / path.name).write_bytes(path.read_bytes())
    if topology != "mx":
        assert "router = gatepost" in exim.run("-bt", ALICE) or topology == "parallel"
    RUNNING.append(exim)
    with exim:
        world.carries(exim, topology)
        if topology in ROUND_TRIPS:
            world.knows_us()
    RUNNING.remove(exim)
    for path in exim.folder.glob("gatepost-*.conf"):
        path.unlink()
    assert exim.run("-bt", ALICE) == plain
