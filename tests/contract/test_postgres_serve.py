"""`gatepost serve` on PostgreSQL as an administrator runs it: mail and commands."""

import pytest
from tests.contract.conftest import Postgres
from tests.patience import until
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
    edits = {"[vault]": f'[queue]\ndatabase = "{postgres.schema.url}"\n\n[vault]'}
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
        until(lambda: len(uk.asked("queue", "list")) == 1)  # what was delivered goes a moment later
        (item,) = uk.asked("queue", "list")
        assert item["state"] == "hold"
        uk.command("queue", "release", item["id"])
        bobs.wait_for(stranger.id)
        until(uk.queue_is_empty)


def test_two_nodes_share_all(postgres: Postgres) -> None:
    """Keys, partners, policy and queue: a second node needs the configuration and the vault key."""
    with Lab() as lab:
        alices, bobs, port = lab.mailbox(), lab.mailbox(), free_port()
        first = lab.planned(UK, bobs.port, port)
        stranger = lab.planned(US, alices.port, first.port, port=port)
        first.trust(stranger)
        first.edit({"[vault]": f'[database]\naddress = "{postgres.schema.url}"\n\n[vault]'})
        with pytest.raises(AssertionError, match="gatepost database fill"):
            first.command("cert", "list")
        with pytest.raises(AssertionError, match="is empty"):  # no rules: mail would go in clear
            first.start()
        first.process = None
        assert first.asked("database", "fill")["rows"]["partner"] == 1
        with pytest.raises(AssertionError, match="holds a directory already"):
            first.command("database", "fill")
        first.start()
        second = lab.twin(first)
        second.start()
        stranger.start()
        stranger.trust(first)
        introduce(second, BOB, stranger, ALICE)  # the second issues Bob's keys
        letter = Letter(ALICE, BOB)
        introduce(stranger, ALICE, first, BOB)
        assert submit(stranger.port, letter) == {}
        assert b"accepts the offer" in bobs.wait_for(letter.id)[0].content  # the first has them
        assert [one["domain"] for one in second.asked("partner", "list")] == [US]
        first.policy(HOLD)
        broken = Letter("mallory@evil.example", BOB, "Hello", b"x\r\n" * 3, headers=SEALED)
        assert submit(second.port, broken) == {}
        second.wait_for("message.held")
        until(lambda: len(first.asked("queue", "list")) == 1)
        (item,) = first.asked("queue", "list")
        assert first.asked("policy", "history")[0]["rev"] == 2
        first.command("queue", "delete", item["id"], "--yes")
