"""Step a flow to its end, fetching the facts it asks for.

Short steps run inline: a thread hand-over costs as much as an RSA signature.  Long
ones (large bodies, many recipients) run in a thread so that the loop never stalls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gatepost.flow.fact import Answers, Fact
from gatepost.flow.stage import Flow
from gatepost.flow.verdict import Outcome

Gather = Callable[[frozenset[Fact]], Awaitable[Answers]]
Step = frozenset[Fact] | tuple[Outcome, ...]


async def drive(flow: Flow, gather: Gather, *, in_thread: bool = False) -> tuple[Outcome, ...]:
    """Run the flow; raises whatever a stage or a look-up raises."""
    answers: Answers | None = None
    while True:
        step = await asyncio.to_thread(_step, flow, answers) if in_thread else _step(flow, answers)
        if isinstance(step, tuple):
            return step
        answers = await gather(step)


def _step(flow: Flow, answers: Answers | None) -> Step:
    """Advance to the next question or the end; StopIteration may not cross a thread's future."""
    try:
        return next(flow) if answers is None else flow.send(answers)
    except StopIteration as stop:
        outcomes: tuple[Outcome, ...] = stop.value
        return outcomes
