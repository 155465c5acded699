"""One measurement of one scenario on one loop: the process that the harness starts afresh for each.

Prints JSON lines on stdout: the figure; or `{"port": …}` when it serves (it then serves until it is killed); or
`{"ready": true}`, and then a figure for each line on its standard input, which says for how many seconds to run; or
`{"skip": why}` / `{"error": why}`.  CPU time is the process's, all threads together, so that
work which a loop moves to a thread of its own is not free.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import catalog
import loops

LONGEST_LIFE = 300  # seconds; whoever started this process may have died
ONCE_LARGE = 1 << 20  # bytes; freeing a mapped block this large makes glibc keep such blocks from then on


@dataclass
class Bench:
    """What a body gets to work with."""

    loop: Any
    api: Any  # asyncio, or clearloop for its own spellings
    quick: bool
    n: int
    path: str = ""  # of the UNIX socket to listen at
    port: int = 0  # of the server that a client body talks to
    keep: Any = None  # what a server body needs to stay alive


def say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def listening(address: Any) -> int:
    """The port behind what a server body returned: a socket, a server, or a number."""
    if isinstance(address, int):
        return address
    sockets = [address] if isinstance(address, socket.socket) else list(address.sockets)
    name = sockets[0].getsockname()
    return name[1] if isinstance(name, tuple) else 0


async def price(bench: Bench, body: Any, seconds: float) -> tuple[int, float]:
    """(operations, CPU seconds) of as many batches as fit into `seconds`.

    A body whose preparations are not to be counted gives the CPU seconds of the rest itself.
    """
    operations, spent = 0, 0.0
    end = perf_counter() + seconds
    while True:
        before = process_time()
        counted = await body(bench, bench.n)
        spent += process_time() - before if counted is None else counted
        operations += bench.n
        if perf_counter() >= end:
            return operations, max(spent, 1e-9)


def measure(scenario: catalog.Scenario, bench: Bench, seconds: float) -> None:
    run = bench.loop.run_until_complete
    if scenario.eager:
        factory = getattr(bench.api, "eager_task_factory", None)
        if factory is None:
            return say(skip="this Python has no eager task factory")
        bench.loop.set_task_factory(factory)
    if scenario.kind in (catalog.SERVER, catalog.IDLE):
        return run(serve(scenario, bench))
    if scenario.kind == catalog.FIGURE:
        return say(figure=run(scenario.body(bench)))
    run(scenario.body(bench, max(bench.n // 20, 1)))
    if not bench.quick:
        run(price(bench, scenario.body, seconds / 2))  # for the interpreter to have seen what it may specialise
    say(ready=True)
    for line in sys.stdin:  # while the loop stands: reading would block it
        operations, spent = run(price(bench, scenario.body, float(line)))
        per_operation = spent / operations
        say(figure=1e-3 / per_operation if scenario.kind == catalog.STEPS else 1e6 * per_operation)


async def serve(scenario: catalog.Scenario, bench: Bench) -> None:
    server = await scenario.body(bench)
    say(port=listening(server))
    await asyncio.get_running_loop().create_future()


def main() -> None:
    order = json.loads(sys.argv[1])
    signal.alarm(LONGEST_LIFE)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    scenario = next(s for s in catalog.every_scenario() if s.name == order["scenario"])
    for module in scenario.requires:
        try:
            importlib.import_module(module)  # before there is a loop that it would block, as programs do
        except ModuleNotFoundError as missing:
            return say(skip=f"{missing.name} is not installed")
    name, quick = order["loop"], order["quick"]
    own = name == loops.OURS and scenario.api == "own"
    api = importlib.import_module(loops.OURS) if own else asyncio
    loop = loops.make(name)
    asyncio.set_event_loop(loop)
    if order["heap"] == "warmed":
        bytes(ONCE_LARGE)  # allocated and freed at once
    n = scenario.quick_n if quick else scenario.n
    bench = Bench(loop, api, quick, n, path=order.get("path", ""), port=order.get("port", 0))
    try:
        measure(scenario, bench, order["seconds"])
    except Exception as error:
        traceback.print_exc()
        say(error=f"{type(error).__name__}: {error}".rstrip(": "))


if __name__ == "__main__":
    main()
