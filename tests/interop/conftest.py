"""Peers, made for one test each; only the Java machine lives as long as the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interop.peers.bouncycastle import BouncyCastle, Machine, compiled
from tests.interop.peers.gpgsm import Gpgsm
from tests.interop.peers.nss import Nss
from tests.interop.peers.openssl import OpenSsl
from tests.interop.peers.shape import Peer
from tests.interop.people import ROOT


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Machine]]:
    """The Java machine, started when first asked for."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):
        shared = shared.parent  # parallel workers share what is compiled
    running: list[Machine] = []

    def machine() -> Machine:
        if not running:
            running.append(Machine(compiled(shared / "java")))
        return running[0]

    yield machine
    for one in running:
        one.close()


@pytest.fixture
def peer(
    request: pytest.FixtureRequest, tmp_path: Path, java: Callable[[], Machine]
) -> Iterator[Peer]:
    """The peer named by the test's parameter, in an empty home."""
    makers: dict[str, Callable[[], Peer]] = {
        "openssl": lambda: OpenSsl(tmp_path),
        "openssl-stream": lambda: OpenSsl(tmp_path, streaming=True),
        "gpgsm": lambda: Gpgsm(tmp_path, ROOT),
        "nss": lambda: Nss(tmp_path, ROOT),
        "bouncycastle": lambda: BouncyCastle(tmp_path, java()),
    }
    made = makers[request.param]()
    yield made
    made.close()
