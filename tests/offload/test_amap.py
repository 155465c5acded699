"""amap: bounded, lazy, in order or not, streamed with back pressure; the first error ends all, and nothing runs on."""

import asyncio
import contextvars
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

import clearloop

number = contextvars.ContextVar("number", default=0)


async def double(item):
    return 2 * item


async def double_later(item):
    await asyncio.sleep(0)
    return 2 * item


def double_blocking(item):
    return 2 * item


async def drawn_async(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


async def everything(mapped):
    return await mapped


class Counted:
    """A function that knows how many of it run at once, and has run."""

    def __init__(self, fails_at=None):
        self.now = self.most = self.begun = 0
        self.fails_at = fails_at

    async def __call__(self, item):
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.001 * (item % 3))
            if item == self.fails_at:
                raise LookupError(item)
            return item
        finally:
            self.now -= 1


@pytest.mark.parametrize("source", [range, lambda n: drawn_async(range(n))], ids=["iterable", "async iterable"])
@pytest.mark.parametrize("func", [double, double_later, double_blocking], ids=lambda func: func.__name__)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("count", [0, 1, 7, 300])
@pytest.mark.parametrize("stream", [False, True])
def test_every_item_once(run, source, func, ordered, count, stream):
    async def main():
        mapped = clearloop.amap(func, source(count), limit=7, ordered=ordered)
        if not stream:
            return await mapped
        async with mapped as results:
            return [result async for result in results]

    results = run(main())
    if not ordered:
        results.sort()
    assert results == [2 * item for item in range(count)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [1, 5])
def test_never_more_than_the_limit(run, stream, limit):
    async def main():
        func = Counted()
        if stream:
            async with clearloop.amap(func, range(100), limit=limit) as results:
                assert [result async for result in results] == list(range(100))
        else:
            await clearloop.amap(func, range(100), limit=limit)
        return func.most

    assert run(main()) == limit


def test_unordered_comes_as_it_is_done(run):
    async def main():
        gates = [asyncio.Event() for _ in range(3)]

        async def wait(item):
            await gates[item].wait()
            return item

        order = []
        async with clearloop.amap(wait, range(3), limit=3, ordered=False) as results:
            for item in (2, 0, 1):
                gates[item].set()
                order.append(await anext(results))
        return order

    assert run(main()) == [2, 0, 1]


def test_items_are_drawn_as_there_is_room(run):
    drawn = []

    def items():
        for item in range(1000):
            drawn.append(item)
            yield item

    async def main():
        gate = asyncio.Event()

        async def wait(item):
            await gate.wait()

        task = asyncio.ensure_future(everything(clearloop.amap(wait, items(), limit=5)))
        await asyncio.sleep(0.01)
        assert len(drawn) == 5
        gate.set()
        await task
        assert len(drawn) == 1000

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_who_takes_slowly_is_not_overrun(run, ordered):
    drawn = []

    def items():
        for item in range(200):
            drawn.append(item)
            yield item

    async def main():
        taken = 0
        async with clearloop.amap(double, items(), limit=4, ordered=ordered) as results:
            async for _ in results:
                await asyncio.sleep(0.0005)
                taken += 1
                assert len(drawn) - taken <= 2 * 4
        assert taken == 200

    run(main())


def test_memory_does_not_grow_with_the_items(run):
    async def main():
        async def peak(count):
            async with clearloop.amap(double, (item for item in range(count)), limit=50) as results:
                async for _ in results:
                    pass
            tracemalloc.reset_peak()
            base = tracemalloc.get_traced_memory()[0]
            async with clearloop.amap(double, (item for item in range(count)), limit=50) as results:
                async for _ in results:
                    pass
            return tracemalloc.get_traced_memory()[1] - base

        tracemalloc.start()
        try:
            few, many = await peak(1_000), await peak(10_000)
        finally:
            tracemalloc.stop()
        assert many < 2 * few + 20_000

    run(main())


