"""What `clearloop top` knows of a process: asked again and again, with what has changed between two answers.

A process answers with numbers since its beginning. What a person wants to see is how it is now: so utilisation is that
of the time between two answers, lag that of the last ten seconds, and a task's times those since we began to ask (only
then are they measured).
No Textual in here: `--json` prints the same.
"""

import os
import threading
import time
from collections import deque

from clearloop.show.process import Process, Refused, Unreachable

HISTORY = 240  # samples of each loop that are kept for its curves
PERCENTILES = ("50", "90", "99", "100")
LAG_OVER = 10.0  # seconds that the percentiles of the lag are of
GLANCE = 0.25  # seconds between two looks at whether the loop is held


class Feed:
    """Asks one process.  Everything but `stop` and `wanted` belongs to the thread that calls `take` or `run`."""

    def __init__(self, pid, interval=1.0):
        self.pid = pid
        self.interval = interval
        self.process = Process(pid, 5.0)
        self.stop = threading.Event()
        self.wanted = None  # the task whose details are shown
        self.history = {}  # number of the loop -> [(utilisation, lag)...]
        self.before = {}  # number of the loop -> its last answer
        self.lags = {}  # number of the loop -> [(when, its histogram)...] of the last LAG_OVER
        self.held = {}  # task -> what it had been held when it was first seen
        self.hello = None

    def run(self, seen, glanced, failed):
        """Ask until `stop` is set.

        `seen(snapshot)` is called every interval, `glanced(loops)` in between, `failed(text, gone)` whenever the
        process cannot be asked; `gone` means that it has ended.
        """
        due = 0.0
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    if began >= due:
                        due = began + self.interval
                        seen(self.take())
                    else:
                        glanced(self.process.ask("hello")["loops"])
                except (Unreachable, Refused, KeyError, TypeError) as error:
                    gone = not self.alive()
                    failed(f"process {self.pid} has ended" if gone else str(error), gone)
                    self.process.close()
                    self.before.clear()
                    self.lags.clear()
                    if gone:
                        return
                self.stop.wait(max(0.02, min(GLANCE, due - time.monotonic())))
        finally:
            self.process.close()

    def alive(self):
        """Whether the process is still there."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
        except (OSError, IndexError):
            pass
        if os.path.isdir("/proc/self"):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def take(self):
        """A snapshot: a dict that could be printed as JSON.  Raises what Process.ask() raises."""
        if self.hello is None:
            self.hello = self.process.ask("hello")
        stats = self.process.ask("stats", measure=True)
        tasks = self.process.ask("tasks")
        detail = self._detail()
        loops = [self._loop(entry, stats["time"]) for entry in stats["loops"]]
        held = {entry["number"]: entry.get("held_seconds") for entry in loops}
        return {
            "pid": self.pid,
            "program": self.hello.get("program"),
            "python": self.hello.get("python"),
            "time": stats["time"],
            "loops": loops,
            "stalls": stats.get("places") or [],
            "counts": stats.get("counts") or {},
            "total_tasks": tasks["total"],
            "tasks": self._tasks(tasks, held),
            "detail": detail,
        }

    def _detail(self):
        wanted = self.wanted
        if wanted is None:
            return None
        try:
            answer = self.process.ask("stack", task=wanted)
        except Refused as refused:
            return {"id": wanted, "ended": str(refused)}
        return _task(answer["task"], answer["places"], {}, self.held.get(wanted, 0.0))

    def _tasks(self, answer, held):
        seen = {task["id"]: task.get("held_seconds") or 0.0 for task in answer["tasks"]}
        self.held = {number: self.held.get(number, seconds) for number, seconds in seen.items()}
        return [_task(task, answer["places"], held, self.held[task["id"]]) for task in answer["tasks"]]

    def _loop(self, entry, now):
        """An entry of `loops` with the numbers of the last interval in the place of those since the beginning."""
        number = entry["number"]
        before = self.before.get(number)
        self.before[number] = {**entry, "taken": now}
        entry = dict(entry)
        lags = entry.pop("lags", None) or []
        if before is not None:
            busy = (entry.get("busy_seconds") or 0.0) - (before.get("busy_seconds") or 0.0)
            waited = (entry.get("waiting_seconds") or 0.0) - (before.get("waiting_seconds") or 0.0)
            if busy >= 0 and waited >= 0 and busy + waited > 0:
                entry["utilisation"] = min(1.0, busy / (busy + waited))
            seconds = now - before["taken"]
            if seconds > 0 and entry.get("steps") is not None:
                entry["steps_per_second"] = max(0.0, (entry["steps"] - before["steps"]) / seconds)
        kept = self.lags.setdefault(number, deque())
        kept.append((now, lags))
        while len(kept) > 2 and now - kept[1][0] > LAG_OVER:
            kept.popleft()
        if len(kept) > 1:
            older = kept[0][1]
            entry["lag"] = percentiles([max(0, n - (older[i] if i < len(older) else 0)) for i, n in enumerate(lags)])
        held = entry.get("held_seconds")
        late = (entry.get("lag") or {}).get("99") or 0.0
        if entry.get("at") is not None and held:
            late = max(late, held)
        history = self.history.setdefault(number, deque(maxlen=HISTORY))
        history.append((entry.get("utilisation") or 0.0, late))
        entry["history"] = [list(one) for one in history]
        return entry


def percentiles(counts):
    """Percentile -> seconds, of a histogram as the protocol has it (docs/live.md); None when nothing was counted."""
    total = sum(counts)
    if total <= 0:
        return None
    found, passed, wanted = {}, 0, list(PERCENTILES)
    for bucket, count in enumerate(counts):
        passed += count
        while wanted and passed * 100 >= total * int(wanted[0]):
            found[wanted.pop(0)] = upper_end(bucket) / 1e6
    return found


def upper_end(bucket):
    """The longest lag of a bucket in microseconds: four buckets for each power of two."""
    if bucket < 8:
        return bucket + 1
    doublings, quarter = divmod(bucket - 4, 4)
    return (quarter + 5) << doublings


def _task(task, places, held, held_before):
    """A task with its lines written out, and what can be reckoned from its numbers."""
    task = dict(task)
    task["stack"] = [list(places[number]) for number in task.get("stack") or () if 0 <= number < len(places)]
    age, busy = task.get("age_seconds"), task.get("busy_seconds")
    stalled = task.get("held_seconds")
    if stalled is not None:
        stalled = max(0.0, stalled - held_before)
    now_held = held.get(task.get("loop"))
    if task.get("state") == "ready" and now_held and now_held > 0.05:
        stalled = (stalled or 0.0) + now_held
    task["held_seconds"] = stalled
    since = task.get("measured_seconds") or age
    task["waiting_seconds"] = max(0.0, since - (busy or 0.0) - (stalled or 0.0)) if since is not None else None
    return task


def ordered(tasks, key, falling, wanted=""):
    """The tasks whose name or coroutine has `wanted` in it, by one of COLUMNS' keys; what is not known comes last."""
    wanted = wanted.casefold()
    if wanted:
        tasks = [task for task in tasks if wanted in f"{task['name']} {task['coroutine']}".casefold()]
    known = [task for task in tasks if task.get(key) is not None]
    unknown = [task for task in tasks if task.get(key) is None]
    known.sort(key=lambda task: task["id"])
    known.sort(key=lambda task: task[key].casefold() if isinstance(task[key], str) else task[key], reverse=falling)
    return known + unknown
