"""A reload that goes wrong in a way nobody thought of."""

import json
import socket
from pathlib import Path

from tests.unit.engine.premises import furnished

from gatepost.config import load, read
from gatepost.engine.handover import Handover
from gatepost.engine.journal import Journal
from gatepost.engine.service import utc_now
from gatepost.engine.supervisor import Precaution, Request, Supervisor
from gatepost.vault.client import Client


async def test_the_gateway_outlives_a_reload_that_fails(tmp_path: Path) -> None:
    """A fault in what looks at a configuration would stop all mail, new workers and old ones."""
    path = furnished(tmp_path)

    def fail(_path: Path, _is_bound: bool) -> None:
        raise LookupError("nobody thought of this")

    def prove(_path: Path, _client: Client) -> None:
        raise AssertionError

    legacy = Handover(read(path), {})
    made = Supervisor(path, load(path), legacy, Journal(utc_now), Precaution(fail, prove))
    asker, ours = socket.socketpair()
    await made._obey(Request("reload", ours))
    made._doors.keep({})
    with asker:
        answer = json.loads(asker.recv(4096))
    kept = "the old configuration stays in force"
    assert answer == {"error": f"LookupError: nobody thought of this; {kept}", "hint": ""}
