"""A message on its way in: its octets go to a sink, and the sink's troubles become a reply."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

import structlog

from gatepost.errors import GatepostError
from gatepost.events import Name
from gatepost.mail.content import Content
from gatepost.mail.reply import Reply
from gatepost.net.application import Sink
from gatepost.net.sink import GrowingSink

TROUBLE: Final = Reply(451, "4.3.0", "Local error in processing, try again later")
NO_SPACE: Final = Reply(452, "4.3.1", "Insufficient system storage")

_log = structlog.get_logger("gatepost.net")


def reply_for(error: Exception, where: str) -> Reply:
    """Log what went wrong and find the reply it earns; the cause stays in the log."""
    if isinstance(error, GatepostError):
        _log.warning(Name.SERVICE_ERROR, where=where, error=type(error).__name__, detail=str(error))
        return Reply.for_error(error)
    _log.error(Name.SERVICE_ERROR, where=where, error=type(error).__name__, exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_SPACE
    return TROUBLE


class Intake:
    """Takes octets without ever raising; after a failure the rest is dropped."""

    __slots__ = ("_sink", "fault")

    def __init__(self, larger: Callable[[], Sink], memory_limit: int) -> None:
        self._sink: GrowingSink | None = GrowingSink(larger, memory_limit)
        self.fault = TROUBLE

    def write(self, octets: bytes) -> None:
        """Append octets."""
        if self._sink is not None:
            try:
                self._sink.write(octets)
            except Exception as error:  # noqa: BLE001 - whatever fails, the client hears 4yz
                self._failed(error)

    def finish(self) -> Content | None:
        """Everything written; None when the sink failed: `fault` says how."""
        if self._sink is None:
            return None
        try:
            content = self._sink.finish()
        except Exception as error:  # noqa: BLE001 - see write
            self._failed(error)
            return None
        self._sink = None
        return content

    def discard(self) -> None:
        """Throw everything away; harmless after `finish`."""
        sink, self._sink = self._sink, None
        if sink is not None:
            try:
                sink.discard()
            except Exception as error:  # noqa: BLE001 - nothing depends on it
                reply_for(error, "sink.discard")

    def _failed(self, error: Exception) -> None:
        self.fault = reply_for(error, "sink")
        self.discard()
