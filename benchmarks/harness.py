"""Drives one measurement: a fresh process for the loop under test, the load beside it, a bound on everything.

A measurement gives an Outcome and never raises for what happens inside it: a loop that lacks a method,
crashes or hangs is a fact for the table.  Every child is killed by its own process id when the measurement
ends, however it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import select
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catalog
import database
import loops
import native
from resident import resident

WORKER = Path(__file__).resolve().parent / "worker.py"
START_LIMIT = 30.0  # seconds until a server must listen
WINDOW = 0.1  # seconds that a process is measured before the next one has its turn
SETTLED = 1.5  # seconds until what a runtime sets up beside the program, such as a thread of its own, is there

# What `load` may be: the program in floor/ that is the other side of a server, and the one that is the floor beside it,
# or the other side of a client.  Every load client knows how it is to speak by the same word.
SPEAKERS = {
    "tcp": ("load", "echo"),
    "unix": ("load", "echo"),
    "udp": ("load", "echo"),
    "http": ("load", "http"),
    "https": ("visit", "https"),
    "handshake": ("visit", "https"),
    "connect": ("visit", "http"),
    "pour": ("bulk", ""),
    "drain": ("bulk", ""),
    "postgres": ("", ""),
}
CERTIFICATE = native.SOURCES / "localhost.pem"


@dataclass(frozen=True)
class Settings:
    seconds: float
    quick: bool
    whole: bool = False  # in one part, warm-up included

    @property
    def windows(self) -> int:
        """In how many parts a measurement is taken."""
        return 1 if self.whole else max(round(self.seconds / WINDOW), 1)

    @property
    def window(self) -> float:
        return self.seconds / self.windows

    @property
    def warm_up(self) -> float:
        """Seconds: what a program and its interpreter do once, at first, is not the price of a request."""
        return self.seconds / 2 if self.quick else 0.3

    @property
    def limit(self) -> float:
        """Seconds a measurement may take in all: the heaviest batch runs twice, on a busy machine."""
        return (20 if self.quick else 60) + 4 * self.seconds


@dataclass(frozen=True)
class Outcome:
    windows: tuple[float, ...] = ()  # the figures of one process, or none and why
    skip: str = ""
    error: str = ""

    @property
    def figure(self) -> float | None:
        return statistics.median(self.windows) if self.windows else None


class Failed(Exception):
    """The measurement has no figure; the text says why."""


class Skipped(Exception):
    """The measurement is not for this machine; the text says why."""


def measure(pairs: list[tuple[catalog.Scenario, str]], heap: str, settings: Settings) -> list[Outcome]:
    """One figure for each of `pairs` (a row, and a loop), each from a fresh process.

    Where a process can be measured again and again, all are there at once and take turns, window by window: what a
    shared machine does to one of them in a second it does to the others too.  The figure is the windows' median.
    """
    if heap == "fresh":
        settings = dataclasses.replace(settings, whole=True)  # the end of a window's connections would warm the heap
    candidates = [_Candidate(scenario, loop, heap, settings) for scenario, loop in pairs]
    try:
        for candidate in candidates:
            candidate.start()
        for turn in range(settings.windows):
            for candidate in reversed(candidates) if turn % 2 else candidates:
                candidate.window()
    finally:
        for candidate in candidates:
            candidate.end()
    return [candidate.outcome() for candidate in candidates]


class _Candidate:
    """One loop on one row: its process, from start() to end(), and what was measured; what goes wrong is kept."""

    def __init__(self, scenario: catalog.Scenario, loop: str, heap: str, settings: Settings) -> None:
        self._what = (scenario, loop, heap, settings)
        self._stack = contextlib.ExitStack()
        self._measured: Callable[[], float] | None = None
        self._figures: list[float] = []
        self._failure: Outcome | None = None

    def start(self) -> None:
        """Until it can be measured; a process that can be measured only once is, and ends."""
        kind = self._what[0].kind
        with self._failures():
            if kind in ONCE:
                self._figures.append(ONCE[kind](*self._what))
            else:
                self._measured = self._stack.enter_context(WINDOWED[kind](*self._what))

    def window(self) -> None:
        with self._failures():
            if self._measured is not None:
                self._figures.append(self._measured())

    def end(self) -> None:
        self._stack.close()

    def outcome(self) -> Outcome:
        return self._failure or Outcome(tuple(self._figures))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            try:
                yield
            except Failed as failure:
                # _running() adds what the child has said
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        except (Skipped, native.NoCompiler, database.NoDatabase) as why:
            self._fail(Outcome(skip=str(why)))
        except (Failed, OSError) as why:
            self._fail(Outcome(error=str(why) or type(why).__name__))

    def _fail(self, outcome: Outcome) -> None:
        self._failure = self._failure or outcome
        self._measured = None
        self._stack.close()


def _order(scenario: catalog.Scenario, loop: str, heap: str, settings: Settings, **more: Any) -> list[str]:
    order = {
        "scenario": scenario.name,
        "loop": loops.base(loop),
        "heap": heap,
        "seconds": settings.seconds,
        "quick": settings.quick,
        **more,
    }
    return [sys.executable, str(WORKER), json.dumps(order)]


@contextlib.contextmanager
def _running(
    command: list[str], together: bool = False, loop: str = "", commands: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """The child, killed at the end; what it wrote to stderr is told when the measurement fails.

    `commands`: its standard input is a pipe.
    Children that run `together` share one CPU.  With one request in flight two processes take turns sleeping,
    and on two CPUs the price of waking an idle one (in a virtual machine several times that of the request)
    would be the figure, or would not be, depending on what else the machine does.
    """
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if commands else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=loops.environment(loop),
        )
        try:
            if together:
                os.sched_setaffinity(child.pid, {max(os.sched_getaffinity(0))})
            yield child
        except Failed as failure:
            if child.poll() is None:
                raise
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise Failed(f"{failure}{': ' + said[-1] if said else ''}") from None
        finally:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
            if child.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()


def _answer(child: subprocess.Popen[bytes], limit: float) -> dict[str, Any]:
    """The child's JSON line."""
    assert child.stdout is not None
    end = time.monotonic() + limit
    text = b""
    while not text.endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            raise Failed(f"no answer within {limit:.0f} s")
        piece = os.read(child.stdout.fileno(), 65536)
        if not piece:
            status = child.wait()
            raise Failed(f"died of signal {-status}" if status < 0 else f"ended with status {status}")
        text += piece
    try:
        answer: dict[str, Any] = json.loads(text.splitlines()[-1])
    except ValueError:
        raise Failed(f"an answer that is not one: {text[:100]!r}") from None
    if "error" in answer:
        raise Failed(answer["error"])
    if "skip" in answer:
        raise Skipped(answer["skip"])
    return answer


