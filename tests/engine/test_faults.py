"""Faults and odd uses, one small program each: on clearloop the same happens as on asyncio.

Each case returns what it saw; it runs on asyncio's loop with asyncio's tasks (the oracle), on clearloop with its own
tasks, and mixed.
"""

import asyncio
import contextlib
import contextvars
import decimal
import functools
import gc
import threading
import time
import weakref

import pytest

import clearloop

CASES = []


def case(function):
    CASES.append(function)
    return function


def collect(loop):
    """Let the loop's exception handler write into the list that is returned."""
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(type(context.get("exception")).__name__))
    return reports


def attempt(seen, name, action, *args):
    try:
        action(*args)
    except BaseException as error:
        seen.append((name, type(error).__name__))
    else:
        seen.append((name, "works"))


def run_some(loop, seen):
    """Run the loop until what is ready has run; what ends the run is seen."""
    try:
        loop.call_soon(loop.stop)
        loop.run_forever()
    except BaseException as error:
        seen.append(repr(error))


@case
def a_context_that_is_entered_already(new, Task):
    loop = new()
    collect(loop)
    context = contextvars.copy_context()
    seen = []

    async def job():
        seen.append("ran")

    def inside():
        loop.call_soon(seen.append, 1, context=context)
        task = Task(job(), loop=loop, context=context)
        task._log_destroy_pending = False
        loop.call_later(0, seen.append, 2, context=context)
        loop.call_later(0.001, loop.stop)
        with contextlib.redirect_stderr(None):
            loop.run_forever()
        seen.append(task.done())
        task.get_coro().close()

    context.run(inside)
    loop.close()
    return seen


@case
def a_context_that_is_none(new, Task):
    loop = new()
    reports = collect(loop)
    loop.call_soon(print, context=42)
    seen = []
    run_some(loop, seen)
    loop.close()
    return seen, len(reports)


def fatal(kind):
    def check(new, Task):
        loop = new()
        reports = collect(loop)
        seen = []

        def bad(*args):
            raise kind("x")

        async def bad_job():
            raise kind("job")

        loop.call_soon(seen.append, 1)
        loop.call_soon(bad)
        loop.call_soon(seen.append, 2)
        run_some(loop, seen)
        run_some(loop, seen)
        task = Task(bad_job(), loop=loop)
        task.add_done_callback(lambda task: seen.append("task is done"))
        loop.call_soon(seen.append, 3)
        run_some(loop, seen)
        run_some(loop, seen)
        seen.append(repr(task.exception()))
        future = loop.create_future()
        future.add_done_callback(bad)
        future.add_done_callback(lambda future: seen.append("second callback"))
        future.set_result(1)
        run_some(loop, seen)
        run_some(loop, seen)
        loop.call_later(0, bad)
        loop.call_later(0, seen.append, "timer")
        time.sleep(0.001)
        run_some(loop, seen)
        run_some(loop, seen)
        loop.default_exception_handler = lambda context: seen.append(context["message"])
        loop.set_exception_handler(bad)
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(seen.append, "after the handler")
        run_some(loop, seen)
        run_some(loop, seen)
        loop.close()
        return seen, reports

    check.__name__ = f"{kind.__name__}_from_everywhere"
    CASES.append(check)


for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, BaseException, Exception):
    fatal(kind)


@case
def a_closed_loop(new, Task):
    loop = new()
    loop.close()
    seen = []

    async def job():
        pass

    for name, args in {
        "call_soon": (print,), "call_later": (1, print), "call_at": (1, print), "call_soon_threadsafe": (print,),
        "run_forever": (), "run_until_complete": (None,), "run_in_executor": (None, print),
        "add_signal_handler": (10, print), "remove_signal_handler": (10,), "stop": (), "close": (), "is_running": (),
        "is_closed": (), "add_reader": (0, print), "remove_reader": (0,), "add_writer": (1, print),
        "remove_writer": (1,), "time": (), "get_debug": (), "create_future": (),
    }.items():
        attempt(seen, name, getattr(loop, name), *args)
    coro = job()
    attempt(seen, "create_task", loop.create_task, coro)
    coro.close()
    future = loop.create_future()
    future.add_done_callback(print)
    attempt(seen, "set_result", future.set_result, 1)
    return seen


