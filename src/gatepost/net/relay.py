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
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from gatepost.mail.content import Content
from gatepost.mail.delivery import Attempt, Credentials, NextHop
from gatepost.mail.envelope import Envelope
from gatepost.mail.reply import Reply
from gatepost.net.intake import reply_for
from gatepost.net.peer import is_loopback
from gatepost.net.pool import Pool
from gatepost.net.proof import proof
from gatepost.net.settings import RelaySettings
from gatepost.net.tls import client_context
from gatepost.net.wire import Broken, Wire
from gatepost.route.mx import LOOP
from gatepost.route.tlsa import Unproven
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

_SMALL: Final = 256 * 1024  # octets that are read twice without regret
CONFUSED: Final = Reply(451, "4.5.0", "Next hop broke the order of SMTP")


class _TlsFailed(Exception):
    """The TLS handshake failed, and with it the connection."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How a hop answers."""

    reply: Reply
    remote: str = ""  # empty: it was not reached, or not as its TLS policy asks
    tls: str | None = None
    security: str = ""


class Relay:
    """The sending side of the gateway; one for each event loop."""

    def __init__(
        self,
        helo: str,
        settings: RelaySettings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._helo = helo
        self._settings = settings or RelaySettings()
        self._clock = clock
        self._pools: dict[NextHop, Pool] = {}
        self._contexts: dict[tuple[bool, str, bool], ssl.SSLContext] = {}
        self._is_closed = False

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """Try one transaction with a hop; one attempt for each recipient, in their order."""
        pool = self._pools.get(hop)
        if pool is None:
            slots = self._settings.per_server if hop.domain else self._settings.per_hop
            forget = partial(self._pools.pop, hop, None)
            pool = self._pools[hop] = Pool(self._settings, slots, forget)
        async with pool.slot():
            wire = pool.take()
            if wire is not None:
                results, is_stale = await self._transact(pool, wire, hop, envelope, content)
                if not is_stale:
                    return _attempts(hop, wire, results)
            try:
                self._make_room(hop)
                wire = await self._connect(hop)
            except Broken as broken:
                return tuple(Attempt(r, broken.reply) for r in envelope.recipients)
            results, _ = await self._transact(pool, wire, hop, envelope, content)
            return _attempts(hop, wire, results)

    async def greet(self, hop: NextHop) -> Contact:
        """Connect to a hop as delivery would, and take leave without sending anything."""
        try:
            wire = await self._connect(hop)
        except Broken as broken:
            return Contact(broken.reply)
        wire.close()
        hello = Reply(250, "2.0.0", f"{wire.session.server or hop.host} greets us")
        return Contact(hello, _remote(hop, wire), wire.tls, _told(hop, wire))

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

    def _make_room(self, hop: NextHop) -> None:
        """Close idle connections that others may be waiting for, at the server or here.

        A server counts connections of every kind, whatever TLS we asked it for.
        """
        beside = [
            pool
            for other, pool in self._pools.items()
            if pool.idle and other != hop and (other.host, other.port) == (hop.host, hop.port)
        ]
        for pool in beside:
            while pool.drop():
                pass
        over = sum(pool.open for pool in self._pools.values()) - self._settings.total
        for pool in tuple(self._pools.values()) if over > 0 else ():
            while over > 0 and pool.drop():
                over -= 1

    async def _connect(self, hop: NextHop) -> Wire:
        """A fresh connection, ready for MAIL; raises Broken."""
        try:
            return await self._open(hop, is_clear=hop.tls == "none")
        except _TlsFailed as failure:
            if hop.tls != "opportunistic":
                reply = Reply(451, "4.7.5", f"TLS with {hop} failed: {failure}")
                raise Broken(reply) from failure
            fault = str(failure)
        wire = await self._open(hop, is_clear=True)  # RFC 7435 section 3: fall back
        wire.proved = f"clear text: TLS failed: {fault}"
        return wire

    async def _open(self, hop: NextHop, *, is_clear: bool) -> Wire:
        wire = await self._dial(hop)
        try:
            if hop.implicit_tls:
                self._prove(wire, hop)
            await self._ready(wire, hop, self._settings.greeting_timeout)
            if not is_clear and not hop.implicit_tls:
                await self._start_tls(wire, hop)
            if hop.credentials is not None:
                await self._log_in(wire, hop, hop.credentials)
        except BaseException:
            wire.abort()
            raise
        return wire

    def _prove(self, wire: Wire, hop: NextHop) -> None:
        """Look at the certificate as the hop's policy asks; raises _TlsFailed."""
        try:
            wire.proved = proof(wire.encryption, hop, self._clock)
        except Unproven as failure:
            raise _TlsFailed(str(failure)) from failure
        wire.is_verified = wire.tls is not None and hop.tls in ("verified", "dane")

    async def _dial(self, hop: NextHop) -> Wire:
        """Connect to the first of the hop's addresses that answers; raises Broken."""
        addresses = hop.addresses[: self._settings.addresses] or (hop.host,)
        for address in addresses[:-1]:
            try:
                return await self._dialled(hop, address)
            except Broken:
                continue
        return await self._dialled(hop, addresses[-1])

    async def _dialled(self, hop: NextHop, address: str) -> Wire:
        loop = asyncio.get_running_loop()
        settings = ClientSettings(self._helo, lmtp=hop.lmtp)
        shown = str(hop) if address == hop.host else f"{hop.host}[{address}]:{hop.port}"
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, wire = await loop.create_connection(
                    lambda: Wire(settings),
                    address,
                    hop.port,
                    ssl=self._context(hop) if hop.implicit_tls else None,
                    server_hostname=_asked_for(hop) if hop.implicit_tls else None,
                )
        except TimeoutError:
            raise Broken(Reply(451, "4.4.1", f"No answer from {shown}")) from None
        except ssl.SSLError as error:
            raise Broken(Reply(451, "4.7.5", f"TLS with {shown} failed: {error}")) from error
        except (OSError, UnicodeError) as error:
            text = f"Cannot connect to {shown}: {_reason(error)}"
            raise Broken(Reply(451, "4.4.1", text)) from error
        return wire

    async def _ready(self, wire: Wire, hop: NextHop, patience: float) -> None:
        event = await wire.event(patience)
        if isinstance(event, Unwilling):
            raise Broken(_unwilling(event))
        if not isinstance(event, Ready):
            raise Broken(CONFUSED)
        if hop.domain and wire.session.server == self._helo.lower():
            raise Broken(LOOP)  # RFC 5321 section 6.3: the DNS leads back to ourselves

    async def _start_tls(self, wire: Wire, hop: NextHop) -> None:
        """Upgrade as the hop's policy asks (RFC 3207 section 4)."""
        must = hop.tls != "opportunistic"
        if "STARTTLS" not in wire.session.extensions:
            if must:
                raise Broken(Reply(451, "4.7.4", f"{hop} does not offer STARTTLS"))
            wire.proved = "clear text: STARTTLS is not offered"
            return
        wire.session.starttls()
        event = await wire.event(self._settings.command_timeout)
        if not isinstance(event, TlsAnswer):
            raise Broken(event.reply if isinstance(event, Unwilling) else CONFUSED)
        if event.reply.code != 220:
            if must:
                raise Broken(Reply(451, "4.7.5", f"{hop} refused STARTTLS: {event.reply}"))
            wire.proved = f"clear text: STARTTLS was refused: {event.reply}"
            return
        patience = self._settings.handshake_timeout
        try:
            context, name = self._context(hop), _asked_for(hop)
            await wire.start_tls(context, name, patience, lambda one: self._prove(one, hop))
        except (OSError, TimeoutError) as error:
            raise _TlsFailed(str(error) or type(error).__name__) from error
        await self._ready(wire, hop, self._settings.command_timeout)

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
        """One context for all hops that trust alike: files load once."""
        key = (hop.tls == "verified", hop.tls_ca, not hop.names)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = client_context(
                verify=key[0], anchors=hop.tls_ca, identity=self._settings.identity, names=key[2]
            )
        return context


def _asked_for(hop: NextHop) -> str:
    """The name for SNI: with DANE where the records stand (RFC 7672 section 8.1)."""
    if hop.tls == "dane" and hop.names:
        return hop.names[0]
    return hop.tls_name or hop.host


def _told(hop: NextHop, wire: Wire) -> str:
    """The TLS policy, where it comes from and what came of it, for the record.

    Domains that share a connection have reasons of their own to trust it.
    """
    why = f" ({hop.why})" if hop.why else ""
    return f"{hop.tls}{why}: {wire.proved}"


def _unwilling(event: Unwilling) -> Reply:
    """A hop that greets with 5yz is down or misconfigured; mail waits for its repair."""
    reply = event.reply
    if reply.is_transient or not event.is_greeting:
        return reply
    return Reply(451, "4.3.2", f"Next hop takes no mail now: {reply}")


def _is_eight_bit(envelope: Envelope, content: Content, *, may_declare: bool) -> bool:
    """Whether BODY=8BITMIME is due; content is not read twice where a guess is harmless."""
    if may_declare and content.size > _SMALL:
        return envelope.body != "7BIT"
    try:
        return not all(chunk.isascii() for chunk in content.chunks())
    except Exception as error:
        raise Broken(reply_for(error, "content")) from error


def _attempts(hop: NextHop, wire: Wire, results: Results) -> tuple[Attempt, ...]:
    remote, security = _remote(hop, wire), _told(hop, wire)
    reports = "DSN" in wire.session.extensions
    return tuple(
        Attempt(recipient, reply, remote, wire.tls, security, reports, hop.lmtp)
        for recipient, reply in results
    )


def _remote(hop: NextHop, wire: Wire) -> str:
    return f"{hop.host}[{wire.address}]:{hop.port}"


def _reason(error: OSError | UnicodeError) -> str:
    """What the system says of it; event loops put numbers and addresses of their own around it."""
    if isinstance(error, OSError) and error.errno is not None:
        # Look-up failures (gaierror) have numbers of their own, and their words with them.
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error)
