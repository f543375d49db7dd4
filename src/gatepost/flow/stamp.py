"""Put our trace above everybody else's, last of all (RFC 5321 section 4.4)."""

from __future__ import annotations

from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail import trace
from gatepost.mail.message import Message


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Add the Received field."""
    field = trace.received(message.arrival, message.envelope, context.hostname, context.now)
    return message.headed(field + message.header), Continue()
