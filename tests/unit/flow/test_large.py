"""Large mail goes through the gateway in memory that does not grow with it."""

from __future__ import annotations

import pytest
from benchmarks.memory import MIB
from benchmarks.stream import measured

SIZE = 24  # MiB; the same path with 1 GiB is a benchmark
BUDGET = 16 * MIB


@pytest.mark.parametrize("options", [(), ("opaque", "cbc"), ("eight-bit",)])
def test_memory_does_not_grow_with_the_mail(options: tuple[str, ...]) -> None:
    """A few large mails at once end the process, and everybody's mail waits."""
    found = measured(SIZE, *options)
    assert found.keys() == {"sign and encrypt", "decrypt and verify"}
    assert {name: one.growth for name, one in found.items() if one.growth > BUDGET} == {}
