"""Stop mail that goes in circles (RFC 5321 section 6.3)."""

from __future__ import annotations

from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Reject, Verdict
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.mime import headers

MAXIMUM_HOPS = 50  # Received fields; RFC 5321 asks for a large number, "at least 100" was its time
MAXIMUM_PASSES = 6  # ours among them: two per leg as content filter, a forward and its way back

REPLY = Reply(554, "5.4.6", "Routing loop detected")  # RFC 3463 section 3.5


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing: the header tells."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Refuse after too many hops, sooner when they were ours."""
    hops = headers.every(message.header, "Received")
    if len(hops) > MAXIMUM_HOPS:
        return message, Reject(REPLY, f"{len(hops)} Received fields")
    ours = f" by {context.hostname.lower()} ".encode()
    passes = sum(ours in b" " + hop.value.lower() + b" " for hop in hops)
    if passes > MAXIMUM_PASSES:
        return message, Reject(REPLY, f"passed this gateway {passes} times")
    return message, Continue()
