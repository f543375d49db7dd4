"""Open what an operation works on: settings, directory, vault; and name who does it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepost.config import Settings, load
from gatepost.engine.backend import directory_path
from gatepost.engine.service import Stores, own_domains
from gatepost.errors import ConfigError
from gatepost.mail.address import domain_key


@contextmanager
def opened(path: Path | None) -> Iterator[tuple[Settings, Stores]]:
    """Settings and stores of an installation; raises ConfigError when it was never set up."""
    settings = load(path)
    directory = directory_path(settings)
    if directory is not None and not directory.exists():  # opening would make an empty one
        raise ConfigError(
            f"there is no directory at {directory}",
            hint="gatepost check --only DIR-01 says what to do",
        )
    stores = Stores.open(settings)
    try:
        if directory is None and stores.directory.is_empty():
            raise ConfigError(
                f"the database {stores.directory.place} is empty",
                hint="gatepost database fill brings this machine's directory there",
            )
        yield settings, stores
    finally:
        stores.close()


def expect_ours(settings: Settings, domain: str) -> None:
    """Raise ConfigError unless it is a domain of ours."""
    if domain_key(domain) not in own_domains(settings):
        raise ConfigError(
            f"{domain} is not a domain of ours",
            hint=f"[gateway] domains are {', '.join(settings.gateway.domains)}",
        )


def administrator() -> str:
    """Who runs this command, for the history of what was changed."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {name}" if behind and behind != name else name
