"""What the watchdog's thread does when it has found that a loop is held: look, judge, hand over.

The thread itself lives in C (system/watchdog.py).  It imports this module when there is something to see, and calls
`noticed` while a stretch lasts (at 1, 2, 3, 4, 6, 8 ... thresholds), `ended` when the engine has described how it went,
and `descheduled` when the machine, not the program, kept the loop from running.  Whatever is raised here is
logged once, and ends what is said of that stall; the watchdog goes on.
"""

import datetime
import logging
import threading
import time

from clearloop.engine import looking, names, registry, standing
from clearloop.watch import code, syscalls, unlocked, verdict
from clearloop.watch.facts import Facts
from clearloop.watch.sight import Sight
from clearloop.watch.stall import VERDICTS, Delayed, Frame, Stall

_cases = {}  # number of the loop -> the stall that goes on there
_count = 0
_STACK = 100  # frames in a record


class Case:
    """A stall in the making: what each look has seen, and for how long."""

    def __init__(self, loop, number, facts):
        self.loop = loop
        self.number = number
        self.began = facts.began
        self.time = clock_time(facts.seconds)
        self.seen = {}  # place -> [nanoseconds, Sight]
        self.last = None  # the Sight that the time since the last look counts for
        self.looked = 0
        self.holder = None
        self.told = False

    def add(self, sight, now, since):
        """Half of the time between two looks is the older one's, half the younger one's."""
        gap = now - (self.looked or since)
        if self.last is None:
            gap *= 2
        else:
            self.seen[self.last.place][0] += gap // 2
        self.seen.setdefault(sight.place, [0, sight])[0] += gap // 2
        self.last, self.looked = sight, now

    def close(self, now):
        if self.last is not None:
            self.seen[self.last.place][0] += now - self.looked
        return self.sight()

    def sight(self):
        """What was seen the longest."""
        return max(list(self.seen.values()), key=lambda entry: entry[0])[1] if self.seen else None


def noticed(loop, number, facts, looks, spots, hog):
    """A stretch lasts; return False when it is none of ours to speak of (a debugger's)."""
    global _count
    facts = Facts(facts)
    frames = looking.frames_of(loop, code.end_of(loop))
    if frames is None:
        return True
    if code.in_debugger(frames):
        _cases.pop(number, None)
        return False
    if spots:
        frames = unlocked.frames_at(spots, frames, code.end_of(loop)) or frames
    hog = hog_of(hog)
    sight = look(loop, frames)
    case = _cases.get(number)
    if case is None or looks == 1:
        _count += 1
        case = _cases[number] = Case(number, _count, facts)
    if hog is not None:
        case.holder = hog
    case.add(sight, facts.now, facts.began)
    if not case.told:
        case.told = True
        reporting().began(record(case, facts, sight, ongoing=True))
    return True


def ended(described, looked_at, spots, hog):
    """The engine has described stalls that are over.

    `spots` is where the loop number `looked_at` stood when the watchdog began to wait for the GIL: all that is known
    of a step that did not give it back before its end, which is the last of them.
    """
    global _count
    last = max((place for place, entry in enumerate(described) if entry[0] == looked_at), default=-1)
    for place, (number, kind, values, task, callback, task_number, count, victims) in enumerate(described):
        facts = Facts(values, kind)
        case = _cases.pop(number, None)
        if case is not None and case.began != facts.began:
            case = None  # of an earlier stretch, whose end nobody saw
        if case is None:
            _count += 1
            case = Case(number, _count, facts)
        sight = case.close(facts.now)
        if sight is None and spots and place == last:
            sight = sight_of(None, unlocked.frames_at(spots, [], None), task, callback)
        if case.holder is None and number == looked_at:
            case.holder = hog_of(hog)
        stall = record(case, facts, sight, ongoing=False)
        if stall.task is None and sight is None:
            stall.task, stall.callback = task, callback
        if stall.verdict == "blocking":
            excuse(stall)
        stall.delayed_count = count
        stall.delayed = [Delayed(who, what, delay / 1e9) for who, what, delay in victims]
        enter(stall, task_number, sight)
        reporting().ended(stall)


def going_on():
    """The stalls that have been noticed and are not over, from any thread."""
    found = []
    for number, loop in registry.numbered():
        case, values = _cases.get(number), standing.stretch(loop)
        facts = Facts(values) if values is not None else None
        if case is not None and facts is not None and case.began == facts.began:
            found.append(record(case, facts, case.sight(), ongoing=True))
    return found


