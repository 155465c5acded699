"""Random asyncio programs, and a run of one on any loop that writes down everything a program can observe.

A program is data: scripts (what each task does, as a list of operations) and reactions (what each callback does).
Subjects are named by number, modulo how many there are, so that every program makes sense.  A task waits only for
tasks that are younger than itself, so that no program waits in a circle.

Time is counted in turns: a ticker that stands in the ready queue adds one second to the loop's clock per turn.  So
both loops see the same clock as long as they take the same turns, and a difference of a single turn shows in the log.
Every timer has a fraction of its own: asyncio's heap leaves the order of equal deadlines open.
"""

import asyncio
import random
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

from hypothesis import strategies as st

import clearloop

EAGER = sys.version_info >= (3, 12)
TURNS = 90


class Ticking:
    """A clock of turns for any event loop class."""

    ticks = 0

    def time(self):
        return 1000.0 + self.ticks

    def tick(self):
        self.ticks += 1
        if self.ticks >= TURNS:
            self.stop()
        self.call_soon(self.tick)


class AsyncioLoop(Ticking, asyncio.SelectorEventLoop):
    pass


class ClearLoop(Ticking, clearloop.EventLoop):
    pass


NAMES = ("sleep", "gather", "shield", "wait_for", "timeout", "Task", "Future")
ORACLE = SimpleNamespace(loop=AsyncioLoop, **{name: getattr(asyncio, name) for name in NAMES})
OURS = SimpleNamespace(loop=ClearLoop, **{name: getattr(clearloop, name) for name in NAMES})
# asyncio's functions on our loop, with our tasks
MIXED = SimpleNamespace(loop=ClearLoop, **{name: getattr(asyncio, name) for name in NAMES[:-2]},
                        Task=clearloop.Task, Future=clearloop.Future)
# asyncio's functions, tasks and futures on our loop
FOREIGN = SimpleNamespace(loop=ClearLoop, **{name: getattr(asyncio, name) for name in NAMES})
# our tasks and futures on asyncio's loop
EXPORTED = SimpleNamespace(loop=AsyncioLoop, **{name: getattr(asyncio, name) for name in NAMES[:-2]},
                           Task=clearloop.Task, Future=clearloop.Future)


class Oops(Exception):
    pass


class Grave(BaseException):
    pass


# ---- programs --------------------------------------------------------------------------------------------------------

number = st.integers(0, 7)
delay = st.integers(-1, 6)
message = st.sampled_from([None, "why", 3])
which = st.sampled_from(["task", "future"])

SYNC = st.one_of(
    st.tuples(st.just("create"), number, st.booleans()),
    st.tuples(st.just("cancel"), which, number, message),
    st.tuples(st.just("uncancel"), number),
    st.tuples(st.just("set_result"), number, number),
    st.tuples(st.just("set_exception"), number, st.booleans()),
    st.tuples(st.just("add_callback"), which, number, number),
    st.tuples(st.just("remove_callback"), which, number, number),
    st.tuples(st.just("call_soon"), number),
    st.tuples(st.just("call_later"), delay, number),
    st.tuples(st.just("call_at"), delay, number),
    st.tuples(st.just("cancel_handle"), number),
    st.tuples(st.just("look"), which, number),
    st.tuples(st.just("outcome"), which, number),
    st.tuples(st.just("raise"), st.booleans()),
)


def async_operations(inner):
    body = st.lists(inner, max_size=3)
    return st.one_of(
        SYNC,
        st.tuples(st.just("sleep0")),
        st.tuples(st.just("sleep"), delay),
        st.tuples(st.just("await"), which, number),
        st.tuples(st.just("shield"), which, number),
        st.tuples(st.just("wait_for"), which, number, delay),
        st.tuples(st.just("gather"), st.lists(st.tuples(which, number), max_size=3), st.booleans()),
        st.tuples(st.just("timeout"), delay, body),
        st.tuples(st.just("swallow"), body),
        st.tuples(st.just("finally"), body, body),
        st.tuples(st.just("run"), number),
        st.tuples(st.just("return"), number),
    )