@case
def a_task_waits_on_a_loop_that_closes(new, Task):
    loop = new()
    future = loop.create_future()
    seen = []

    async def wait():
        await future

    task = Task(wait(), loop=loop)
    task._log_destroy_pending = False
    run_some(loop, seen)
    loop.close()
    attempt(seen, "cancel", task.cancel)
    return seen, future.cancelled()


@case
def bad_input(new, Task):
    loop = new()
    seen = []

    async def job():
        pass

    for name, args in [
        ("create_task", (job,)), ("create_task", (None,)), ("create_task", (iter(()),)),
        ("run_until_complete", (job,)), ("run_until_complete", (print,)), ("run_until_complete", (1,)),
        ("call_later", (None, print)), ("call_later", ("1", print)),
        ("call_later", (-5, len, "")), ("call_later", (float("-inf"), len, "")), ("call_later", (float("inf"), print)),
        ("call_at", (None, print)), ("call_at", ([], print)), ("call_at", (decimal.Decimal(5), len, "")),
        ("call_at", (10**30, print)), ("call_soon", ()), ("set_task_factory", (1,)), ("set_exception_handler", (1,)),
        ("set_default_executor", (1,)), ("add_signal_handler", (0, print)), ("add_signal_handler", ("x", print)),
        ("add_signal_handler", (9, print)), ("add_signal_handler", (10, job)), ("remove_signal_handler", (999,)),
        ("add_reader", (-1, print)), ("add_reader", ("x", print)), ("add_reader", (10**6, print)),
        ("remove_reader", (10**6,)), ("call_exception_handler", ({},)),
    ]:
        attempt(seen, (name, len(seen)), getattr(loop, name), *args)
    attempt(seen, "Task(function)", lambda: Task(job, loop=loop))
    attempt(seen, "Task(builtin)", lambda: Task(print, loop=loop))
    attempt(seen, "keyword", lambda: loop.call_soon(print, foo=1))
    loop.set_debug(True)
    coro = job()
    for name, args in [
        ("call_soon", (job,)), ("call_later", (1, coro)), ("call_at", (1, 3)), ("call_soon", (None,)),
        ("call_soon_threadsafe", (7,)), ("run_in_executor", (None, job)),
    ]:
        attempt(seen, (name, "debug"), getattr(loop, name), *args)
    coro.close()
    loop.close()
    return seen


@case
def a_loop_entered_twice(new, Task):
    loop = new()
    seen = []

    async def job():
        pass

    def inside():
        other = new()
        attempt(seen, "another loop", other.run_forever)
        other.close()
        attempt(seen, "close", loop.close)
        attempt(seen, "run_forever", loop.run_forever)
        asyncio._set_running_loop(loop)  # which asyncio 3.13.0 forgets here
        coro = job()
        attempt(seen, "run_until_complete", loop.run_until_complete, coro)
        coro.close()
        coro = job()
        attempt(seen, "asyncio.run", asyncio.run, coro)
        coro.close()
        loop.stop()
        loop.call_soon(seen.append, "next turn")

    loop.call_soon(inside)
    loop.call_soon(seen.append, "same turn")
    loop.run_forever()
    seen.append("stopped")
    loop.stop()
    loop.run_forever()
    loop.close()
    return seen


@case
def the_wrong_thread_in_debug_mode(new, Task):
    loop = new()
    seen = []
    loop.set_debug(True)
    future = loop.create_future()
    future.add_done_callback(print)

    def elsewhere():
        attempt(seen, "call_soon", loop.call_soon, print)
        attempt(seen, "call_later", loop.call_later, 1, print)
        attempt(seen, "call_at", loop.call_at, 1, print)
        attempt(seen, "set_result", future.set_result, 1)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=elsewhere)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()
    return seen


class Yielding:
    def __init__(self, value, seen):
        self.value = value
        self.seen = seen

    def __await__(self):
        try:
            return (yield self.value)
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise


