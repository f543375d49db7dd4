"""Hands messages to next hops over pooled connections (RFC 5321 sections 3.3 and 4.5.4).

Trouble on the way is an answer, not an exception: every recipient gets an `Attempt`.
A connection that died while idle is replaced once, unseen, as long as the server had
accepted nothing; later than that only a retry decides, for the message may have arrived.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from typing import Final

from gatepost.mail.content import Content, Octets
from gatepost.mail.delivery import Attempt, Credentials, NextHop
from gatepost.mail.envelope import Envelope
from gatepost.mail.reply import Reply
from gatepost.net.intake import reply_for
from gatepost.net.peer import is_loopback
from gatepost.net.pool import Pool
from gatepost.net.settings import RelaySettings
from gatepost.net.tls import client_context
from gatepost.net.wire import Broken, Wire
from gatepost.smtp import sasl
from gatepost.smtp.client import (
    AuthAnswer,
    ClientEvent,
    Ready,
    SendBody,
    Settled,
    TlsAnswer,
    Unwilling,
)
from gatepost.smtp.settings import ClientSettings
from gatepost.smtp.submission import Job, Results

CONFUSED: Final = Reply(451, "4.5.0", "Next hop broke the order of SMTP")


class _TlsFailed(Exception):
    """The TLS handshake failed, and with it the connection."""


class Relay:
    """The sending side of the gateway; one for each event loop."""

    def __init__(self, helo: str, settings: RelaySettings | None = None) -> None:
        self._helo = helo
        self._settings = settings or RelaySettings()
        self._pools: dict[NextHop, Pool] = {}
        self._contexts: dict[tuple[bool, str], ssl.SSLContext] = {}
        self._is_closed = False

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """Try one transaction with a hop; one attempt for each recipient, in their order."""
        pool = self._pools.get(hop)
        if pool is None:
            pool = self._pools[hop] = Pool(self._settings, lambda: self._pools.pop(hop, None))
        async with pool.slot():
            wire = pool.take()
            if wire is not None:
                results, is_stale = await self._transact(pool, wire, hop, envelope, content)
                if not is_stale:
                    return _attempts(hop, wire, results)
            try:
                wire = await self._connect(hop)
            except Broken as broken:
                return tuple(Attempt(r, broken.reply) for r in envelope.recipients)
            results, _ = await self._transact(pool, wire, hop, envelope, content)
            return _attempts(hop, wire, results)

    async def close(self) -> None:
        """Close every idle connection; those in use close when their transaction ends."""
        self._is_closed = True
        for pool in tuple(self._pools.values()):
            pool.close()
        self._pools.clear()

    # ── transactions ─────────────────────────────────────────────────────────────────

    async def _transact(
        self, pool: Pool, wire: Wire, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Results, bool]:
        """The results, and whether the connection was dead before anything was accepted."""
        wire.uses += 1
        try:
            results = await self._converse(wire, hop, envelope, content)
        except Broken as broken:
            wire.abort()
            results = wire.session.abandon(broken.reply)
            if not results:  # broken before the transaction began
                results = tuple((recipient, broken.reply) for recipient in envelope.recipients)
            return results, not wire.session.is_begun
        except BaseException:
            wire.abort()
            raise
        is_stale = wire.session.is_closed and not wire.session.is_begun
        if self._is_closed:
            wire.close()
        else:
            pool.put(wire)
        return results, is_stale

    async def _converse(
        self, wire: Wire, hop: NextHop, envelope: Envelope, content: Content
    ) -> Results:
        settings = self._settings
        eight_bit = _is_eight_bit(
            envelope, content, may_declare="8BITMIME" in wire.session.extensions
        )
        job = Job(
            envelope,
            content.size,
            is_eight_bit=eight_bit,
            chunked=hop.chunking,
            forward=hop.xforward,
            is_verified=wire.is_verified,
        )
        wire.session.begin(job)
        event: ClientEvent | None = await wire.event(settings.command_timeout)
        if isinstance(event, SendBody):
            event = await wire.send(content, settings.block_timeout)
            event = event or await wire.event(settings.final_timeout)
        if not isinstance(event, Settled):
            raise Broken(CONFUSED)
        return event.results

    # ── connections ──────────────────────────────────────────────────────────────────

    async def _connect(self, hop: NextHop) -> Wire:
        """A fresh connection, ready for MAIL; raises Broken."""
        try:
            return await self._open(hop, is_clear=hop.tls == "none")
        except _TlsFailed as failure:
            if hop.tls != "opportunistic":
                reply = Reply(451, "4.7.5", f"TLS with the next hop failed: {failure}")
                raise Broken(reply) from failure
        return await self._open(hop, is_clear=True)  # RFC 7435 section 3: fall back

    async def _open(self, hop: NextHop, *, is_clear: bool) -> Wire:
        wire = await self._dial(hop)
        try:
            await self._ready(wire, self._settings.greeting_timeout)
            if not is_clear and not hop.implicit_tls:
                await self._start_tls(wire, hop)
            wire.is_verified = wire.tls is not None and hop.tls == "verified"
            if hop.credentials is not None:
                await self._log_in(wire, hop, hop.credentials)
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _dial(self, hop: NextHop) -> Wire:
        loop = asyncio.get_running_loop()
        settings = ClientSettings(self._helo, lmtp=hop.lmtp)
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, wire = await loop.create_connection(
                    lambda: Wire(settings),
                    hop.host,
                    hop.port,
                    ssl=self._context(hop) if hop.implicit_tls else None,
                    server_hostname=(hop.tls_name or hop.host) if hop.implicit_tls else None,
                )
        except TimeoutError:
            raise Broken(Reply(451, "4.4.1", f"No answer from {hop}")) from None
        except ssl.SSLError as error:
            raise Broken(Reply(451, "4.7.5", f"TLS with {hop} failed: {error}")) from error
        except (OSError, UnicodeError) as error:
            text = f"Cannot connect to {hop}: {_reason(error)}"
            raise Broken(Reply(451, "4.4.1", text)) from error
        return wire

    async def _ready(self, wire: Wire, patience: float) -> None:
        event = await wire.event(patience)
        if isinstance(event, Unwilling):
            raise Broken(_unwilling(event))
        if not isinstance(event, Ready):
            raise Broken(CONFUSED)

    async def _start_tls(self, wire: Wire, hop: NextHop) -> None:
        """Upgrade as the hop's policy asks (RFC 3207 section 4)."""
        must = hop.tls in ("required", "verified")
        if "STARTTLS" not in wire.session.extensions:
            if must:
                raise Broken(Reply(451, "4.7.4", f"{hop} does not offer STARTTLS"))
            return
        wire.session.starttls()
        event = await wire.event(self._settings.command_timeout)
        if not isinstance(event, TlsAnswer):
            raise Broken(event.reply if isinstance(event, Unwilling) else CONFUSED)
        if event.reply.code != 220:
            if must:
                raise Broken(Reply(451, "4.7.5", f"{hop} refused STARTTLS: {event.reply}"))
            return
        try:
            context = self._context(hop)
            name = hop.tls_name or hop.host
            await wire.start_tls(context, name, self._settings.handshake_timeout)
        except (OSError, TimeoutError) as error:
            raise _TlsFailed(str(error) or type(error).__name__) from error
        await self._ready(wire, self._settings.command_timeout)

    async def _log_in(self, wire: Wire, hop: NextHop, credentials: Credentials) -> None:
        """Prove who we are (RFC 4954); mail waits when we cannot, for a person has to see to it."""
        is_private = wire.tls is not None or is_loopback(wire.address)
        mechanism = sasl.choose(wire.session.extensions.get("AUTH", ""), is_private=is_private)
        if mechanism is None:
            text = f"{hop} offers no way to log in that keeps the password secret"
            raise Broken(Reply(451, "4.7.0", text))
        wire.session.authenticate(sasl.Proof(mechanism, credentials, secrets.token_bytes))
        event = await wire.event(self._settings.command_timeout)
        if not isinstance(event, AuthAnswer):
            raise Broken(event.reply if isinstance(event, Unwilling) else CONFUSED)
        if not event.reply.is_positive:
            raise Broken(Reply(451, "4.7.0", f"{hop} refused our log-in: {event.reply}"))

    def _context(self, hop: NextHop) -> ssl.SSLContext:
        """One context for all hops that trust alike: sessions resume, files load once."""
        key = (hop.tls == "verified", hop.tls_ca)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = client_context(
                verify=key[0], anchors=hop.tls_ca, identity=self._settings.identity
            )
        return context


def _unwilling(event: Unwilling) -> Reply:
    """A hop that greets with 5yz is down or misconfigured; mail waits for its repair."""
    reply = event.reply
    if reply.is_transient or not event.is_greeting:
        return reply
    return Reply(451, "4.3.2", f"Next hop takes no mail now: {reply}")


def _is_eight_bit(envelope: Envelope, content: Content, *, may_declare: bool) -> bool:
    """Whether BODY=8BITMIME is due; content is not read twice where a guess is harmless."""
    if may_declare and not isinstance(content, Octets):
        return envelope.body != "7BIT"
    try:
        return not all(chunk.isascii() for chunk in content.chunks())
    except Exception as error:
        raise Broken(reply_for(error, "content")) from error


def _attempts(hop: NextHop, wire: Wire, results: Results) -> tuple[Attempt, ...]:
    remote = f"{hop.host}[{wire.address}]:{hop.port}"
    return tuple(Attempt(recipient, reply, remote, wire.tls) for recipient, reply in results)


def _reason(error: OSError | UnicodeError) -> str:
    """What the system says of it; event loops put numbers and addresses of their own around it."""
    if isinstance(error, OSError) and error.errno is not None:
        # Look-up failures (gaierror) have numbers of their own, and their words with them.
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error)
