"""python benchmarks/cost_counts.py: what watching and recording cost, in counts that a busy machine cannot move.

CPU time on a shared machine differs by ten per cent from one run to the next; a cost of one per cent cannot be seen
in it.  Instructions can be counted exactly: callgrind runs each row with everything on and with everything off
(CLEARLOOP_WATCH=0 CLEARLOOP_RECORD=0), over the same number of operations, and counts those of the loop's thread, and
of the watchdog's per look.  The clock runs slower there by as much as the program does (counting.c), so that what goes
by the clock comes as often per operation as it really would; and before the count begins, all saved credits are spent.

From instructions to time: what an operation takes natively is measured without callgrind, in user mode and in the
kernel.  Each further instruction is taken to need as long as the row's others, at most INSTRUCTION; each further read
of the clock CLOCK_READ, each wake-up of the watchdog WAKE.  The sum is given in per cent of the CPU time of an
operation.  A server is counted as it is under full load, where it never waits for its clients.

Needs valgrind with its headers, and a C compiler.  With strace, system calls are counted as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catalog
import database
import harness
import loops
import native

HERE = Path(__file__).resolve().parent
CHILD = HERE / "counted.py"
ON, OFF = "on", "off"
INSTRUCTION = 0.35  # ns: at most a cycle each, where code that runs all the time needs a third of one
CLOCK_READ = 22.0  # ns
WAKE = 5_000.0  # ns: the watchdog's thread is switched to, looks, and is switched from
LIMITS = {catalog.STEPS: 3.0, catalog.SERVER: 1.0, catalog.CLIENT: 1.0}  # per cent of CPU time
COUNTED = 2_000  # operations under callgrind, at least: some rows count in bunches
TRACED = 2_000  # operations under strace
STRETCH = 40e6  # ns of the slowed clock, at least: some ten ticks, with each of which credits come
NATIVE = 0.4  # seconds


class NotHere(RuntimeError):
    """The machine lacks what counting needs."""


@dataclass
class Cost:
    """One row.  Each pair of figures is (off, on), per operation."""

    scenario: catalog.Scenario
    instructions: tuple[float, float]  # of the loop's thread
    clock_reads: tuple[float, float]
    calls: tuple[float, float] | None
    records: float  # per operation, under callgrind
    look: float  # instructions of the watchdog's thread, per look
    wakes: float  # of the watchdog a second, natively
    native_records: float
    user_ns: float  # of an operation with everything off
    system_ns: float

    @property
    def looking_ns(self) -> float:
        """What the watchdog uses during an operation."""
        return self.wakes * (self.user_ns + self.system_ns) / 1e9 * WAKE

    @property
    def of_instructions(self) -> float:
        """Per cent more in the loop's thread."""
        off, on = self.instructions
        return 100 * (on - off) / off

    @property
    def of_time(self) -> float:
        """Per cent of an operation's CPU time, as what is more of instructions, clock reads and wake-ups would take."""
        each = min(self.user_ns / self.instructions[0], INSTRUCTION)
        more = (self.instructions[1] - self.instructions[0]) * each
        more += (self.clock_reads[1] - self.clock_reads[0]) * CLOCK_READ + self.looking_ns
        return 100 * more / (self.user_ns + self.system_ns)


