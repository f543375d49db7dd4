"""`make bench`: interleaved rounds, ratios against Postfix, then one large mail's memory.

Absolute figures depend on the machine; compare the ratios.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.peers.gateway import children

from benchmarks.contender import Contender, Gatepost, PipeRecipe, PlainPostfix
from benchmarks.load import blast
from benchmarks.memory import MIB, growth

SIZE = 10 * 1024
SHARE_OF_RECIPE = 10  # the recipe is so slow that it gets a tenth of the mails
LARGE = 100 * MIB


def main() -> int:
    """Measure and print; the exit code is 1 when a target is missed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        gateways = [Gatepost(folder, workers) for workers in (1, 2)]
        contenders: list[Contender] = [PlainPostfix(folder), *gateways, PipeRecipe(folder)]
        for one in contenders:
            stack.enter_context(one)
        rates = _rounds(contenders, options.rounds, options.messages, options.sessions)
        process = gateways[0].process
        assert process is not None
        (worker,) = children(process.pid)
        grown = growth(worker, gateways[0].port, gateways[0].sink_port, LARGE)
    return _report(contenders, rates, grown, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _rounds(
    contenders: Sequence[Contender], rounds: int, messages: int, sessions: int
) -> dict[str, list[float]]:
    """Arrivals a second of everybody, in turns, so that the machine's mood hits all alike."""
    rates: dict[str, list[float]] = {one.name: [] for one in contenders}
    for number in range(-1, rounds):  # the first round warms up: keys, caches, connections
        for one in contenders:
            count = messages // (SHARE_OF_RECIPE if isinstance(one, PipeRecipe) else 1)
            count = count if number >= 0 else min(count, 100)
            rate = blast(one.port, one.sink_port, messages=count, size=SIZE, sessions=sessions)
            if number >= 0:
                rates[one.name].append(rate.arrived)
                print(f"round {number + 1}  {one.name:36s} {rate.arrived:8.1f}/s", file=sys.stderr)
    return rates


def _report(
    contenders: Sequence[Contender], rates: dict[str, list[float]], grown: int, *, as_json: bool
) -> int:
    medians = {one.name: statistics.median(rates[one.name]) for one in contenders}
    plain = medians[PlainPostfix.name]
    recipe = medians[PipeRecipe.name]
    best = max(medians[one.name] for one in contenders if isinstance(one, Gatepost))
    targets = {
        "against a plain Postfix relay": (best / plain, 0.7),
        "against Postfix pipe + openssl cms": (best / recipe, 10.0),
    }
    met = all(value >= target for value, target in targets.values()) and grown <= 150 * MIB
    if as_json:
        data = {"rates": rates, "ratios": {k: v for k, (v, _) in targets.items()}, "growth": grown}
        print(json.dumps({**data, "met": met}, indent=2))
        return 0 if met else 1
    print(f"\n10 KiB mails, end to end, {SIZE} octets, median of {len(rates[PlainPostfix.name])}")
    for name, median in medians.items():
        print(f"  {name:36s} {median:8.1f}/s   {median / plain:6.2f}x a plain relay")
    for name, (value, target) in targets.items():
        print(f"  Gatepost {name}: {value:.2f}x (target {target:g}x)")
    print(f"  one mail of {LARGE // MIB} MiB: + {grown / MIB:.0f} MiB resident (target + 150 MiB)")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
