"""An open directory, a vault and, made once per key algorithm, a company's CA."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from gatepost.enrol.local import LocalAuthority
from gatepost.store.directory import Directory
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

KEK = Kek(bytes(range(32)))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Directory(tmp_path / "directory.sqlite") as opened:
        yield opened


@pytest.fixture
def vault(directory: Directory) -> Vault:
    return Vault(directory, Sealer(KEK, "private keys"))


@pytest.fixture
def authority(directory: Directory, vault: Vault, now: datetime) -> LocalAuthority:
    return LocalAuthority.create(
        directory, vault, "Example GmbH", ["example.com"], user_key="p256", now=now
    )