def test_each_item_has_a_context_of_its_own(run):
    async def change(item):
        seen = number.get()
        number.set(item)
        return seen

    def change_blocking(item):
        seen = number.get()
        number.set(item)
        return seen

    async def main():
        number.set(7)
        assert set(await clearloop.amap(change, range(10), limit=2)) == {7}
        assert set(await clearloop.amap(change_blocking, range(10), limit=2)) == {7}
        assert number.get() == 7

    run(main())


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [range, lambda n: drawn_async(range(n))], ids=["iterable", "async iterable"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_first_error_ends_all(run, source, stream):
    async def main():
        func = Counted(fails_at=20)
        with pytest.raises(ExceptionGroup, match="unhandled errors in amap") as raised:
            mapped = clearloop.amap(func, source(10_000), limit=5)
            if stream:
                async with mapped as results:
                    async for _ in results:
                        pass
            else:
                await mapped
        (error,) = raised.value.exceptions
        assert isinstance(error, LookupError) and "amap: item 20" in error.__notes__
        assert func.now == 0 and func.begun < 40

    run(main())


def test_a_blocking_function_is_waited_for_when_another_fails(run):
    ended = threading.Event()
    begun = threading.Event()

    def work(item):
        if item == 0:
            assert begun.wait(30)
            raise LookupError("first")
        begun.set()
        ended.wait(0.05)
        ended.set()

    async def main():
        with pytest.raises(ExceptionGroup):
            await clearloop.amap(work, range(2), limit=2)
        assert ended.is_set()

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_errors_among_the_results(run, stream):
    async def main():
        mapped = clearloop.amap(Counted(fails_at=3), range(6), limit=2, return_exceptions=True)
        if stream:
            async with mapped as results:
                return [result async for result in results]
        return await mapped

    results = run(main())
    assert isinstance(results.pop(3), LookupError)
    assert results == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_items_themselves(run, stream):
    def items():
        yield 1
        raise LookupError("no more")

    async def main():
        with pytest.raises(ExceptionGroup) as raised:
            mapped = clearloop.amap(double, items(), limit=2)
            if stream:
                async with mapped as results:
                    async for _ in results:
                        pass
            else:
                await mapped
        assert isinstance(raised.value.exceptions[0], LookupError)

    run(main())


def test_an_error_of_async_items(run):
    async def items():
        yield 1
        raise LookupError("no more")

    async def main():
        with pytest.raises(ExceptionGroup) as raised:
            await clearloop.amap(double, items(), limit=2)
        assert isinstance(raised.value.exceptions[0], LookupError)

    run(main())


def test_an_error_ends_the_wait_for_the_next_item(run):
    closed = []

    class Items:
        def __aiter__(self):
            return self.items()

        async def items(self):
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                closed.append(True)

    async def fails(item):
        raise LookupError

    async def main():
        with pytest.raises(ExceptionGroup):
            await clearloop.amap(fails, Items(), limit=2)
        assert closed == [True]

    run(main())


def test_an_item_that_was_cancelled_from_inside_is_not_lost(run):
    async def cancels_itself(item):
        if item == 1:
            asyncio.current_task().cancel()
        await asyncio.sleep(0)
        return item

    async def main():
        first, second, third = await clearloop.amap(cancels_itself, range(3), limit=2, return_exceptions=True)
        assert (first, third) == (0, 2) and isinstance(second, asyncio.CancelledError)
        with pytest.raises(ExceptionGroup) as raised:
            await clearloop.amap(cancels_itself, range(3), limit=2)
        assert isinstance(raised.value.exceptions[0], clearloop.JobLost)

    run(main())


@pytest.mark.parametrize("source", [range, lambda n: drawn_async(range(n))], ids=["iterable", "async iterable"])
@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_from_outside(run, source, stream):
    async def main():
        func = Counted()

        async def job():
            mapped = clearloop.amap(func, source(10**6), limit=5)
            if stream:
                async with mapped as results:
                    async for _ in results:
                        pass
            else:
                await mapped

        task = asyncio.ensure_future(job())
        while func.begun < 20:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        begun = func.begun
        assert func.now == 0
        await asyncio.sleep(0.01)
        assert func.begun == begun

    run(main())


def test_errors_of_cancelled_items_are_not_lost(run):
    async def fails_when_cancelled(item):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError(item) from None

    async def main():
        async def job():
            await clearloop.amap(fails_when_cancelled, range(3), limit=3)

        task = asyncio.ensure_future(job())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(ExceptionGroup) as raised:
            await task
        assert sorted(error.args for error in raised.value.exceptions) == [(0,), (1,), (2,)]

    run(main())


def test_leaving_early_cancels_the_rest(run):
    async def main():
        func = Counted()
        async with clearloop.amap(func, range(10**6), limit=5) as results:
            async for result in results:
                if result == 30:
                    break
        assert func.now == 0 and func.begun < 60

    run(main())


def test_an_error_of_the_block_comes_through(run):
    async def main():
        func = Counted()
        with pytest.raises(LookupError, match="of the block"):
            async with clearloop.amap(func, range(10**6), limit=5) as results:
                async for _ in results:
                    raise LookupError("of the block")
        assert func.now == 0

    run(main())


def test_several_may_take_results(run):
    async def main():
        taken = []

        async def take(results):
            async for result in results:
                taken.append(result)
                await asyncio.sleep(0)

        async with clearloop.amap(double_later, range(100), limit=5) as results:
            await asyncio.gather(*[take(results) for _ in range(3)])
        assert sorted(taken) == [2 * item for item in range(100)]

    run(main())


# ---- how it is called --------------------------------------------------------------------------------------------


def test_an_executor_of_ones_own(run):
    async def main():
        with ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
            names = await clearloop.amap(
                lambda item: threading.current_thread().name, range(20), limit=5, executor=pool
            )
            assert all(name.startswith("mine") for name in names)

    run(main())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0}, ValueError),
        ({"limit": 1.5}, TypeError),
        ({"limit": 1, "executor": ThreadPoolExecutor(1)}, TypeError),
        ({"limit": 1, "items": 3}, TypeError),
        ({"limit": 1, "func": 3}, TypeError),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error):
        clearloop.amap(**{"func": double, "items": [], **arguments})


