"""One target for several small readers: the first octet of an input says which of them reads it.

New readers go to the end of a list, so that the committed corpora stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Reader = Callable[[bytes], None]


def read(readers: Sequence[Reader], octets: bytes) -> None:
    """One input."""
    if octets:
        readers[octets[0] % len(readers)](octets[1:])


def sown(readers: Sequence[Reader], inputs: Mapping[Reader, Iterable[bytes]]) -> Iterator[bytes]:
    """Inputs of each reader as inputs of the target."""
    for reader, octets in inputs.items():
        yield from (bytes((readers.index(reader),)) + one for one in octets)