@case
def awaitables_that_yield_anything(new, Task):
    loop = new()
    collect(loop)
    seen = []

    def generator():
        yield

    elsewhere = new()
    for value in (
        1, None, "x", generator(), elsewhere.create_future(), asyncio.Future(loop=elsewhere),
        clearloop.Future(loop=elsewhere), loop.create_future(), (1,), Exception("e"), object, StopIteration(3),
    ):

        async def job(value=value):
            return await Yielding(value, seen)

        attempt(seen, type(value).__name__, lambda: loop.run_until_complete(Task(job(), loop=loop)))
    elsewhere.close()
    loop.close()
    return seen


@case
def a_task_that_awaits_itself(new, Task):
    loop = new()
    seen = []

    async def job():
        await task

    task = Task(job(), loop=loop)
    attempt(seen, "run", lambda: loop.run_until_complete(task))
    loop.close()
    return seen


@case
def tasks_that_await_each_other(new, Task):
    loop = new()
    seen = []
    tasks = []

    async def job(other):
        await tasks[other]

    tasks += [Task(job(1), loop=loop), Task(job(0), loop=loop)]
    run_some(loop, seen)
    attempt(seen, "cancel", tasks[0].cancel)  # goes in circles
    for task in tasks:
        task._log_destroy_pending = False
        task.get_coro().close()
    loop.close()
    return seen


@case
def a_task_initialised_twice(new, Task):
    loop = new()
    collect(loop)
    seen = []

    async def job(number):
        await asyncio.sleep(0)
        return number

    first = job(1)
    task = Task(first, loop=loop)
    run_some(loop, seen)
    second = job(2)
    try:
        task.__init__(second, loop=loop)
    except RuntimeError:  # from Python 3.15 on
        seen.append("refused")
        second.close()
    result = loop.run_until_complete(task)
    first.close()
    left = len(asyncio.all_tasks(loop))
    loop.close()
    return seen, result, left


@case
def a_result_that_schedules_when_it_dies(new, Task):
    loop = new()
    seen = []

    class Dying:
        def __del__(self):
            seen.append("dies")
            loop.call_soon(loop.stop)

    async def job():
        return Dying()

    Task(job(), loop=loop)
    loop.run_forever()
    loop.close()
    return seen


@case
def hostile_objects(new, Task):
    loop = new()
    collect(loop)
    seen = []

    class Hostile:
        __hash__ = None

        def __eq__(self, other):
            raise ZeroDivisionError

        def __bool__(self):
            raise ZeroDivisionError

        def __call__(self, *args):
            seen.append("called")

    hostile = Hostile()
    future = loop.create_future()
    future.add_done_callback(hostile)
    attempt(seen, "remove another", future.remove_done_callback, print)
    future.set_result(hostile)

    async def job():
        return await future

    task = Task(job(), loop=loop)
    loop.call_soon(hostile)
    loop.call_soon(functools.partial(hostile))
    run_some(loop, seen)
    run_some(loop, seen)
    seen.append(task.result() is hostile)
    loop.close()
    return seen


@case
def a_coroutine_that_swallows_cancellation(new, Task):
    loop = new()
    seen = []

    async def stubborn():
        for _ in range(4):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                seen.append((error.args, task.cancelling()))
        return "done"

    async def main():
        await asyncio.sleep(0)
        for number in range(4):
            task.cancel(number)
            task.cancel(number + 10)
            await asyncio.sleep(0)
        seen.append(await task)
        seen.append((task.cancelled(), task.cancelling(), task.uncancel()))

    task = Task(stubborn(), loop=loop)
    loop.run_until_complete(main())
    loop.close()
    return seen


@case
def subclasses_with_methods_of_their_own(new, Task):
    loop = new()
    seen = []
    Future = asyncio.Future if Task is asyncio.Task else clearloop.Future

    class MyTask(Task):
        def cancel(self, *args, **options):
            seen.append("cancel")
            return super().cancel(*args, **options)

        def add_done_callback(self, fn, *, context=None):
            seen.append("add_done_callback")
            return super().add_done_callback(fn, context=context)

    class MyFuture(Future):
        def set_result(self, result):
            seen.append("set_result")
            return super().set_result(result)

        def __await__(self):
            seen.append("await")
            return (yield from super().__await__())

        __iter__ = __await__

    async def wait(future):
        return await future

    async def main():
        future = MyFuture(loop=loop)
        task = MyTask(wait(future), loop=loop)
        loop.call_later(0.001, future.set_result, 5)
        seen.append(await task)
        task = MyTask(wait(MyFuture(loop=loop)), loop=loop)
        await asyncio.sleep(0)
        task.cancel("message")
        try:
            await task
        except asyncio.CancelledError as error:
            seen.append(error.args)

    loop.run_until_complete(main())
    loop.close()
    return seen


