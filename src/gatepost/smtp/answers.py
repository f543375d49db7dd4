"""Reading an SMTP server's replies (RFC 5321 section 4.2, RFC 2034, RFC 3463).

Tolerant where nothing depends on it (LF alone ends a line, a code may stand without
text), strict where sense is lost: three digits, one code in all lines, bounded length.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.errors import Malformed
from gatepost.mail.reply import Reply

_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
_STATUS: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|\Z)")


class ReplyReader:
    """Collects lines until a reply is whole."""

    __slots__ = ("_buffer", "_code", "_line_limit", "_lines", "_lines_limit")

    def __init__(self, line_limit: int, lines_limit: int) -> None:
        self._line_limit, self._lines_limit = line_limit, lines_limit
        self._buffer, self._code = b"", b""
        self._lines: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether every received octet belongs to a reply already returned."""
        return not self._buffer and not self._lines

    def receive(self, data: bytes) -> None:
        """Take octets from the server."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_reply(self) -> Reply | None:
        """The next whole reply; raises Malformed when this is no SMTP server."""
        while (stop := self._buffer.find(b"\n")) >= 0:
            line, self._buffer = self._buffer[:stop], self._buffer[stop + 1 :]
            if len(line) > self._line_limit:
                break
            if self._is_last(line.removesuffix(b"\r")):
                reply = _reply(self._code, self._lines)
                self._code, self._lines = b"", []
                return reply
        if len(self._buffer) > self._line_limit or stop >= 0:
            raise Malformed("the server's reply line is too long")
        return None

    def _is_last(self, line: bytes) -> bool:
        found = _LINE.match(line)
        if found is None:
            raise Malformed(f"the server's reply {line[:60]!r} is no SMTP reply")
        code, separator, text = found.groups()
        if self._lines and code != self._code:
            raise Malformed("the lines of the server's reply have different codes")
        self._code = code
        self._lines.append(_printable(text or b""))
        if len(self._lines) > self._lines_limit:
            raise Malformed("the server's reply has too many lines")
        return separator != b"-"


def _printable(text: bytes) -> str:
    """Text that cannot forge a line of a log or a DSN."""
    decoded = text.decode("utf-8", "replace")
    if decoded.isprintable():
        return decoded.strip()
    return "".join(c if c.isprintable() else "?" for c in decoded).strip()


def _reply(code: bytes, lines: list[str]) -> Reply:
    """Take the enhanced status code off the lines when it agrees with the code."""
    number, status = int(code), ""
    found = _STATUS.match(lines[0])
    if found and found[1][0] == str(number)[0]:
        status = found[1]
        lines = [_STATUS.sub("", line, count=1) for line in lines]
    return Reply(number, status, "\n".join(lines))
