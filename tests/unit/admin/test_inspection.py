"""Looking into messages of any kind."""

from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import pki_builder

from gatepost.admin.inspection import inspect
from gatepost.errors import Malformed


def test_any_message_of_the_corpus(corpus: Path, now: datetime) -> None:
    """Looking at a hostile mail is dangerous."""
    seen = 0
    for folder in ("efail-mitigation", "johnny-fired", "protected-headers", "smimesign"):
        for path in sorted((corpus / folder).rglob("*"))[:40]:
            if path.is_file() and path.stat().st_size < 1 << 20:
                with nullcontext() if path.suffix == ".eml" else suppress(Malformed):
                    inspect(path.read_bytes(), [pki_builder.user().decryptor], now=now)
                seen += 1
    assert seen > 10


@given(st.binary(max_size=500))
def test_any_octets(octets: bytes) -> None:
    """A broken file ends in a traceback."""
    inspect(b"A: b\r\n" + octets, now=pki_builder.BORN)
    with suppress(Malformed):
        inspect(octets, now=pki_builder.BORN)


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"text\r\n", b"\x30\x80\x06\x01", b"\nA: b\n"])
def test_no_message(octets: bytes) -> None:
    """An empty file passes for an empty mail in clear text."""
    with pytest.raises(Malformed, match="no message"):
        inspect(octets, now=pki_builder.BORN)
