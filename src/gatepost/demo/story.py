"""The founding story as claims that hold or do not: what `demo --once` checks and exits by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gatepost.demo.exchange import Exchange
from gatepost.demo.world import ALICE, BOB, World
from gatepost.mime import headers
from gatepost.mime.entity import decoded, parse

OFFER = "Dear Bob, our client accepts the offer: £2.4 million, not a penny less."
ANSWER = "Dear Alice, understood. I shall tell the other side on Monday, not before."
TAGGED = "Dear Bob, the second witness has withdrawn."
TAMPERED = "Dear Bob, please pay the deposit to account 40 11 22 tomorrow."
UNSENT = "Dear Bob, this must never be seen by anybody but you."


@dataclass(frozen=True, slots=True)
class Claim:
    """Something the product promises, and whether this run kept it."""

    says: str
    holds: bool
    evidence: str

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"claim": self.says, "holds": self.holds, "evidence": self.evidence}


async def tell(world: World) -> tuple[Claim, ...]:
    """Play the story once; every claim is judged by what travelled and arrived."""
    claims: list[Claim] = []
    claims += _introduced(await world.introduce())
    claims += _secret(world, await world.send(ALICE, "The Henderson file", OFFER, "Alice writes"))
    claims += _secret(world, await world.send(BOB, "Re: The Henderson file", ANSWER, "Bob replies"))
    claims += _tagged(
        world, await world.send(ALICE, "[secure] A witness", TAGGED, "Alice tags [secure]")
    )
    tampered = await world.send(ALICE, "Deposit", TAMPERED, "One bit is flipped", tamper=True)
    claims += _detected(world, tampered)
    world.forget_bob()
    claims += _refused(world, await world.send(ALICE, "Secret", UNSENT, "No certificate"))
    world.restore_bob()
    return tuple(claims)


def _introduced(exchange: Exchange) -> Iterator[Claim]:
    yield _verified(exchange)
    yield _equal(exchange)


def _secret(world: World, exchange: Exchange) -> Iterator[Claim]:
    who = exchange.author.name
    yield Claim(
        f"{who}'s text never crossed the wire in clear",
        bool(exchange.wire) and not world.saw(exchange.text.encode()[:24]),
        f"{len(exchange.octets)} octets crossed; the text is not among them",
    )
    yield Claim(
        f"{who}'s mail was encrypted and opened",
        exchange.was_encrypted,
        "; ".join(str(layer.get("layer")) for layer in exchange.layers),
    )
    yield _verified(exchange)
    yield _equal(exchange)


def _tagged(world: World, exchange: Exchange) -> Iterator[Claim]:
    yield from _secret(world, exchange)
    yield Claim(
        "the tag that asked for encryption was taken out of the subject",
        b"[secure]" not in exchange.octets and "A witness" in exchange.read_subject,
        f"Bob's subject: {exchange.read_subject}",
    )


def _detected(world: World, exchange: Exchange) -> Iterator[Claim]:
    yield Claim(
        "a mail changed on the wire was recognised",
        exchange.arrived is not None and exchange.verdict not in ("pass", ""),
        exchange.results,
    )
    yield Claim(
        "nothing of a changed mail was shown as if it were Alice's",
        exchange.text not in exchange.read_text and not world.saw(exchange.text.encode()[:24]),
        f"Bob's subject: {exchange.read_subject}",
    )


def _refused(world: World, exchange: Exchange) -> Iterator[Claim]:
    yield Claim(
        "without a certificate a mail that must be encrypted is refused in the session",
        exchange.refused
        and exchange.reply.startswith("550 5.7.")
        and BOB.address in exchange.reply,
        exchange.reply,
    )
    yield Claim(
        "nothing of the refused mail crossed the wire",
        not exchange.wire and not world.saw(exchange.text.encode()[:24]),
        f"{len(exchange.octets)} octets crossed",
    )


def _verified(exchange: Exchange) -> Claim:
    return Claim(
        f"{exchange.reader.name} knows the mail is {exchange.author.name}'s and unchanged",
        exchange.verdict == "pass" and exchange.author.address in exchange.results,
        exchange.results,
    )


def _equal(exchange: Exchange) -> Claim:
    """The text is equal, and every field the author wrote is there unchanged.

    Only the transfer encoding may differ: what is signed has to be 7-bit (RFC 8551 3.1.3).
    """
    written = parse(exchange.content)
    arrived = {field.raw for field in headers.fields(exchange.arrived or b"")}
    lost = [
        field.name
        for field in headers.fields(written.header)
        if field.raw not in arrived and field.name not in ("Subject", "Content-Transfer-Encoding")
    ]
    text = decoded(written).decode()
    subject = exchange.subject.removeprefix("[secure] ")
    return Claim(
        f"{exchange.reader.name}'s copy equals what {exchange.author.name} wrote",
        not lost and exchange.read_subject.endswith(subject) and exchange.read_text == text,
        f"{len(exchange.read_text)} of {len(text)} characters of text"
        + (f"; header fields changed: {', '.join(lost)}" if lost else ""),
    )
