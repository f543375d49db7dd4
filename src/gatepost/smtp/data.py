"""The octets after DATA and BDAT, both ways (RFC 5321 2.3.8, 4.1.1.4, 4.5.2; RFC 3030).

Only CRLF.CRLF ends what follows DATA, only its count what follows BDAT.  A bare CR or LF
inside is either a fault told after the end or turned into CRLF; it never ends anything, so
no second message can be smuggled.  No loop over lines: whole chunks at once.
"""

from __future__ import annotations

from typing import Final, Literal

from gatepost.errors import Malformed
from gatepost.mail.reply import Reply
from gatepost.smtp import replies

END: Final = b"\r\n.\r\n"
_HELD_BACK: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")  # what may still become END
BareLineEnds = Literal["reject", "normalise"]


def has_bare_line_end(octets: bytes) -> bool:
    """Whether a CR or LF stands alone; exact when no CRLF is cut at either end."""
    lines = octets.splitlines()  # at CRLF, LF and CR; a quarter of the time of counting them
    if octets.endswith((b"\r", b"\n")):
        lines.append(b"")
    return b"\r\n".join(lines) != octets


class _Judge:
    """Counts and checks content; nothing is passed on after a fault."""

    __slots__ = ("_bare", "_is_bare", "_is_nul", "_limit", "size")

    def __init__(self, limit: int, bare: BareLineEnds) -> None:
        self._limit, self._bare = limit, bare
        self._is_bare, self._is_nul = False, False
        self.size = 0

    @property
    def fault(self) -> Reply | None:
        """What the data as a whole earns, once its end was reached."""
        if self.size > self._limit:
            return replies.TOO_BIG
        if self._is_bare:
            return replies.BARE_LINE_END
        return replies.NUL_OCTET if self._is_nul else None

    def _checked(self, octets: bytes, *, is_bare: bool) -> bytes:
        """The octets as they may be passed on; no CRLF is cut at either end."""
        if is_bare:
            if self._bare == "normalise":
                octets = _normalised(octets)
            else:
                self._is_bare = True
        if b"\0" in octets:
            # RFC 2045 section 2.7 and 2.8: neither 7bit nor 8bit data has NULs.  A NUL
            # removed by a later hop could uncover a dot, hence none is passed on.
            if self._bare == "normalise":
                octets = octets.replace(b"\0", b"")
            else:
                self._is_nul = True
        self.size += len(octets)
        return b"" if self._is_bare or self._is_nul or self.size > self._limit else octets


class DataReader(_Judge):
    """Takes transparency off the data, chunk by chunk, and judges it at the end."""

    __slots__ = ("_at_start",)

    def __init__(self, limit: int, bare: BareLineEnds) -> None:
        super().__init__(limit, bare)
        self._at_start = True

    def read(self, buffer: bytes, at: int) -> tuple[bytes, int, bool]:
        """Content octets, how far the buffer is used up, and whether END was reached.

        Chunks never cut a CRLF in two: a CR at the buffer's end waits for what follows.
        """
        if self._at_start:
            head = buffer[at : at + 3]
            if head == END[2:]:  # the CRLF of the DATA line is the first of CRLF.CRLF
                return b"", at + 3, True
            if END[2:].startswith(head):
                return b"", at, False
            at += head.startswith(b".")
            self._at_start = False
        stop = buffer.find(END, at)
        if stop >= 0:
            return self._taken(buffer[at : stop + 2]), stop + 5, True
        stop = len(buffer)
        for tail in _HELD_BACK:
            if buffer.endswith(tail, at):
                stop -= len(tail)
                break
        return self._taken(buffer[at:stop]), stop, False

    def _taken(self, raw: bytes) -> bytes:
        """Unstuff and check one chunk (RFC 5321 section 4.5.2)."""
        plain = raw.replace(b"\r\n.", b"\r\n") if b"\r\n." in raw else raw
        return self._checked(plain, is_bare=has_bare_line_end(raw))


class ChunkReader(_Judge):
    """Takes the chunks of BDAT, whose octets need no transparency (RFC 3030 section 2).

    BINARYMIME is not offered, so the content is made of lines as under DATA, and a CR or
    LF alone is treated as there.
    """

    __slots__ = ("_held", "_is_ended")

    def __init__(self, limit: int, bare: BareLineEnds) -> None:
        super().__init__(limit, bare)
        self._held, self._is_ended = b"", True

    def read(self, octets: bytes) -> bytes:
        """Content octets; a CR at the end waits for what follows."""
        if not octets:
            return b""
        if self._held:
            octets, self._held = self._held + octets, b""
        if octets.endswith(b"\r"):
            octets, self._held = octets[:-1], b"\r"
        return self._taken(octets)

    def finish(self) -> bytes:
        """The rest: content that does not end with a line end gets one, as it would under DATA."""
        held, self._held = self._held, b""
        rest = self._taken(held) if held else b""
        return rest if self._is_ended else rest + self._taken(b"\r\n")

    def _taken(self, octets: bytes) -> bytes:
        taken = self._checked(octets, is_bare=has_bare_line_end(octets))
        if taken:
            self._is_ended = taken.endswith(b"\r\n")
        return taken


def _normalised(octets: bytes) -> bytes:
    """Every CRLF, bare CR and bare LF becomes CRLF."""
    single = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return single.replace(b"\n", b"\r\n")


class _LineGuard:
    """Lets no CR or LF stand alone in what we send, wherever a chunk ends."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""

    def _guarded(self, octets: bytes) -> bytes:
        """Octets that may be sent now; raises Malformed on a bare CR or LF."""
        if self._held:
            octets, self._held = self._held + octets, b""
        if octets.endswith(b"\r"):
            octets, self._held = octets[:-1], b"\r"
        if has_bare_line_end(octets):
            # RFC 5321 section 2.3.8: clients "MUST NOT transmit these characters" alone.
            # Whatever made this content, no server behind us is left to guess.
            raise Malformed("outgoing content has a bare CR or LF")
        return octets

    def _complete(self) -> None:
        if self._held:
            raise Malformed("outgoing content ends with a bare CR")


class DataWriter(_LineGuard):
    """Puts transparency on: every leading dot doubled, the end marked, nothing smuggled."""

    __slots__ = ()

    def write(self, octets: bytes) -> bytes:
        """The octets to send for these content octets; raises Malformed on a bare CR or LF."""
        octets = self._guarded(octets)
        if not octets:
            return b""
        out = octets.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and octets.startswith(b"."):
            out = b"." + out
        self._at_line_start = octets.endswith(b"\r\n")
        return out

    def finish(self) -> bytes:
        """What ends the data: a missing last CRLF, then the dot."""
        self._complete()
        return b".\r\n" if self._at_line_start else b"\r\n.\r\n"


class ChunkWriter(_LineGuard):
    """Writes content as BDAT chunks (RFC 3030 section 2)."""

    __slots__ = ()

    def write(self, octets: bytes) -> bytes:
        """One chunk, or nothing yet; raises Malformed on a bare CR or LF."""
        octets = self._guarded(octets)
        if not octets:
            return b""
        self._at_line_start = octets.endswith(b"\r\n")
        return b"BDAT %d\r\n" % len(octets) + octets

    def finish(self) -> bytes:
        """The last chunk: empty, or the missing last CRLF."""
        self._complete()
        return b"BDAT 0 LAST\r\n" if self._at_line_start else b"BDAT 2 LAST\r\n\r\n"