@case
def cancel_inside_a_done_callback(new, Task):
    loop = new()
    seen = []

    async def main():
        future = loop.create_future()

        async def wait():
            try:
                await future
            except BaseException as error:
                seen.append(repr(error))
                raise

        future.add_done_callback(lambda future: seen.append(task.cancel("from the callback")))
        task = Task(wait(), loop=loop)
        await asyncio.sleep(0)
        future.set_result(1)
        try:
            await task
        except BaseException as error:
            seen.append(repr(error))

    loop.run_until_complete(main())
    loop.close()
    return seen


@case
def callbacks_that_cancel_their_own_handle(new, Task):
    loop = new()
    seen = []

    class Callback:
        def __call__(self):
            self.handle.cancel()
            gc.collect()
            seen.append("ran")

    callback = Callback()
    callback.handle = loop.call_soon(callback)
    del callback
    handles = []
    handles.append(loop.call_later(0, lambda: handles[0].cancel()))
    time.sleep(0.001)
    run_some(loop, seen)
    run_some(loop, seen)
    seen.append((handles[0].cancelled(), isinstance(handles[0], asyncio.TimerHandle)))
    reference = weakref.ref(handles.pop())
    gc.collect()
    seen.append(reference() is None)
    loop.close()
    return seen


@case
def async_generators_left_open(new, Task):
    loop = new()
    seen = []

    async def generator():
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            seen.append("finally")

    async def main():
        async for _ in generator():
            break
        gc.collect()
        for _ in range(10):  # turns, in which the first generator is closed by a task of its own
            await asyncio.sleep(0)
        seen.append("main ends")
        left = generator()
        await left.__anext__()
        return left

    left = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    del left
    loop.close()
    return seen


@case
def current_task_and_all_tasks(new, Task):
    loop = new()
    seen = []

    def name():
        task = asyncio.current_task(loop)
        return task and task.get_name()

    async def child():
        seen.append(("child", name()))
        await asyncio.sleep(0)
        seen.append(("child again", name()))

    async def main():
        seen.append(("main", name()))
        loop.call_soon(lambda: seen.append(("callback", name())))
        task = Task(child(), loop=loop, name="child")
        seen.append(sorted(t.get_name() for t in asyncio.all_tasks()))
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(len(asyncio.all_tasks(loop))))
        thread.start()
        thread.join()
        seen.append(elsewhere)
        await task
        seen.append(sorted(t.get_name() for t in asyncio.all_tasks()))

    loop.run_until_complete(Task(main(), loop=loop, name="main"))
    seen.append(name())
    loop.close()
    return seen


@case
def a_factory_of_eager_tasks(new, Task):
    loop = new()
    if not hasattr(asyncio, "eager_task_factory"):
        loop.close()
        return None
    loop.set_task_factory(asyncio.create_eager_task_factory(Task))
    seen = []

    def name():
        return asyncio.current_task().get_coro().__name__

    async def inner():
        seen.append(("inner", name()))
        return 1

    async def outer():
        seen.append(("outer", name()))
        task = asyncio.create_task(inner(), name="inner")
        seen.append(("outer still", name(), task.done()))
        await asyncio.sleep(0)
        seen.append(("outer again", name()))
        return await task

    async def main():
        task = asyncio.create_task(outer(), name="outer")
        seen.append(("main", name()))
        seen.append(await task)
        seen.append(len(asyncio.all_tasks()))

    loop.run_until_complete(Task(main(), loop=loop, name="main"))
    gc.collect()
    loop.close()
    return seen