@contextlib.contextmanager
def _steps(
    scenario: catalog.Scenario, loop: str, heap: str, settings: Settings, **more: Any
) -> Iterator[Callable[[], float]]:
    """A worker that runs batches for as long as each line on its standard input says."""
    with _running(_order(scenario, loop, heap, settings, **more), loop=loop, commands=True) as child:
        _answer(child, settings.limit)
        assert child.stdin is not None
        commands = child.stdin

        def window() -> float:
            with contextlib.suppress(BrokenPipeError):  # the answer says why
                commands.write(b"%g\n" % settings.window)
                commands.flush()
            return float(_answer(child, settings.limit)["figure"])

        yield window


def _figure(scenario: catalog.Scenario, loop: str, heap: str, settings: Settings) -> float:
    with _running(_order(scenario, loop, heap, settings), loop=loop) as child:
        return float(_answer(child, settings.limit)["figure"])


def _floor(scenario: catalog.Scenario, path: str = "") -> list[str]:
    """The command of the C server."""
    name = SPEAKERS[scenario.load][1]
    if not name:
        raise Skipped("no C program does this row's work")
    arguments = {"echo": [scenario.load, path], "http": [], "https": [str(CERTIFICATE), str(scenario.size)]}[name]
    return [native.program(name), *arguments]


def _load(scenario: catalog.Scenario, where: str, warm_up: float, seconds: float, pid: int) -> list[str]:
    """The command of the load client, which reads the CPU time of process `pid`, or its own if that is 0."""
    name = SPEAKERS[scenario.load][0]
    size = [str(scenario.size)] if name == "load" else []
    window = [str(warm_up), str(seconds), str(pid)]
    return [native.program(name), scenario.load, where, str(scenario.connections), *size, *window]


