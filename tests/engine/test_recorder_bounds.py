"""The recorder in bounded memory: the ring, its size, what it keeps alive, a fork, a closed loop."""

import asyncio
import gc
import weakref

import pytest

import clearloop
from clearloop.show import records
from recorded import called, new_loop, of, recorded, run_script, taken


def test_the_ring_wraps_around_and_tasks_say_again_who_they_are(monkeypatch, everything):
    monkeypatch.setenv("CLEARLOOP_RECORD", "0.01")

    async def long_lived():
        for _ in range(2000):
            await clearloop.sleep(0)

    async def main():
        await clearloop.create_task(long_lived(), name="long-lived")

    with new_loop() as loop:
        loop.run_until_complete(main())
        capacity, written, data, since, _, _ = loop._recording()
        found = taken(loop)
    assert capacity == 327
    assert written > 2000
    assert len(data) == capacity * records.SIZE
    steps = of(records.STEP, found)
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert [run.how for run in of(records.RUN, found)] == [records.STOPPED]
    again = {called(task.code).rpartition(".")[2]: task for task in of(records.TASK, found)}
    assert again["long_lived"].how == records.RECALLED
    assert again["long_lived"].other == again["main"].actor
    # when a task was created is known in ms of the coarse clock, which a busy machine moves late
    assert since - 1_000_000_000 <= again["long_lived"].time < steps[0].time
    assert [record.actor for record in of(records.NAME, found)] == [again["long_lived"].actor]


@pytest.mark.parametrize("value", ["0", "0.0", "off", "no", "false"])
def test_recording_can_be_turned_off(monkeypatch, value):
    monkeypatch.setenv("CLEARLOOP_RECORD", value)
    with new_loop() as loop:
        loop.run_until_complete(clearloop.sleep(0.001))
        assert loop._recording() is None
        loop._record_job(0, 1, None, print)
        loop._record_stall(1)
        assert loop._recording() is None


@pytest.mark.parametrize(
    "value, mebibytes",
    [("", 8), ("8", 8), ("1", 1), ("0.5", 0.5), ("many", 8), ("-3", 8), ("nan", 8), ("0x10", 8), (" 2 ", 2)],
)
def test_the_size_of_the_ring(monkeypatch, value, mebibytes):
    monkeypatch.setenv("CLEARLOOP_RECORD", value)
    with new_loop() as loop:
        loop.run_until_complete(clearloop.sleep(0))
        assert loop._recording()[0] * records.SIZE == mebibytes * 2**20


@pytest.mark.parametrize("value", ["1e300", "inf", "1e-9"])
def test_sizes_beyond_all_reason(monkeypatch, value):
    monkeypatch.setenv("CLEARLOOP_RECORD", value)
    with new_loop() as loop:
        loop.run_until_complete(clearloop.sleep(0))  # with a ring of some size, or none: the program does not mind


def test_no_memory_for_the_ring_means_no_recording():
    assert "None" in run_script(
        """
        import resource, clearloop, asyncio
        clearloop.run(clearloop.sleep(0))
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        loop = clearloop.new_event_loop()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), used + (64 << 20)))
        loop.run_until_complete(clearloop.sleep(0.001))
        print(loop._recording())
        loop.close()
        """,
        CLEARLOOP_RECORD="512",
        CLEARLOOP_WATCH="0",
    )


def test_no_reference_to_what_was_recorded_is_kept():
    async def main():
        class Callback:
            def __call__(self):
                pass

        class Waited(clearloop.Future):
            pass

        loop = asyncio.get_running_loop()
        callback, future = Callback(), Waited(loop=loop)
        loop.call_soon(callback)
        loop.call_soon(future.set_result, None)
        await future
        return [weakref.ref(callback), weakref.ref(future), weakref.ref(Callback), weakref.ref(Waited)]

    with new_loop() as loop:
        gone = loop.run_until_complete(main())
        found = {called(step.code) for step in of(records.STEP, taken(loop)) if step.actor == 0}
        assert any(name.endswith("Callback") for name in found)
        gc.collect()
        gc.collect()
        assert [reference() for reference in gone] == [None] * 4


def test_classes_at_one_address_keep_their_own_names():
    names = []

    async def main():
        loop = asyncio.get_running_loop()
        for number in range(200):
            name = f"Kind{number}"
            names.append(name)
            loop.call_soon(type(name, (), {"__call__": lambda self: None})())
            await clearloop.sleep(0)
            await clearloop.sleep(0)
            if number % 20 == 19:
                gc.collect()

    found = recorded(main)
    told = [called(step.code) for step in of(records.STEP, found) if step.actor == 0]
    assert [name for name in told if name.startswith("Kind")] == names


def test_the_table_of_names_is_bounded():
    assert run_script(
        """
        import clearloop, asyncio
        from clearloop.engine import interned

        async def main():
            loop = asyncio.get_running_loop()
            for number in range(20_000):
                namespace = {}
                exec(f"def f{number}(): pass", namespace)
                loop.call_soon(namespace[f"f{number}"])
                if number % 100 == 0:
                    await clearloop.sleep(0)

        clearloop.run(main())
        print(len(interned.table()))
        """,
        CLEARLOOP_RECORD_ALL="1",
    ).split() == ["16385"]


def test_a_child_has_a_ring_of_its_own():
    assert run_script(
        """
        import os, clearloop

        async def work():
            for _ in range(100):
                await clearloop.sleep(0)

        loop = clearloop.new_event_loop()
        loop.run_until_complete(work())
        before = loop._recording()[1]
        pid = os.fork()
        if pid == 0:
            loop.run_until_complete(work())
            os._exit(0 if loop._recording()[1] >= before + 100 else 1)
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), loop._recording()[1] - before)
        loop.close()
        """,
        PYTHONWARNINGS="ignore",
    ).split() == ["0", "0"]


def test_a_closed_loop_can_still_be_read():
    loop = clearloop.new_event_loop()
    loop.run_until_complete(clearloop.sleep(0))
    loop.close()
    assert [run.how for run in of(records.RUN, taken(loop))] == [records.BEGAN, records.STOPPED]
