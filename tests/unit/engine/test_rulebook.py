"""The policy in force: read when it changed, and never guessed."""

from datetime import datetime
from pathlib import Path

import pytest

from gatepost.engine.rulebook import Rulebook
from gatepost.errors import Unavailable
from gatepost.policy.treatment import Encrypt
from gatepost.store.directory import Directory
from gatepost.store.record import Revision

MANDATORY = '[defaults]\nencrypt = "mandatory"\n'


def test_a_policy_that_cannot_be_read_is_asked_for_again(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked database at the start would have mandatory mail leave under the built-in policy."""
    with Directory(tmp_path / "directory.db") as directory:
        directory.policy.apply(MANDATORY, author="root", note="", now=now)
        rulebook = Rulebook(directory)

        def locked() -> Revision:
            raise Unavailable("locked")

        with monkeypatch.context() as patch:
            patch.setattr(directory.policy, "current", locked)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    rulebook()
        assert rulebook().defaults.encrypt is Encrypt.MANDATORY


def test_a_damaged_policy_stops_mail(tmp_path: Path, now: datetime) -> None:
    """A policy written by a newer version would count as none at all."""
    with Directory(tmp_path / "directory.db") as directory:
        rulebook = Rulebook(directory)
        assert rulebook().defaults.encrypt is None
        directory.policy.apply("[future]\nsetting = 1\n", author="root", note="", now=now)
        for _ in range(2):
            with pytest.raises(Exception, match="future"):
                rulebook()
        directory.policy.apply(MANDATORY, author="root", note="", now=now)
        assert rulebook().defaults.encrypt is Encrypt.MANDATORY
