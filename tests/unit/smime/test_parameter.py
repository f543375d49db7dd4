"""One parameter comes and goes without a trace, in linear time."""

import time

from gatepost.smime import parameter


def test_added_and_removed_again() -> None:
    """The author's field would come back changed, and his signature over it broken."""
    fields = b"Content-Type: text/plain;\r\n charset=utf-8; \r\n"
    marked = parameter.added(fields, "hp", "clear")
    assert marked == b'Content-Type: text/plain;\r\n charset=utf-8;\r\n hp="clear"\r\n'
    assert parameter.removed(marked, "hp") == b"Content-Type: text/plain;\r\n charset=utf-8\r\n"


def test_very_much_white_space() -> None:
    """One mail with a wide field would stop a worker for seconds."""
    fields = b"Content-Type: text/plain; a=" + b" ;" * 100_000 + b"x\r\n"
    began = time.process_time()
    parameter.added(fields, "hp", "clear")
    assert time.process_time() - began < 1
