"""Which targets and topologies there are, and the files that one of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from gatepost.admin.integrate import exim, google, microsoft, postfix
from gatepost.admin.integrate.file import File
from gatepost.admin.integrate.site import site
from gatepost.config import find, load
from gatepost.errors import ConfigError

Target = Literal["postfix", "exim", "m365", "google"]
TARGETS: Final = {
    "postfix": postfix.files,
    "exim": exim.files,
    "m365": microsoft.files,
    "google": google.files,
}
TOPOLOGIES: Final = {
    "after-queue": "content filter: everything goes through the gateway and comes back",
    "before-queue": "the same while the client waits, who so hears of a refusal",
    "smart-host": "what leaves goes to the gateway, and from there to the world",
    "mx": "the world's mail reaches the gateway first",
    "parallel": "only mail that needs the gateway goes through it and comes back",
}


@dataclass(frozen=True, slots=True)
class Integration:
    """Files to look at, and to write."""

    target: str
    topology: str
    files: tuple[File, ...]
    written: tuple[Path, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "target": self.target,
            "topology": self.topology,
            "files": [{"name": one.name, "text": one.text} for one in self.files],
            "written": [str(one) for one in self.written],
        }


def integrate(
    config: Path | None, target: Target, topology: str, folder: Path | None
) -> Integration:
    """Make the files and, given a folder, write them there; raises ConfigError."""
    if topology not in TOPOLOGIES:
        raise ConfigError(f"{topology!r} is none of {', '.join(TOPOLOGIES)}")
    path = (config or find()).absolute()
    made = TARGETS[target](site(load(path), path), topology)
    if folder is None:
        return Integration(target, topology, made)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one in made:
        place = folder / one.name
        if place.exists() and place.read_text("utf-8") != one.text:
            raise ConfigError(f"{place} exists and differs; it was not touched")
        place.write_text(one.text, "utf-8")
        place.chmod(one.mode)
        written.append(place)
    return Integration(target, topology, made, tuple(written))
