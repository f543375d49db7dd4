"""Looking into messages of any kind."""

from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests import pki_builder

from gatepost.admin.inspection import inspect


def test_any_message_of_the_corpus(corpus: Path, now: datetime) -> None:
    """Looking at a hostile mail is dangerous."""
    seen = 0
    for folder in ("efail-mitigation", "johnny-fired", "protected-headers", "smimesign"):
        for path in sorted((corpus / folder).rglob("*"))[:40]:
            if path.is_file() and path.stat().st_size < 1 << 20:
                inspect(path.read_bytes(), [pki_builder.user().decryptor], now=now)
                seen += 1
    assert seen > 10


@given(st.binary(max_size=500))
def test_any_octets(octets: bytes) -> None:
    """A broken file ends in a traceback."""
    inspect(octets, now=pki_builder.BORN)
