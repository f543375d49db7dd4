"""A name server for tests: answers from a table, says AD where told, fails where told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from gatepost.lookup.resolver import Resolver, ResolverSettings

Table = Mapping[str, object]  # "name TYPE" → texts of the records, or an rcode; None: silence
SERVFAIL, REFUSED = dns.rcode.SERVFAIL, dns.rcode.REFUSED


class NameServer(asyncio.DatagramProtocol):
    """One server; names not in the table do not exist."""

    def __init__(self) -> None:
        self.table: dict[str, object] = {}
        self.signed: tuple[str, ...] = ()  # domains whose answers are authentic
        self.asked: list[str] = []
        self.ttl = 300

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(f"{name} {kind}")
        found = self.table.get(f"{name} {kind}", ())
        if found is None:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        wants = bool(query.flags & dns.flags.AD)
        if wants and any(name == one or name.endswith(f".{one}") for one in self.signed):
            response.flags |= dns.flags.AD
        if isinstance(found, dns.rcode.Rcode):
            response.set_rcode(found)
        elif not any(key.split()[0] == name for key in self.table):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            texts = [str(one) for one in found]  # type: ignore[attr-defined]  # a table's row
            if texts[0].startswith("CNAME "):
                alias = texts[0].removeprefix("CNAME ")
                response.answer.append(
                    dns.rrset.from_text(name.rstrip(".") + ".", self.ttl, "IN", "CNAME", alias)
                )
                name = alias.removesuffix(".")
                texts = [str(one) for one in self.table.get(f"{name} {kind}", ())]  # type: ignore[attr-defined]  # a row
            if texts:
                response.answer.append(
                    dns.rrset.from_text(name.rstrip(".") + ".", self.ttl, "IN", kind, *texts)
                )
        self.transport.sendto(response.to_wire(), address)


@asynccontextmanager
async def serving(table: Table, *signed: str) -> AsyncIterator[NameServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    server.table, server.signed = dict(table), signed
    try:
        yield server
    finally:
        transport.close()


def resolver(server: NameServer, **more: Any) -> Resolver:
    quick: dict[str, Any] = {"timeout": 5.0, "lifetime": 10.0, **more}
    return Resolver(ResolverSettings((("127.0.0.1", server.port),), **quick))


@contextmanager
def serving_aside(table: Table, *signed: str) -> Iterator[NameServer]:
    """The same in a thread of its own, for commands that have an event loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    transport, server = asyncio.run_coroutine_threadsafe(made, loop).result(5)
    server.table, server.signed = dict(table), signed
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_closed(transport), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _closed(transport: asyncio.BaseTransport) -> None:
    transport.close()
    for _ in range(3):  # until the loop has let go of the socket
        await asyncio.sleep(0)
