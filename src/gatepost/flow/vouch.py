"""Sign for what was done, so that we know the message should it come round again."""

from __future__ import annotations

from gatepost.flow.context import Context
from gatepost.flow.decision import decisions
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail import voucher
from gatepost.mail.message import Message
from gatepost.mail.voucher import Voucher


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Add the trace field; without a key there is none."""
    made = decisions(message.findings)
    if context.mac is None or not made or message.envelope.secure:
        # What left in clear, over verified connections only, is decided anew: it lost that bond.
        return message, Continue()
    said = Voucher(
        message.direction.value,
        str(made[-1].done),  # the same for all recipients of one part
        int(context.now.timestamp()),
        message.arrival.queue_id,
        context.hostname,
    )
    field = voucher.vouch(message, said, context.mac, context.entropy)
    return message.headed(field + message.header), Continue()