def descheduled(number, nanoseconds):
    """The machine did not run the loop's thread, or stopped the process."""
    global _count
    _count += 1
    seconds = nanoseconds / 1e9
    now = time.monotonic_ns()
    stall = Stall(
        number=_count,
        loop=number,
        began=clock_time(seconds),
        seconds=seconds,
        begin_ns=now - nanoseconds,
        end_ns=now,
        verdict="descheduled",
        note="the machine did not run the thread",
    )
    enter(stall, 0, None)
    reporting().ended(stall)


def enter(stall, task_number, sight):
    """Into the recorder of its loop, if that is still there: whoever reports it may dump it at once."""
    loop = next((loop for number, loop in registry.numbered() if number == stall.loop), None)
    if loop is not None:
        source, lasti = (sight.source, sight.lasti) if sight is not None else (None, 0)
        how = VERDICTS.index(stall.verdict) + 1
        loop._record_stall(how, task_number, source, lasti, stall.begin_ns, stall.end_ns - stall.begin_ns)


def failed(error):
    """Something above has raised: say so, once."""
    logging.getLogger("clearloop").error(
        "clearloop: the watchdog has failed at a stall, and goes on; later failures are not told", exc_info=error
    )


def look(loop, frames):
    """The user's line, the call that stands there, and the stack."""
    task, callback = names.running(loop)
    return sight_of(loop, frames, task, callback)


def sight_of(loop, frames, task, callback):
    chosen = code.choose(frames)
    if chosen is None:
        return Sight(None, [], task, callback)
    source, lasti, _ = frames[chosen]
    where = code.Where(source, lasti)
    where.call = code.called(loop, chosen, frames, where)
    stack = [code.frame_of(source, lasti) for source, lasti, _ in reversed(frames)]
    if len(stack) > _STACK:
        stack = stack[: _STACK // 2] + stack[-_STACK // 2 :]
    return Sight(where, [Frame(*place) for place in stack], task, callback, source, lasti)


def record(case, facts, sight, ongoing):
    where = sight.where if sight is not None else None
    stall = Stall(
        number=case.number,
        loop=case.loop,
        began=case.time,
        seconds=facts.seconds,
        begin_ns=facts.began,
        end_ns=facts.now,
        ongoing=ongoing,
        cpu_seconds=facts.cpu / 1e9,
        steps=facts.steps,
    )
    if sight is not None:
        stall.task, stall.callback, stall.stack = sight.task, sight.callback, sight.stack
    if where is not None:
        stall.file, stall.line, stall.function = where.file, where.line, where.function
        stall.code, stall.call = where.code, where.call
    elif sight is not None:
        stall.call = sight.callback
    kind = verdict.judge(facts)
    if not ongoing:
        stall.verdict = kind
    stall.note = note(kind, facts, case)
    return stall


def excuse(stall):
    """What looks like a blocking call and is none of the program's."""
    if stall.steps == 1 and stall.file is None and stall.task is None and stall.callback is None:
        # nothing of the program ran: the loop itself waited for a thread that the machine did not run
        stall.verdict, stall.note = "descheduled", "the machine did not run the thread"
    elif _starts_a_thread(stall.stack):
        stall.verdict, stall.note = "gil", "a new thread could not start: another one held the GIL"


def _starts_a_thread(stack):
    """Whether the thread waits in Thread.start(), which ends when the new thread has run for the first time."""
    for place, frame in enumerate(reversed(stack[-3:])):
        if frame.file == threading.__file__ and frame.function == "Thread.start":
            return all(below.file == threading.__file__ for below in stack[len(stack) - place :])
    return False


def note(kind, facts, case):
    if kind == "gil":
        return f"the GIL was held by {case.holder}" if case.holder else "another thread held the GIL"
    if kind == "blocking":
        name = syscalls.name(facts.call)
        return f"in the system call {name}" if name else None
    if kind == "gc":
        return "the garbage collector ran"
    if kind == "descheduled":
        return "the machine did not run the thread"
    return None


def hog_of(hog):
    """The thread that held the GIL when the watchdog began to wait for it, and its line, in words."""
    ident, spots = hog
    if not ident:
        return None
    name = f"thread {names.thread_name(ident)}"
    frames = unlocked.frames_at(spots, [], None)
    place = code.choose(frames)
    if place is None:
        return name
    where = code.Where(frames[place][0], frames[place][1])
    text = f": {code.one_line(where.code)}" if where.code else ""
    return f"{name} at {where.file}:{where.line} in {where.function}{text}"


def clock_time(seconds):
    began = datetime.datetime.fromtimestamp(time.time() - seconds).astimezone()
    return began.isoformat(timespec="milliseconds")


def reporting():
    from clearloop.watch import reporting

    return reporting
