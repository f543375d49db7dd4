"""A next hop that does what it is told, once, at any stage of the conversation.

With a context it offers STARTTLS, and takes mail under TLS only.
"""

import asyncio
import re
import ssl
from collections import Counter
from contextlib import suppress
from typing import Self

from tests.crash.secret import is_seen

STAGES = ("banner", "ehlo", "mail", "rcpt", "data", "body", "dot")
DEEDS = ("4xx", "5xx", "close", "hang", "noise")
HANG = 1.5  # longer than the gateway's patience in these tests
_ID = re.compile(rb"^Message-ID:\s+(<[^>]+>)", re.MULTILINE | re.IGNORECASE)
_WORDS = {
    "4xx": b"451 4.3.0 not now\r\n",
    "5xx": b"554 5.7.1 never\r\n",
    "noise": b"\x00\xff what?\r\n",
}
_REPLIES = {
    b"EHLO": ("ehlo", b"250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
    b"HELO": ("ehlo", b"250 hop\r\n"),
    b"MAIL": ("mail", b"250 2.1.0 yes\r\n"),
    b"RCPT": ("rcpt", b"250 2.1.5 yes\r\n"),
}


class _Leave(Exception):
    """The hop hangs up."""


class Hop:
    """Counts Message-IDs; of reports those that they speak of."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.ids: Counter[str] = Counter()
        self.reported: set[str] = set()
        self.clear = 0  # mails that came without encryption, or with the text to be seen
        self.script: tuple[str, str] | None = None
        self.done = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(_Leave, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(writer, "banner", b"220 hop ESMTP\r\n")
            tls = self._tls
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"STAR" and tls is not None:
                    writer.write(b"220 2.0.0 go\r\n")
                    await writer.start_tls(tls)
                    tls = None
                elif verb == b"EHLO" and tls is not None:
                    await self._answer(writer, "ehlo", b"250-hop\r\n250 STARTTLS\r\n")
                elif verb in _REPLIES:
                    await self._answer(writer, *_REPLIES[verb])
                elif verb == b"DATA":
                    if await self._answer(writer, "data", b"354 go\r\n"):
                        await self._take(reader, writer)
                elif verb == b"QUIT":
                    break
                else:
                    writer.write(b"250 2.0.0 yes\r\n")
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, stage: str, good: bytes) -> bool:
        """Say it; or what the script says.  Whether it was the good word."""
        deed = self._deed(stage)
        if deed in ("close", "hang"):
            await asyncio.sleep(HANG if deed == "hang" else 0)
            raise _Leave
        writer.write(_WORDS.get(deed, good))
        await writer.drain()
        return not deed

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = b"\r\n"
        while not content.endswith(b"\r\n.\r\n"):
            content += await reader.readline()
            if reader.at_eof():
                raise _Leave
            if len(content) > 500 and (deed := self._deed("body")):
                if deed in _WORDS:
                    writer.write(_WORDS[deed])  # out of turn
                await asyncio.sleep(HANG if deed == "hang" else 0)
                raise _Leave
        if self.script == ("dot", "close"):
            self._keep(content)  # taken, but the answer is lost
        if await self._answer(writer, "dot", b"250 2.0.0 mine\r\n"):
            self._keep(content)

    def _keep(self, content: bytes) -> None:
        found = [one.decode() for one in _ID.findall(content)]
        self.clear += is_seen(content)
        if b"multipart/report" in content[:8000]:
            self.reported.update(found)
            return
        if found:  # else a client that was not answered in turn gives an empty mail
            self.ids[found[0]] += 1
            self.clear += b"application/pkcs7-mime" not in content

    def _deed(self, stage: str) -> str:
        if self.script is None or self.script[0] != stage:
            return ""
        (_, deed), self.script = self.script, None
        self.done = f"{stage} {deed}"
        return deed
