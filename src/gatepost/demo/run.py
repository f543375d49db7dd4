"""`gatepost demo`: start the two companies, then tell the story once or serve the page."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from gatepost.demo.picture import picture
from gatepost.demo.server import Page
from gatepost.demo.story import OFFER, Claim, tell
from gatepost.demo.world import ALICE, World
from gatepost.engine.journal import configure_log
from gatepost.errors import ConfigError

PORT = 8025


def once(*, as_json: bool, keep: Path | None = None) -> int:
    """Play the story and print what happened; 0 only if every claim holds, else 1."""
    configure_log("text", "error")
    with _folder(keep) as folder:
        world = World(folder)
        claims = asyncio.run(_once(world))
    if as_json:
        data = {
            "holds": all(claim.holds for claim in claims),
            "claims": [claim.as_data() for claim in claims],
            "exchanges": [picture(exchange) for exchange in world.exchanges],
        }
        print(json.dumps(data, indent=2, ensure_ascii=False))  # noqa: T201  the command's output
    else:
        print(_told(world, claims))  # noqa: T201  the command's output
    return 0 if all(claim.holds for claim in claims) else 1


def page(port: int = PORT, *, keep: Path | None = None) -> int:
    """Serve the page on loopback until Ctrl-C; raises ConfigError when the port is taken."""
    configure_log("text", "error")
    listening = _bound(port)
    with _folder(keep) as folder:
        asyncio.run(_serve(folder, listening))
    return 0


async def _once(world: World) -> tuple[Claim, ...]:
    await world.start()
    try:
        return await tell(world)
    finally:
        await world.stop()


async def _serve(folder: Path, listening: socket.socket) -> None:
    world = World(folder)
    shown = Page(world)
    world.changed = shown.changed
    await world.start()
    server = _Server(
        uvicorn.Config(
            shown.application(), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.end)
    port = listening.getsockname()[1]
    sys.stdout.write(
        f"\n  Gatepost demo: two companies, two gateways, one eavesdropper\n"
        f"  Open http://127.0.0.1:{port}/ — Ctrl-C stops it and removes {folder}\n\n"
    )
    sys.stdout.flush()
    try:
        await world.introduce()
        await world.send(ALICE, "The Henderson file", OFFER, "Alice writes")
        await server.serve(sockets=[listening])
    finally:
        shown.close()
        await world.stop()


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again before the folder is removed."""

    def end(self) -> None:
        """Stop serving."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} is in use ({error.strerror}): choose another with gatepost demo --port N"
        ) from error
    return listening


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A folder that goes when the demo ends, or the one to be kept."""
    if keep is not None:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ConfigError(f"{keep} is not empty: name a new folder for --keep")
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="gatepost-demo-") as name:
        yield Path(name)


def _told(world: World, claims: Sequence[Claim]) -> str:
    lines = []
    for exchange in world.exchanges:
        shown = picture(exchange)
        lines.append(f"{exchange.number}. {exchange.label}: {shown['badge']['text']}")
        lines += [f"     {line}" for line in str(shown["decision"] or exchange.reply).splitlines()]
    lines.append("")
    lines += [f"{'✔' if one.holds else '✘'} {one.says}\n     {one.evidence}" for one in claims]
    return "\n".join(lines)