def library() -> str:
    """The path of counting.c as a shared library."""
    if shutil.which("valgrind") is None:
        raise NotHere("valgrind is not installed")
    source = HERE / "counting.c"
    target = native.cache() / f"counting-{os.uname().machine}-{int(source.stat().st_mtime_ns):x}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise NotHere("no C compiler found")
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            built = Path(folder) / "counting.so"
            command = [compiler, "-O2", "-fPIC", "-shared", "-o", str(built), str(source), "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotHere(f"counting.c does not compile (are valgrind's headers there?): {done.stderr[:300]}")
            built.replace(target)
    return str(target)


# ---- the other side -------------------------------------------------------------------------------------------------


class Clients:
    """Connections on which one request each goes out, and all answers are read, so many times over."""

    def __init__(self, scenario: catalog.Scenario, where: str) -> None:
        self.scenario, self.where = scenario, where
        self.request = b"x" * scenario.size
        self.answer = len(self.request)
        if scenario.load in ("http", "https", "connect", "handshake"):
            self.request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self.answer = 0  # known after the first
        self.fresh = scenario.load in ("connect", "handshake")
        self.tls = None
        if scenario.load in ("https", "handshake"):
            self.tls = ssl.create_default_context(cafile=str(harness.CERTIFICATE))
        self.connections = [] if self.fresh else [self.connect() for _ in range(scenario.connections)]

    def connect(self) -> socket.socket:
        if self.scenario.load == "unix":
            made = socket.socket(socket.AF_UNIX)
            made.connect(self.where)
        elif self.scenario.load == "udp":
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.connect(("127.0.0.1", int(self.where)))
        else:
            made = socket.create_connection(("127.0.0.1", int(self.where)))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(120)
        return self.tls.wrap_socket(made, server_hostname="localhost") if self.tls else made

    def rounds(self, requests: int) -> int:
        """At least so many requests; return how many."""
        done = 0
        while done < requests:
            if self.fresh:
                self.once()
                done += 1
                continue
            for connection in self.connections:
                connection.sendall(self.request)
            for connection in self.connections:
                self.read(connection)
            done += len(self.connections)
        return done

    def once(self) -> None:
        with self.connect() as connection:
            connection.sendall(self.request)
            while connection.recv(65536):
                pass

    def read(self, connection: socket.socket) -> None:
        got = b""
        while not self.answer:
            got += connection.recv(65536)
            head, found, _ = got.partition(b"\r\n\r\n")
            if found:
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                self.answer = len(head) + 4 + int(length.group(1)) if length else len(got)
        left = self.answer - len(got)
        while left > 0:
            piece = connection.recv(min(left, 65536))
            if not piece:
                raise harness.Failed("the server hung up")
            left -= len(piece)

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


# ---- one run --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def child(order: dict[str, Any], switched: str, before: list[str], more: dict[str, str]) -> Iterator[Any]:
    env = loops.environment(next(iter(loops.UNWATCHED)) if switched == OFF else "") | more | {"PYTHONHASHSEED": "0"}
    command = [*before, sys.executable, str(CHILD), json.dumps(order)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env)
        try:
            yield process
            process.stdin.close()
            process.wait(60)  # callgrind writes its last dump
        except (harness.Failed, subprocess.TimeoutExpired) as failure:
            errors.seek(0)
            raise harness.Failed(f"{failure}: {errors.read()[-500:].strip()}") from None
        finally:
            process.kill()
            process.wait()


def run(scenario: catalog.Scenario, switched: str, n: int, before: list[str], more: dict[str, str], ns: float) -> Any:
    """What the child says of `n` operations.  `ns`: what one takes natively, for the clock; 0: this is native."""
    order = {"scenario": scenario.name, "n": n, "ns": ns}
    limit = 400.0

    def tell(process: Any, line: str) -> Any:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        return harness._answer(process, limit)

    if scenario.kind == catalog.STEPS:
        with child(order, switched, before, more) as process:
            return harness._answer(process, limit)
    if scenario.kind == catalog.CLIENT:
        with harness._other_side(scenario) as port:
            order["port"] = port
            with child(order, switched, before, more) as process:
                return harness._answer(process, limit)
    with tempfile.TemporaryDirectory() as folder:
        order["path"] = os.path.join(folder, "echo")
        with child(order, switched, before, more) as process:
            port = harness._answer(process, limit)["port"]
            clients = Clients(scenario, order["path"] if scenario.load == "unix" else str(port))
            try:
                clients.rounds(scenario.connections or 1)
                clients.rounds(n // 10)
                if ns:
                    tell(process, "instrument")
                    clients.rounds(n // 5)
                    tell(process, "pace")
                    done = clients.rounds(n // 5)
                    tell(process, f"begin {ns * done}")
                else:
                    tell(process, "begin")
                done = clients.rounds(n)
                return tell(process, f"end {done}")
            finally:
                clients.close()


def natively(scenario: catalog.Scenario, switched: str, seconds: float) -> dict[str, Any]:
    """Per operation: nanoseconds by the clock, in user mode, in the kernel, records; and wake-ups a second."""
    n = 200 if scenario.kind != catalog.STEPS else min(scenario.n, 2_000)
    while True:
        found = run(scenario, switched, n, [], {}, 0)
        if found["seconds"] >= seconds or n >= 5_000_000:
            break
        n = int(n * min(max(1.3 * seconds / max(found["seconds"], 1e-4), 1.5), 50))
    done = found["operations"]
    return {
        "ns": 1e9 * found["seconds"] / done,
        "user_ns": 1e9 * found["user"] / done,
        "system_ns": 1e9 * found["system"] / done,
        "records": found["records"] / done,
        "turns": found["turns"] / done,
        "woken": found["woken"] / found["seconds"],
    }


def counted(scenario: catalog.Scenario, switched: str, ns: float, n: int) -> tuple[float, float, Any]:
    """(instructions of the loop's thread per operation, of the watchdog's per look, what the child says).

    A dump that is asked for has the thread that asks alone; the watchdog's stands in the one at the end.
    """
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no", "-q"]
        valgrind += [f"--callgrind-out-file={folder}/out"]
        path = library()
        more = {"LD_PRELOAD": path, "COUNTING_LIBRARY": path, "COUNTING_SCALE": "60", "CLEARLOOP_LIVE": "0"}
        found = run(scenario, switched, n, valgrind, more, ns)
        counted = Path(folder, "out.2-01")  # part 1 is what came before the stretch
        whole_life = Path(folder, "out-02")
        if not counted.exists():
            raise harness.Failed("callgrind has left no counts")
        look = instructions(whole_life) / found["looks"] if switched == ON and found["looks"] else 0.0
        return instructions(counted) / found["operations"], look, found


def instructions(file: Path) -> int:
    """All in a dump of callgrind but those of the slow clock itself, whose reads are counted by themselves.

    The format: https://valgrind.org/docs/manual/cl-format.html
    """
    total, called, own = 0, False, False
    ours: set[str] = set()
    for text in file.read_text().splitlines():
        if text.startswith("ob="):
            number, _, name = text[3:].partition(" ")
            if "counting-" in name:
                ours.add(number)
            own = number in ours
        elif text.startswith("calls="):
            called = True  # the next line is what was called, and is counted where it stands
        elif text[:1] in "0123456789+-*" and text:
            if not called and not own:
                total += int(text.split()[1])
            called = False
    return total


def system_calls(scenario: catalog.Scenario, switched: str, n: int) -> float:
    """Per operation, all threads together."""
    if shutil.which("strace") is None:
        return float("nan")
    with tempfile.NamedTemporaryFile("r") as trace:
        found = run(scenario, switched, n, ["strace", "-f", "-qq", "-o", trace.name], {}, 0)
        counting, calls = False, 0
        for line in trace:
            if "getpgid(" in line and "resumed" not in line:
                counting = not counting
            elif counting and "resumed>" not in line and "(" in line:
                calls += 1
    return calls / found["operations"]


def cost(scenario: catalog.Scenario, n: int, trace: bool) -> Cost:
    free = natively(scenario, OFF, NATIVE)
    dear = natively(scenario, ON, NATIVE)
    pace = free["user_ns"] + free["system_ns"]
    n = max(n, int(STRETCH / pace))
    instructions, reads, calls = [], [], []
    look = 0.0
    for switched in (OFF, ON):
        count, look, found = counted(scenario, switched, pace, n)
        instructions.append(count)
        reads.append(found["clock_reads"] / found["operations"])
        if trace:
            calls.append(system_calls(scenario, switched, TRACED))
    return Cost(
        scenario,
        instructions=(instructions[0], instructions[1]),
        clock_reads=(reads[0], reads[1]),
        calls=(calls[0], calls[1]) if calls else None,
        records=found["records"] / found["operations"],
        look=look,
        wakes=dear["woken"],
        native_records=dear["records"],
        user_ns=free["user_ns"],
        system_ns=free["system_ns"],
    )


def idle_wakes(seconds: float) -> float:
    with child({"idle": seconds}, ON, [], {}) as process:
        found = harness._answer(process, 60)
    if not found["watched"]:
        raise harness.Failed("the watchdog's thread was not found")
    return found["woken"] / found["seconds"]


# ---- the table ------------------------------------------------------------------------------------------------------

HEAD = ["row", "instructions", "more", "of instructions", "of CPU time", "limit"]
HEAD += ["records", "bytes", "clock reads", "system calls", "watchdog: wake-ups a second", "instructions a look"]


def line(found: Cost) -> list[str]:
    limit = LIMITS[found.scenario.kind]
    off, on = found.instructions
    return [
        found.scenario.name,
        f"{off:,.0f}".replace(",", " "),
        f"{on - off:+.1f}",
        f"{found.of_instructions:+.2f} %",
        f"{found.of_time:+.2f} %",
        f"{limit:g} %" if found.of_time <= limit else f"**{limit:g} %**",
        f"{found.records:.3f}",
        f"{32 * found.records:.1f}",
        f"{found.clock_reads[1] - found.clock_reads[0]:+.3f}",
        "{:.3f} → {:.3f}".format(*found.calls) if found.calls else "–",
        f"{found.wakes:.0f}",
        f"{found.look:.0f}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/cost_counts.py", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="GLOB", action="append", default=[], help="as for run.py")
    parser.add_argument("--count", metavar="N", type=int, default=COUNTED, help=f"operations counted ({COUNTED})")
    parser.add_argument("--strace", action="store_true", help="count system calls as well")
    parser.add_argument("--json", metavar="FILE", type=Path, help="every figure")
    options = parser.parse_args()
    rows = [s for s in catalog.chosen(catalog.every_scenario(), options.only) if s.kind in LIMITS]
    try:
        library()
    except NotHere as why:
        print(f"nothing can be counted: {why}", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}; wake-ups of the watchdog while idle: {idle_wakes(2.0):g} a second.\n")
    print("| " + " | ".join(HEAD) + " |", "| " + " | ".join(["---", *["---:"] * (len(HEAD) - 1)]) + " |", sep="\n")
    figures, status = [], 0
    for scenario in rows:
        if scenario.load in ("pour", "drain"):
            continue  # a stream of bytes has no operations
        try:
            found = cost(scenario, options.count, options.strace)
        except (harness.Failed, harness.Skipped, native.NoCompiler, database.NoDatabase, OSError) as why:
            print(f"{scenario.name}: {why}", file=sys.stderr)
            continue
        print("| " + " | ".join(line(found)) + " |", flush=True)
        status |= found.of_time > LIMITS[scenario.kind]
        shares = {"of_instructions": found.of_instructions, "of_time": found.of_time}
        figures.append({**vars(found), "scenario": scenario.name, **shares})
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