WAYS = {
    "ours": (clearloop.new_event_loop, clearloop.Task),
    "asyncio tasks on our loop": (clearloop.new_event_loop, asyncio.Task),
    "our tasks on asyncio's loop": (asyncio.SelectorEventLoop, clearloop.Task),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_same_as_on_asyncio(case, way):
    assert case(*WAYS[way]) == case(asyncio.SelectorEventLoop, asyncio.Task)


class Raising:
    @property
    def _asyncio_future_blocking(self):
        raise ValueError("property")


class Refusing:
    _asyncio_future_blocking = True

    def get_loop(self):
        return asyncio.get_running_loop()

    def add_done_callback(self, *args, **options):
        raise ValueError("add_done_callback")


@pytest.mark.parametrize("hostile", [Raising, Refusing])
def test_a_hostile_awaitable_raises_in_the_task_that_awaits_it(hostile):
    """asyncio's task would wait for ever."""

    async def main():
        await Yielding(hostile(), [])

    with pytest.raises(ValueError):
        clearloop.run(main())


def test_a_callback_whose_repr_raises_is_reported_and_the_loop_goes_on():
    class Callback:
        def __repr__(self):
            raise ZeroDivisionError

        def __call__(self):
            raise ValueError

    seen = []
    with contextlib.closing(clearloop.new_event_loop()) as loop:
        loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
        loop.call_soon(Callback())
        loop.call_soon(seen.append, "next")
        run_some(loop, seen)
    assert [type(error) for error in seen] == [ValueError, str]


@pytest.mark.parametrize("method", ["call_at", "call_later"])
def test_nan_is_no_time(method):
    with contextlib.closing(clearloop.new_event_loop()) as loop, pytest.raises(ValueError):
        getattr(loop, method)(float("nan"), print)


def test_a_loop_stepped_by_hand_inside_a_callback():
    """As nested-loop patches do: each callback runs once, none is lost, nothing is read past the end of the queue."""
    seen = []
    with contextlib.closing(clearloop.new_event_loop()) as loop:

        def inside():
            loop._run_once()
            seen.append("inside")

        loop.call_soon(inside)
        for number in range(3):
            loop.call_soon(seen.append, number)
        run_some(loop, seen)
        run_some(loop, seen)
    assert seen == [0, 1, 2, "inside"]


def test_a_replaced_create_task_is_obeyed():
    made = []

    async def job():
        return 1

    async def main():
        loop = asyncio.get_running_loop()
        original = loop.create_task

        def create_task(coro, **options):
            made.append(coro)
            return original(coro, **options)

        loop.create_task = create_task
        return await clearloop.create_task(job())

    assert clearloop.run(main()) == 1
    assert made[0].__name__ == "job"


def test_a_clock_on_the_instance_is_obeyed():
    with contextlib.closing(clearloop.new_event_loop()) as loop:
        now = [100.0]
        loop.time = lambda: now[0]
        seen = []
        loop.call_later(1000, seen.append, "later")
        run_some(loop, seen)
        assert seen == []
        now[0] += 1000
        run_some(loop, seen)
        assert seen == ["later"]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_an_eager_start_in_a_context_that_is_entered_is_refused_and_leaves_nothing():
    async def job():
        pass

    async def main():
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        before = asyncio.current_task()
        with pytest.raises(RuntimeError, match="already entered"):
            context.run(lambda: clearloop.Task(job(), loop=loop, context=context, eager_start=True))
        assert asyncio.current_task() is before
        return len(asyncio.all_tasks())

    assert clearloop.run(main()) == 1


def test_a_task_that_is_settled_from_outside_leaves_the_loop_at_once():
    async def wait(future):
        await future

    async def main():
        loop = asyncio.get_running_loop()
        reports = collect(loop)
        future = loop.create_future()
        task = loop.create_task(wait(future))
        await asyncio.sleep(0)
        clearloop.Future.set_result(task, 5)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await task == 5
        future.set_result(None)  # wakes a task that is over
        await asyncio.sleep(0)
        assert reports == ["InvalidStateError"]
        gone = weakref.ref(task)
        task.get_coro().close()
        del task, future
        return gone

    assert clearloop.run(main())() is None
