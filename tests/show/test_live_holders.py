"""Who holds the lock that a task waits for: as it is, or not at all."""


import pytest
from watched import wait_for, watched_programs

from clearloop.show.process import Process

# Each function makes one situation and names its tasks; "NAME wants" is the one that is asked about.
SITUATIONS = """
    import asyncio, clearloop, os, sys, threading

    tasks = []
    def start(name, coro, **options):
        tasks.append(clearloop.Task(coro, loop=asyncio.get_running_loop(), name=name, **options))
        return tasks[-1]
    async def sleeps(): await asyncio.sleep(1000)
    async def wants(lock):
        async with lock: pass
    async def takes(lock):
        await lock.acquire()
        await asyncio.sleep(1000)
    async def inside(lock):
        async with lock: await asyncio.sleep(1000)
    async def leaves(lock): await lock.acquire()

    async def plain():
        lock = clearloop.Lock()
        start("plain holder", takes(lock))
        start("plain wants", wants(lock))
    async def waited():
        lock = clearloop.Lock()
        await lock.acquire()
        start("waited holder", takes(lock))
        start("waited wants", wants(lock))
        await clearloop.sleep(0)
        lock.release()
    async def ended():
        lock = clearloop.Lock()
        await start("ended holder", leaves(lock))
        start("ended wants", wants(lock))
    async def passed():
        lock = clearloop.Lock()
        await lock.acquire()
        lock.release()
        async def gives_back(): lock.release()
        await start("passed first", leaves(lock))
        await start("passed second", gives_back())
        start("passed holder", takes(lock))
        start("passed wants", wants(lock))
    async def itself():
        lock = clearloop.Lock()
        async def twice():
            await lock.acquire()
            await lock.acquire()
        start("itself wants", twice())
    async def eager():
        lock = clearloop.Lock()
        start("eager holder", takes(lock), eager_start=True)
        start("eager wants", wants(lock))
    async def creator():
        lock = clearloop.Lock()
        asyncio.current_task().set_name("creator holder")
        start("creator eager", sleeps(), eager_start=True)
        await lock.acquire()
        start("creator wants", wants(lock))
        await sleeps()
    async def condition():
        condition = clearloop.Condition()
        start("condition holder", takes(condition))
        start("condition wants", wants(condition))
    async def callback():
        lock = clearloop.Lock()
        def take():
            try:
                lock.acquire().send(None)
            except StopIteration:
                start("callback wants", wants(lock))
        asyncio.get_running_loop().call_soon(take)
    async def asyncio_plain():
        lock = asyncio.Lock()
        start("asyncio_plain holder", takes(lock))
        start("asyncio_plain wants", wants(lock))
    async def notified(condition):
        async with condition: await condition.wait()
    async def asyncio_condition():
        condition = asyncio.Condition()
        start("asyncio_condition waits", notified(condition))
        await asyncio.sleep(0)
        start("asyncio_condition holder", inside(condition))
        start("asyncio_condition wants", wants(condition))
    async def asyncio_condition_plain():
        condition = asyncio.Condition()
        start("asyncio_condition_plain waits", notified(condition))
        await asyncio.sleep(0)
        start("asyncio_condition_plain holder", takes(condition))
        start("asyncio_condition_plain wants", wants(condition))
    async def semaphores():
        for kind in (clearloop, asyncio):
            semaphore = kind.Semaphore(2)
            for number in range(2):
                start(f"{kind.__name__} unit {number}", inside(semaphore))
            for number in range(2):
                start(f"{kind.__name__} semaphore wants {number}", wants(semaphore))

    # A loop in another thread has its step interrupted by ours, which takes locks meanwhile, and goes on to take one
    here, there = threading.Event(), threading.Event()
    def second():
        async def main():
            lock = clearloop.Lock()
            async def takes_late():
                here.set()
                there.wait()
                await takes(lock)
            start("second holder", takes_late())
            start("second wants", wants(lock))
            await sleeps()
        clearloop.run(main())
    async def first():
        lock = clearloop.Lock()
        await asyncio.to_thread(here.wait)
        start("first holder", takes(lock))
        start("first wants", wants(lock))
        await asyncio.sleep(0)
        there.set()
        await asyncio.sleep(0)

    async def main():
        threading.Thread(target=second, daemon=True).start()
        for situation in (plain, waited, ended, passed, itself, eager, condition, callback, asyncio_plain,
                          asyncio_condition, asyncio_condition_plain, semaphores, first):
            await start(situation.__name__, situation())
        start("creator", creator())
        print("ready", flush=True)
        await sleeps()
    clearloop.run(main())
"""

