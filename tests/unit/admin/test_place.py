"""Commands and the gateway look at the same places."""

from pathlib import Path

from gatepost.config import Settings, load
from gatepost.engine.service import queue_folder


def settings(folder: Path) -> Settings:
    path = folder / "gatepost.toml"
    path.write_text(
        '[gateway]\nhostname = "g.example.com"\ndomains = ["example.com"]\nstate = "state"\n'
        '[[listener]]\nbind = "127.0.0.1:0"\ndirection = "inbound"\n'
        '[next_hop]\ninbound = "127.0.0.1:1"\n[vault]\nkey_file = "key"\n'
    )
    return load(path, {})


def test_one_queue(tmp_path: Path) -> None:
    """`gatepost queue` shows another queue than the one that is served."""
    found = settings(tmp_path)
    assert found.gateway.queue_folder == queue_folder(found)