OPERATION = st.recursive(st.one_of(SYNC, st.tuples(st.just("sleep0"))), async_operations, max_leaves=4)


@dataclass
class Program:
    scripts: list
    reactions: list
    eager: bool = False


PROGRAMS = st.builds(
    Program,
    scripts=st.lists(st.lists(OPERATION, max_size=7), min_size=2, max_size=5),
    reactions=st.lists(st.lists(SYNC, max_size=2), min_size=1, max_size=4),
)


# ---- a run -----------------------------------------------------------------------------------------------------------


def shown(error):
    """An exception as the log compares it: messages of loops name objects by address, only ours are compared."""
    if isinstance(error, (asyncio.CancelledError, Oops, Grave)):
        return (type(error).__name__, error.args)
    return type(error).__name__


@dataclass
class Run:
    program: Program
    api: object
    log: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    tasks: list = field(default_factory=list)
    futures: list = field(default_factory=list)
    handles: list = field(default_factory=list)
    callbacks: dict = field(default_factory=dict)
    timers: int = 0
    made: int = 0

    def run(self):
        loop = self.loop = self.api.loop()
        loop.set_exception_handler(self.report)
        try:
            self.futures = [self.api.Future(loop=loop) for _ in range(3)]
            self.create(0, False)
            loop.call_soon(loop.tick)
            for _ in range(5):  # a BaseException from a task ends a run; nothing may be lost by that
                try:
                    loop.run_forever()
                except BaseException as error:
                    self.log.append(("run ended by", shown(error)))
                    continue
                break
            for number in range(len(self.tasks)):
                self.look("task", number)
            for number in range(len(self.futures)):
                self.look("future", number)
            self.log.append(("live", sorted(self.tasks.index(task) for task in asyncio.all_tasks(loop)
                                            if task in self.tasks)))
            for subject in (*self.tasks, *self.futures):
                if subject.done() and not subject.cancelled():
                    subject.exception()
                subject._log_destroy_pending = False
            return list(self.log), sorted(map(repr, self.reports))
        finally:
            # what is left unfinished goes by itself; when it does is another matter
            loop.set_exception_handler(lambda loop, context: None)
            loop.close()

    def report(self, loop, context):
        self.reports.append((context["message"].split(" at 0x")[0].split("(")[0], shown(context.get("exception"))))

    def note(self, *what):
        current = asyncio.current_task(self.loop) if asyncio._get_running_loop() is not None else None
        who = current.get_name() if current is not None else None
        self.log.append((self.loop.ticks, who, *what))

    def subject(self, kind, number, older=None):
        pool = self.tasks if kind == "task" else self.futures
        if older is not None and kind == "task":
            pool = pool[older + 1 :]
        return pool[number % len(pool)] if pool else None

    def look(self, kind, number):
        subject = self.subject(kind, number)
        if subject is None:
            return
        state = "cancelled" if subject.cancelled() else "done" if subject.done() else "pending"
        self.note("look", kind, number, state, *((subject.cancelling(),) if kind == "task" else ()))

    def outcome(self, kind, number):
        subject = self.subject(kind, number)
        if subject is None:
            return
        for way in (subject.exception, subject.result):
            try:
                value = way()
            except BaseException as error:
                self.note("outcome", kind, number, shown(error))
            else:
                self.note("outcome", kind, number, shown(value) if isinstance(value, BaseException) else repr(value))

    def create(self, script, eager):
        if len(self.tasks) > 25:
            return
        self.made += 1
        mine = len(self.tasks)
        self.tasks.append(None)
        options = {"eager_start": True} if eager and EAGER and self.loop.is_running() else {}
        script %= len(self.program.scripts)
        coro = self.script(mine, self.program.scripts[script])
        try:
            task = self.api.Task(coro, loop=self.loop, name=f"{mine}:{script}", **options)
        finally:
            if self.tasks[mine] is None:
                failed = self.loop.create_future()  # an eager start that raised leaves no task
                failed.set_result(None)
                self.tasks[mine] = failed
                failed.cancelling = failed.uncancel = None
        self.tasks[mine] = task

    def callback(self, number):
        number %= len(self.program.reactions)
        if number not in self.callbacks:

            def react(*subjects):
                self.note("callback", number, *[(s.done(), s.cancelled()) for s in subjects])
                if self.made < 20:
                    self.made += 1  # reactions may cause each other for ever
                    for operation in self.program.reactions[number]:
                        self.do(operation)

            self.callbacks[number] = react
        return self.callbacks[number]

    def deadline(self, delay):
        self.timers += 1
        return delay + self.timers / 4096

    def do(self, operation):
        """An operation that waits for nothing."""
        kind, *args = operation
        loop = self.loop
        try:
            if kind == "create":
                answer = self.create(*args)
            elif kind == "cancel":
                subject = self.subject(*args[:2])
                answer = subject.cancel(args[2])
            elif kind == "uncancel":
                answer = self.subject("task", *args).uncancel()
            elif kind == "set_result":
                answer = self.subject("future", args[0]).set_result(args[1])
            elif kind == "set_exception":
                answer = self.subject("future", args[0]).set_exception(Oops("set") if args[1] else Oops)
            elif kind == "add_callback":
                answer = self.subject(*args[:2]).add_done_callback(self.callback(args[2]))
            elif kind == "remove_callback":
                answer = self.subject(*args[:2]).remove_done_callback(self.callback(args[2]))
            elif kind == "call_soon":
                answer = self.handles.append(loop.call_soon(self.callback(*args)))
            elif kind == "call_later":
                handle = loop.call_later(self.deadline(args[0]), self.callback(args[1]))
                answer = self.handles.append(handle)
            elif kind == "call_at":
                handle = loop.call_at(loop.time() + self.deadline(args[0]), self.callback(args[1]))
                answer = self.handles.append(handle)
            elif kind == "cancel_handle":
                answer = None
                if self.handles:
                    handle = self.handles[args[0] % len(self.handles)]
                    handle.cancel()
                    answer = handle.cancelled()
            elif kind == "look":
                answer = self.look(*args)
            elif kind == "outcome":
                answer = self.outcome(*args)
        except BaseException as error:
            self.note(kind, *args, shown(error))
            if isinstance(error, (AttributeError, TypeError)) and not isinstance(error, asyncio.InvalidStateError):
                if kind not in ("uncancel",):
                    raise
            return
        else:
            if kind != "raise":
                self.note(kind, *args, answer)
        if kind == "raise":
            self.note("raise", *args)
            raise Oops("raised") if args[0] else Grave("raised")

    async def script(self, mine, operations):
        self.note("begins", mine)
        try:
            value = await self.body(mine, operations, 0)
        except BaseException as error:
            self.note("fails", mine, shown(error))
            raise
        self.note("ends", mine, value)
        return value

    async def body(self, mine, operations, depth):
        for operation in operations:
            kind, *args = operation
            value = None
            try:
                value = await self.step(mine, kind, args, operation, depth)
            except BaseException as error:
                self.note(kind, "raised", shown(error))
                raise
            if kind == "return":
                return args[0]
            if kind not in ("sleep0",):
                self.note(kind, "gave", [shown(v) if isinstance(v, BaseException) else v for v in value]
                          if isinstance(value, list) else value)
        return None

    async def step(self, mine, kind, args, operation, depth):
        api = self.api
        if kind == "sleep0":
            await api.sleep(0)
        elif kind == "sleep":
            return await api.sleep(self.deadline(args[0]) if args[0] >= 0 else args[0], "slept")
        elif kind in ("await", "shield", "wait_for"):
            subject = self.subject(args[0], args[1], mine)
            if subject is None:
                return None
            if kind == "await":
                return await subject
            if kind == "shield":
                return await api.shield(subject)
            return await api.wait_for(subject, self.deadline(args[2]))
        elif kind == "gather":
            subjects = [self.subject(*name, mine) for name in args[0]]
            subjects = [subject for subject in subjects if subject is not None]
            return await api.gather(*subjects, return_exceptions=args[1])
        elif kind == "timeout":
            async with api.timeout(self.deadline(args[0])) as scope:
                await self.body(mine, args[1], depth + 1)
            return scope.expired()
        elif kind == "swallow":
            try:
                await self.body(mine, args[0], depth + 1)
            except GeneratorExit:
                raise
            except BaseException as error:
                self.note("swallowed", shown(error))
        elif kind == "finally":
            try:
                await self.body(mine, args[0], depth + 1)
            finally:
                if self.loop.is_running():
                    await self.body(mine, args[1], depth + 1)
        elif kind == "run":
            script = self.program.scripts[args[0] % len(self.program.scripts)]
            if depth < 3:
                return await self.body(mine, script, depth + 1)
        elif kind == "return":
            return args[0]
        else:
            self.do(operation)
        return None