def test_only_once(run):
    async def main():
        mapped = clearloop.amap(double, [1], limit=1)
        assert await mapped == [2]
        with pytest.raises(RuntimeError, match="only once"):
            await mapped

    run(main())


def test_never_awaited():
    with pytest.warns(RuntimeWarning, match=r"amap\(double\(\) .* was never awaited"):
        clearloop.amap(double, [1], limit=1)


# ---- progress ----------------------------------------------------------------------------------------------------


def test_a_callable_gets_the_counts(run):
    async def main():
        seen = []
        await clearloop.amap(Counted(fails_at=3), range(10), limit=2, return_exceptions=True, progress=seen.append)
        assert seen[-1] == (9, 1, 0, 10) and seen[-1].failed == 1
        assert sorted(seen, key=lambda counts: counts.done + counts.failed) == seen and len(set(seen)) == len(seen)
        seen.clear()
        await clearloop.amap(double, drawn_async(range(10)), limit=2, progress=seen.append)
        assert seen[-1] == (10, 0, 0, None)

    run(main())


def test_plain_lines_where_stderr_is_no_terminal(run, capsys):
    async def main():
        await clearloop.amap(double, range(10), limit=2, progress="squaring")

    run(main())
    assert capsys.readouterr().err.startswith("squaring: 10 of 10, ")


def test_a_bar_on_a_terminal(run, monkeypatch):
    pytest.importorskip("rich")
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    async def main():
        await clearloop.amap(double, range(10), limit=2, progress="squaring")

    run(main())
    shown = terminal.getvalue()
    assert "squaring" in shown and "10/10" in shown and "/s" in shown


def test_a_progress_callable_that_fails_ends_all(run):
    def fails(counts):
        raise LookupError("display")

    async def main():
        with pytest.raises(ExceptionGroup) as raised:
            await clearloop.amap(double_later, range(100), limit=2, progress=fails)
        assert isinstance(raised.value.exceptions[0], LookupError)

    run(main())


def test_progress_of_another_kind_is_refused(run):
    async def main():
        with pytest.raises(TypeError, match="progress must be"):
            await clearloop.amap(double, [], limit=1, progress=3)

    run(main())
