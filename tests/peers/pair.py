"""The founding story's two companies, each behind a `gatepost serve`, with a tap between them."""

from dataclasses import dataclass
from typing import Any

from tests.peers.gateway import Gateway
from tests.peers.lab import Lab, introduce
from tests.peers.letter import Letter, submit
from tests.peers.mailbox import Mail, Mailbox
from tests.peers.postfix import free_port
from tests.peers.tap import Tap

US, UK = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{US}", f"bob@{UK}"


@dataclass
class Pair:
    """Two companies that know each other, a tap on the wire from Alice to Bob."""

    us: Gateway
    uk: Gateway
    alices: Mailbox
    bobs: Mailbox
    wire: Tap

    def carried(self, letter: Letter, *recipients: str, **more: Any) -> Mail:
        """The mail as Bob's mail server got it, after Alice's submitted it."""
        assert submit(self.us.port, letter, *recipients, **more) == {}
        return self.bobs.wait_for(letter.id)[0]


def pair(lab: Lab, **more: Any) -> Pair:
    """Start it, and let Alice and Bob have exchanged signed mail."""
    alices, bobs = lab.mailbox(), lab.mailbox()
    us_port, uk_port = free_port(), free_port()
    wire = lab.tap(uk_port)
    us = lab.gateway(US, alices.port, wire.port, port=us_port, **more)
    uk = lab.gateway(UK, bobs.port, us_port, port=uk_port, **more)
    us.trust(uk)
    uk.trust(us)
    introduce(uk, BOB, us, ALICE)
    introduce(us, ALICE, uk, BOB)
    return Pair(us, uk, alices, bobs, wire)