def _priced(
    scenario: catalog.Scenario, where: str, settings: Settings, pid: int, together: bool = False
) -> Callable[[], float]:
    """What measures the CPU time per request, once the process has been warmed up."""

    def run(warm_up: float, seconds: float) -> dict[str, Any]:
        command = _load(scenario, where, warm_up, seconds, pid)
        with _running(command, together=together) as client:
            return _answer(client, settings.limit + 4 * seconds)

    def window() -> float:
        """A window in which nothing was answered was too short for this machine: a longer one."""
        for longer in (1, 5, 25):
            done = run(settings.warm_up if settings.whole else settings.window / 10, settings.window * longer)
            if done["requests"]:
                return float(done["cpu_ns"] / done["requests"] / 1e3)
            if not settings.quick:
                break
        raise Failed("not one request was answered")

    if not settings.whole:
        run(settings.warm_up, settings.window / 10)
    return window


@contextlib.contextmanager
def _client(scenario: catalog.Scenario, loop: str, heap: str, settings: Settings) -> Iterator[Callable[[], float]]:
    if loop == loops.FLOOR and SPEAKERS[scenario.load][0] != "visit":
        raise Skipped("no C program does this row's work")
    with _other_side(scenario) as port:
        if loop == loops.FLOOR:
            yield _priced(scenario, str(port), settings, 0)
            return
        with _steps(scenario, loop, heap, settings, port=port) as window:
            yield window


@contextlib.contextmanager
def _other_side(scenario: catalog.Scenario) -> Iterator[int]:
    """The port of what a client talks to: a C program, or a database."""
    if scenario.load == "postgres":
        with database.postgresql() as port:
            yield port
    else:
        with _running(_floor(scenario)) as server:
            yield _answer(server, START_LIMIT)["port"]


@contextlib.contextmanager
def _server(scenario: catalog.Scenario, loop: str, heap: str, settings: Settings) -> Iterator[Callable[[], float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "echo")
        floor = loop == loops.FLOOR
        command = _floor(scenario, path) if floor else _order(scenario, loop, heap, settings, path=path)
        alone = scenario.connections == 1
        with _running(command, together=alone, loop=loop) as server:
            port = _answer(server, START_LIMIT)["port"]
            where = path if scenario.load == "unix" else str(port)
            yield _priced(scenario, where, settings, server.pid, together=alone)


def _idle(scenario: catalog.Scenario, loop: str, heap: str, settings: Settings) -> float:
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(scenario.quick_n if settings.quick else scenario.n, open_files * 4 // 5)
    tls = ssl.create_default_context(cafile=CERTIFICATE) if scenario.load == "https" else None
    asked = b"GET / HTTP/1.1\r\n\r\n" if tls else b"x"
    with _running(_order(scenario, loop, heap, settings), loop=loop) as server, contextlib.ExitStack() as held:
        port = _answer(server, START_LIMIT)["port"]

        def connect(many: int) -> None:
            for _ in range(many):
                connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                if tls:
                    connection = held.enter_context(tls.wrap_socket(connection, server_hostname="localhost"))
                connection.sendall(asked)  # one exchange, so that all a connection ever needs has been made
                if not connection.recv(65536):
                    raise Failed("the server hung up")

        connect(count // 10)
        time.sleep(SETTLED)
        before = resident(server.pid)
        connect(count)
        return (resident(server.pid) - before) / count


def _startup(scenario: catalog.Scenario, loop: str, heap: str, settings: Settings) -> float:
    """The second of two runs: the first leaves the bytecode that an installed package brings along, for all alike."""
    command = [sys.executable, "-c", scenario.body(loops.base(loop))]
    environment = loops.environment(loop)
    for _ in range(2):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=START_LIMIT, check=False
        )
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1])
    return float(done.stdout)


# How each kind of row is driven: with processes that are measured window by window, or once.
WINDOWED = {catalog.STEPS: _steps, catalog.CLIENT: _client, catalog.SERVER: _server}
ONCE = {catalog.FIGURE: _figure, catalog.IDLE: _idle, catalog.STARTUP: _startup}
