"""Connections kept for single questions: neither a transaction nor a look whether they still work.

What mail asks of the directory is one statement each time; taking a connection from the pool,
trying it and beginning a transaction would cost several times as much as the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from gatepost.errors import Unavailable

T = TypeVar("T")

KEPT: Final = 4


class _Lost(Unavailable):
    """The connection is gone."""


class Glances:
    """A few connections of one engine on which every statement stands for itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._idle: list[Connection] = []  # `pop` and `append` are one step each for all threads

    def ask(self, question: Callable[[Connection], T]) -> T:
        """The answer; asked again on a new connection if the kept one turns out to be lost."""
        kept = self._kept()
        if kept is not None:
            try:
                return self._asked(kept, question)
            except _Lost:
                self.close()  # the others were lost with it
        return self._asked(self._engine.connect(), question)

    def close(self) -> None:
        """Give back those that nobody uses."""
        while kept := self._kept():
            kept.close()

    def _kept(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _asked(self, connection: Connection, question: Callable[[Connection], T]) -> T:
        try:
            answer = question(connection)
        except Unavailable as error:
            is_lost = connection.invalidated
            connection.close()
            if is_lost:
                raise _Lost(str(error)) from error
            raise
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return answer