KNOWN = ["plain", "waited", "passed", "eager", "creator", "condition", "first", "second", "asyncio_condition"]
UNKNOWN = ["callback", "asyncio_plain", "asyncio_condition_plain"]


@pytest.fixture(scope="module")
def place():
    with watched_programs() as programs:
        yield programs


@pytest.fixture(scope="module")
def program(place):
    return place.start(SITUATIONS, name="holders.py")


@pytest.fixture(scope="module")
def tasks(program):
    names = [f"{name} wants" for name in [*KNOWN, *UNKNOWN, "ended", "itself"]]
    names += [f"{kind} semaphore wants 1" for kind in ("clearloop", "asyncio")]
    with Process(program.pid) as process:

        def settled():
            found = {task["name"]: task for task in process.ask("tasks")["tasks"]}
            return all(name in found and found[name]["waits"] for name in names) and found

        return wait_for(settled, "all tasks in their place")


@pytest.mark.parametrize("name", KNOWN)
def test_the_holder_is_named(tasks, name):
    waits = tasks[f"{name} wants"]["waits"]
    assert waits["kind"] == "lock"
    assert waits["holder"] == {"task": tasks[f"{name} holder"]["id"], "name": f"{name} holder"}


@pytest.mark.parametrize("name", UNKNOWN)
def test_who_cannot_be_known_is_not_guessed(tasks, name):
    waits = tasks[f"{name} wants"]["waits"]
    assert (waits["kind"], waits["holder"]) == ("lock", None)


def test_a_task_that_has_ended_without_giving_the_lock_back(tasks):
    holder = tasks["ended wants"]["waits"]["holder"]
    assert (holder["name"], holder["ended"]) == (None, True)


def test_a_task_that_waits_for_its_own_lock(tasks):
    assert tasks["itself wants"]["waits"]["holder"]["task"] == tasks["itself wants"]["id"]


@pytest.mark.parametrize("kind", ["clearloop", "asyncio"])
def test_those_inside_a_semaphore(tasks, kind):
    waits = tasks[f"{kind} semaphore wants 1"]["waits"]
    assert (waits["kind"], waits["waiting"]) == ("semaphore", 2)
    assert {holder["name"] for holder in waits["holders"]} == {f"{kind} unit 0", f"{kind} unit 1"}


def test_the_tree_says_it(place, program, tasks):
    ran = place.command("tree", str(program.pid), "--all")
    lines = [line for line in ran.stdout.splitlines() if " wants " in line]

    def line(name):
        (found,) = [line for line in lines if line.lstrip(" ├└│─").startswith(f"{name} wants")]
        return found

    assert "waits for a Lock that task plain holder holds" in line("plain")
    assert "waits for a Lock that a task has taken which has ended" in line("ended")
    assert "waits for a Lock that task itself wants holds" in line("itself")
    assert "waits for a Lock, holder unknown" in line("asyncio_plain")
    assert "waits for a Semaphore that tasks asyncio unit 0 and asyncio unit 1 hold (2 in line)" in "".join(lines)


def test_a_holder_that_blocks_the_loop(place):
    program = place.start(
        """
        import asyncio, clearloop, sys
        async def holder(lock):
            async with lock:
                await asyncio.sleep(0)
                print("blocks", flush=True)
                sys.stdin.readline()
        async def wants(lock):
            async with lock: pass
        async def main():
            lock = clearloop.Lock()
            asyncio.create_task(holder(lock), name="holder")
            await asyncio.create_task(wants(lock), name="wants")
        clearloop.run(main())
        """,
        name="blocking_holder.py",
    )
    with Process(program.pid) as process:
        (wants,) = [task for task in process.ask("tasks")["tasks"] if task["name"] == "wants"]
    assert wants["waits"]["holder"]["name"] == "holder"
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.wait(60) == 0
