"""Named texts that change only by whoever knows the one before, on both engines.

Federation keeps there what domains announced: on two nodes at once nothing may be lost.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.shelf import Shelf

from gatepost.store.directory import Directory


@pytest.fixture(params=["sqlite", "postgres"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """Each engine in turn."""
    if request.param == "postgres":
        return Shelf(request.getfixturevalue("postgres").address)
    return Shelf(str(tmp_path / "directory.db"))


@pytest.fixture
def directory(shelf: Shelf) -> Iterator[Directory]:
    with shelf.open() as opened:
        yield opened


def test_only_who_knows_the_text_changes_it(directory: Directory) -> None:
    """An old announcement would come back over a new one."""
    register, before = directory.register, directory.generation()
    assert register.swap("peer.b", None, "1")
    assert not register.swap("peer.b", None, "2")
    assert not register.swap("peer.b", "2", "3")
    assert register.swap("peer.b", "1", "2")
    assert register.read("peer.b") == "2"
    assert directory.generation() != before
    assert register.swap("peer.b", "2", None)
    assert register.read("peer.b") is None


def test_names_are_found_by_their_beginning(directory: Directory) -> None:
    """One domain's announcement would be another's: % and _ are letters here."""
    for name in ("peer.a_b", "peer.aXb", "peer.ä", "other"):
        assert directory.register.swap(name, None, f"of {name}")
    assert list(directory.register.named("peer.a_")) == ["peer.a_b"]
    assert set(directory.register.named("peer.")) == {"peer.a_b", "peer.aXb", "peer.ä"}
    assert directory.register.named("%") == {}
    assert directory.register.count("peer.") == 3
    assert directory.register.count("%") == 0


def test_of_all_nodes_at_once_one_wins(shelf: Shelf) -> None:
    """Two nodes that pin at once would each believe in a key of their own."""
    nodes = [shelf.open() for _ in range(4)]
    ready, won = threading.Barrier(len(nodes)), []

    def change(number: int, directory: Directory) -> None:
        ready.wait(60)
        if directory.register.swap("peer.b", None, str(number)):
            won.append(str(number))

    threads = [threading.Thread(target=change, args=pair) for pair in enumerate(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [nodes[0].register.read("peer.b")]
    for node in nodes:
        node.close()
