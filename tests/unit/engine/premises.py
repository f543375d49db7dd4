"""A gateway's configuration, state folder and vault key, as `init` leaves them."""

from pathlib import Path

from gatepost.vault.kek import generate_file

TEXT = """\
[gateway]
hostname = "gatepost.example.com"
domains = ["example.com"]
state = "state"

[next_hop]
inbound = "127.0.0.1:10026"
outbound = "127.0.0.1:10027"

[[listener]]
bind = "127.0.0.1:0"
direction = "both"

[vault]
key_file = "vault.key"
"""


def furnished(folder: Path) -> Path:
    """Lay them down; returns the configuration's path."""
    path = folder / "gatepost.toml"
    path.write_text(TEXT)
    (folder / "state").mkdir(mode=0o700)
    generate_file(folder / "vault.key")
    return path