# ---- dense programs --------------------------------------------------------------------------------------------------


class Dense:
    """A long, busy program made of one seed: what Hypothesis' small examples seldom reach, such as a cancellation in
    the very turn in which the awaited future is done."""

    WAITS = ("sleep0", "sleep0", "sleep", "await", "await", "shield", "wait_for", "gather", "timeout", "swallow",
             "swallow", "finally", "run", "return")
    DEEDS = ("create", "create", "cancel", "cancel", "cancel", "uncancel", "set_result", "set_exception",
             "add_callback", "add_callback", "remove_callback", "call_soon", "call_later", "call_at",
             "cancel_handle", "look", "outcome", "raise")

    def __init__(self, seed):
        self.random = random.Random(seed)

    def program(self):
        first = [("create", n, self.random.random() < 0.3) for n in range(1, 6)]
        first += [("add_callback", self.which(), self.number(), self.number()) for _ in range(2)]
        scripts = [first + self.body(5, 2)] + [self.body(7, 2) for _ in range(5)]
        reactions = [[self.deed() for _ in range(self.random.randrange(3))] for _ in range(4)]
        return Program(scripts, reactions)

    def number(self):
        return self.random.randrange(8)

    def which(self):
        return self.random.choice(["task", "task", "future"])

    def delay(self):
        return self.random.randrange(-1, 7)

    def body(self, longest, depth):
        return [self.operation(depth) for _ in range(self.random.randrange(1, longest + 1))]

    def deed(self):
        kind = self.random.choice(self.DEEDS)
        if kind == "create":
            return (kind, self.number(), self.random.random() < 0.3)
        if kind == "cancel":
            return (kind, self.which(), self.number(), self.random.choice([None, "why", 3]))
        if kind in ("uncancel", "call_soon", "cancel_handle"):
            return (kind, self.number())
        if kind == "set_result":
            return (kind, self.number(), self.number())
        if kind == "set_exception":
            return (kind, self.number(), self.random.random() < 0.5)
        if kind in ("add_callback", "remove_callback"):
            return (kind, self.which(), self.number(), self.number())
        if kind in ("call_later", "call_at"):
            return (kind, self.delay(), self.number())
        if kind in ("look", "outcome"):
            return (kind, self.which(), self.number())
        return (kind, self.random.random() < 0.9)

    def operation(self, depth):
        if self.random.random() < 0.4:
            return self.deed()
        kind = self.random.choice(self.WAITS if depth else self.WAITS[:6])
        if kind == "sleep0":
            return (kind,)
        if kind == "sleep":
            return (kind, self.delay())
        if kind in ("await", "shield"):
            return (kind, self.which(), self.number())
        if kind == "wait_for":
            return (kind, self.which(), self.number(), self.delay())
        if kind == "gather":
            subjects = [(self.which(), self.number()) for _ in range(self.random.randrange(4))]
            return (kind, subjects, self.random.random() < 0.5)
        if kind == "timeout":
            return (kind, self.delay(), self.body(3, depth - 1))
        if kind == "swallow":
            return (kind, self.body(3, depth - 1))
        if kind == "finally":
            return (kind, self.body(3, depth - 1), self.body(2, depth - 1))
        return (kind, self.number())
