"""Every conversation of this folder, without a socket and with one."""

import asyncio
import inspect
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.dialogues.company import Company
from tests.dialogues.script import CLOSED, Script, matches, read
from tests.patience import PATIENCE

from gatepost.mail.content import Octets
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo
from gatepost.net.intake import TROUBLE
from gatepost.net.listener import Listener
from gatepost.net.settings import EdgeSettings
from gatepost.smtp import replies
from gatepost.smtp.events import (
    BodyChunk,
    BodyStart,
    EndOfData,
    Event,
    Login,
    MailFrom,
    RcptTo,
    Reset,
    Signal,
    Substituted,
)
from gatepost.smtp.server import ServerSession

SCRIPTS = sorted(Path(__file__).parent.glob("*.smtp"))
NOBODY = SessionInfo("test", "192.0.2.1", 25)


class Bare:
    """A session played without a socket."""

    def __init__(self, script: Script) -> None:
        self.settings = script.settings
        self.session = ServerSession(script.settings, entropy=secrets.token_bytes)
        self.info = replace(NOBODY, is_lmtp=script.settings.lmtp)
        self.company, self.body = Company(), b""
        self.session.greet()

    async def send(self, octets: bytes) -> bytes:
        self.session.receive(octets)
        while not isinstance(event := self.session.next_event(), Signal):
            if isinstance(event, BodyChunk):
                self.body += event.octets
            elif isinstance(event, MailFrom | RcptTo | BodyStart | Login):
                self.session.answer(await self._decide(event))
            elif isinstance(event, EndOfData):
                if event.fault is None:
                    self.session.answer(await self._decide(event))
                self.body = b""
            elif isinstance(event, Reset):
                self.body = b""
            elif isinstance(event, Substituted):
                self.session.renew(replace(self.settings, substitute=False))
                self.session.greet()
        return self.session.data_to_send()

    async def _decide(self, event: Event) -> Reply | Sequence[Reply]:
        try:
            answer = self._asked(event)
            return await answer if inspect.isawaitable(answer) else answer
        except RuntimeError:
            return TROUBLE

    def _asked(self, event: Event) -> Reply | Sequence[Reply] | Awaitable[Reply]:
        match event:
            case MailFrom():
                return self.company.sender(NOBODY, event.envelope)
            case RcptTo():
                return self.company.recipient(NOBODY, event.envelope, event.recipient)
            case EndOfData():
                return self.company.message(self.info, event.envelope, Octets(self.body))
            case Login():
                is_right = event.name == "alice" and event.password == "secret"
                return replies.AUTHENTICATED if is_right else replies.DENIED
            case _:
                return replies.START


def _check(expected: str | None, line: str, name: str) -> None:
    assert expected is not CLOSED, f"{name}: the server said {line!r} instead of closing"
    assert matches(expected, line), f"{name}: expected {expected!r}, heard {line!r}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_without_a_socket(path: Path) -> None:
    """A conversation clients rely on goes another way."""
    script = read(path)
    bare = Bare(script)
    for turn in script.turns:
        lines = (await bare.send(turn.octets)).decode().split("\r\n")[:-1]
        expected = [answer for answer in turn.answers if answer is not CLOSED]
        for want, line in zip(expected, lines, strict=False):
            _check(want, line, path.name)
        assert len(expected) == len(lines), f"{path.name}: {lines}"
        assert (CLOSED in turn.answers) == bare.session.is_closed


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_through_a_socket(path: Path) -> None:
    """The edge between session and network changes the conversation."""
    script = read(path)
    settings = EdgeSettings(script.settings, login_delay=0.0)
    if script.settings.substitute:  # held by the peer's address, which XCLIENT changes
        here = (ip_network("127.0.0.0/8"),)
        server = replace(script.settings, substitute=False)
        settings = replace(settings, server=server, substitute_from=here)
    company = Company()
    listener = Listener(company, settings, host="127.0.0.1", port=0, authenticator=company)
    await listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        async with asyncio.timeout(PATIENCE):
            for turn in script.turns:
                writer.write(turn.octets)
                for want in turn.answers:
                    line = await reader.readline()
                    if want is CLOSED:
                        assert line == b""
                    else:
                        _check(want, line.decode().removesuffix("\r\n"), path.name)
    finally:
        writer.close()
        await listener.stop()
