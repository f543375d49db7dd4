"""`gatepost serve` on PostgreSQL as an administrator runs it: mail and commands."""

from tests.contract.conftest import Postgres
from tests.peers.lab import Lab, introduce
from tests.peers.letter import Letter, submit
from tests.peers.pair import ALICE, BOB, UK, US
from tests.peers.postfix import free_port

HOLD = """\
[inbound]
broken_signature = "hold"
undecryptable = "hold"
"""
SEALED = ("Content-Type: application/pkcs7-mime; smime-type=enveloped-data",)


def test_serve(postgres: Postgres) -> None:
    """Encrypted mail passes through the shared queue; held mail is listed and released there."""
    schema = postgres.address.rpartition("=")[2].strip("'")
    address = (
        f"postgresql://gatepost@/postgres?host={postgres.cluster.parent}"
        f"&options=-csearch_path%3D{schema}"
    )
    edits = {"[vault]": f'[queue]\ndatabase = "{address}"\n\n[vault]'}
    with Lab() as lab:
        alices, bobs = lab.mailbox(), lab.mailbox()
        us_port, uk_port = free_port(), free_port()
        us = lab.gateway(US, alices.port, uk_port, port=us_port)
        uk = lab.gateway(UK, bobs.port, us_port, port=uk_port, edits=edits)
        us.trust(uk)
        uk.trust(us)
        introduce(uk, BOB, us, ALICE)
        introduce(us, ALICE, uk, BOB)
        letter = Letter(ALICE, BOB, body=b"Our client accepts the offer.\r\n" * 40_000)
        assert submit(us.port, letter) == {}
        mail = bobs.wait_for(letter.id)[0]
        assert mail.content.count(b"Our client accepts the offer.") == 40_000
        assert not list(uk.state.rglob("queue/*.db"))

        uk.policy(HOLD)
        stranger = Letter("mallory@evil.example", BOB, "Hello", b"x\r\n" * 3, headers=SEALED)
        assert submit(uk.port, stranger) == {}
        uk.wait_for("message.held")
        (item,) = uk.asked("queue", "list")
        assert item["state"] == "hold"
        uk.command("queue", "release", item["id"])
        bobs.wait_for(stranger.id)
        assert uk.asked("queue", "list") == []
