"""How much: a short form in continuous integration, the full one by `make torture`."""

import os

FULL = os.environ.get("GATEPOST_TORTURE") == "full"


def scaled(short: int, full: int, name: str = "") -> int:
    """A number for the form asked for; GATEPOST_TORTURE_<NAME> says another one."""
    given = os.environ.get(f"GATEPOST_TORTURE_{name.upper()}") if name else None
    return int(given) if given else full if FULL else short
