"""Tell the running gateway to take a new configuration, or a new version of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gatepost.config import find, load
from gatepost.engine import control
from gatepost.errors import ConfigError

PATIENCE = 120.0  # seconds for new workers to begin


@dataclass(frozen=True, slots=True)
class Changed:
    """What the gateway did."""

    done: str
    process: int
    workers: tuple[int, ...]
    retiring: tuple[int, ...]  # processes whose clients have not left yet

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "done": self.done,
            "process": self.process,
            "workers": list(self.workers),
            "retiring": list(self.retiring),
        }


def change(config: Path | None, word: Literal["reload", "restart"]) -> Changed:
    """Have it done; raises ConfigError with the gateway's own reason when it did not."""
    path = config or find()
    said = control.ask(load(path).gateway.state, word, PATIENCE)
    if "error" in said:
        raise ConfigError(str(said["error"]), hint=str(said.get("hint") or "gatepost check"))
    return Changed(
        str(said["done"]), int(said["process"]), tuple(said["workers"]), tuple(said["retiring"])
    )
