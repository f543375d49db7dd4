"""Peers, made for one test each; only the Java machines live as long as the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import absent
from tests.interop.company import Company, missing
from tests.interop.peers.shape import Peer


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Whoever starts peers; parallel workers share what is compiled."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):
        shared = shared.parent
    made = Company(shared / "java")
    yield made
    made.close()


@pytest.fixture
def peer(request: pytest.FixtureRequest, tmp_path: Path, company: Company) -> Iterator[Peer]:
    """The peer named by the test's parameter, in an empty home."""
    if why := missing(request.param):
        absent(why)
    made = company.start(request.param, tmp_path)
    yield made
    made.close()
