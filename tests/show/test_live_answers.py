"""What a running process says of its tasks and its loops."""

import json

import pytest
from watched import wait_for, watched_programs

from clearloop.show.process import Process, Refused, Unreachable

EVERY_KIND = """
    import asyncio, clearloop, sys, threading

    async def sleeps(): await clearloop.sleep(1000)
    async def sleeps_asyncio(): await asyncio.sleep(1000)
    async def holds(lock):
        async with lock:
            await asyncio.sleep(1000)
    async def wants(lock):
        async with lock:
            pass
    async def acquires(lock): await lock.acquire()
    async def gets(queue): await queue.get()
    async def puts(queue):
        for n in range(9):
            await queue.put(n)
    async def joins(queue): await queue.join()
    async def waits(event): await event.wait()
    async def notified(condition):
        async with condition:
            await condition.wait()
    async def steps():
        await asyncio.sleep(1000)
        yield 1
    async def iterates():
        async for _ in steps():
            pass
    async def gathers(): await clearloop.gather(sleeps(), sleeps())
    async def gathers_asyncio(): await asyncio.gather(sleeps(), sleeps())
    async def waits_all():
        await clearloop.wait([asyncio.create_task(sleeps()), asyncio.create_task(sleeps())], timeout=500)
    async def waits_all_asyncio(): await asyncio.wait([asyncio.create_task(sleeps())])
    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleeps())
            tasks.create_task(sleeps())
    async def limited():
        async with asyncio.timeout(300):
            async with clearloop.timeout(200):
                await clearloop.sleep(1000)
    async def limited_again(): await clearloop.wait_for(clearloop.sleep(1000), 400)
    async def awaits(task): await task
    async def reads(port):
        reader, writer = await clearloop.open_connection("127.0.0.1", port)
        await reader.read()
    async def receives(port):
        import socket
        with socket.socket() as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_recv(sock, 10)
    async def runs_child():
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        await child.wait()
    async def offloads(): await clearloop.to_thread(threading.Event().wait)
    async def future(): await asyncio.get_running_loop().create_future()
    async def circle(others, place): await others[place]

    async def main():
        kept = []
        server = await clearloop.start_server(lambda *connection: kept.append(connection), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        names = {}
        def start(name, coro):
            names[name] = asyncio.create_task(coro, name=name)
        for kind in (clearloop, asyncio):
            name = kind.__name__
            lock, full, semaphore = kind.Lock(), kind.Queue(2), kind.Semaphore(0)
            start(f"{name} holder", holds(lock))
            await asyncio.sleep(0)
            start(f"{name} wants", wants(lock))
            start(f"{name} acquires", acquires(lock))
            start(f"{name} gets", gets(kind.Queue(7)))
            start(f"{name} puts", puts(full))
            await asyncio.sleep(0)
            start(f"{name} joins", joins(full))
            start(f"{name} waits", waits(kind.Event()))
            start(f"{name} notified", notified(kind.Condition()))
            start(f"{name} semaphore", wants(semaphore))
        for one in (sleeps, sleeps_asyncio, iterates, gathers, gathers_asyncio, waits_all, waits_all_asyncio, group,
                    limited, limited_again, runs_child, offloads, future):
            start(one.__name__, one())
        start("reads", reads(port))
        start("receives", receives(port))
        start("awaits", awaits(names["sleeps"]))
        others = []
        others += [asyncio.create_task(circle(others, n), name=f"circle {n}") for n in (1, 0)]
        start("escape\\x1b[31m\\n\\rcodes", sleeps())
        print(port, flush=True)
        await asyncio.sleep(1000)
    import os
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    clearloop.run(main())
"""


@pytest.fixture(scope="module")
def place():
    with watched_programs() as programs:
        yield programs


@pytest.fixture(scope="module")
def everything(place):
    return place.start(EVERY_KIND, name="every.py")


@pytest.fixture(scope="module")
def answer(everything):
    with Process(everything.pid) as process:

        def settled():
            found = process.ask("tasks")
            waits = {task["name"]: task["waits"] for task in found["tasks"]}
            kinds = {name: (waits.get(name) or {}).get("kind") for name in ("receives", "reads", "runs_child")}
            return set(kinds.values()) == {"socket", "process"} and found

        return wait_for(settled, "all tasks in their place")


@pytest.fixture(scope="module")
def tasks(answer):
    return {task["name"]: task for task in answer["tasks"]}


KINDS = {
    "sleeps": "sleep",
    "sleeps_asyncio": "sleep",
    "iterates": "sleep",
    "gathers": "gather",
    "gathers_asyncio": "gather",
    "waits_all": "wait",
    "waits_all_asyncio": "wait",
    "group": "group",
    "limited": "sleep",
    "runs_child": "process",
    "offloads": "job",
    "future": "future",
    "reads": "socket",
    "receives": "socket",
    "awaits": "task",
    **{
        f"{name} {what}": kind
        for name in ("clearloop", "asyncio")
        for what, kind in {
            "wants": "lock",
            "acquires": "lock",
            "gets": "queue get",
            "puts": "queue put",
            "joins": "queue join",
            "waits": "event",
            "notified": "condition",
            "semaphore": "semaphore",
        }.items()
    },
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_task_waits_for(tasks, name):
    assert tasks[name]["state"] == "waiting"
    assert tasks[name]["waits"]["kind"] == KINDS[name]


@pytest.mark.parametrize("name", ["clearloop", "asyncio"])
def test_who_holds_a_lock(tasks, name):
    for what in ("wants", "acquires"):
        assert tasks[f"{name} {what}"]["waits"]["holder"] == {
            "task": tasks[f"{name} holder"]["id"],
            "name": f"{name} holder",
        }


@pytest.mark.parametrize("name", ["clearloop", "asyncio"])
def test_queues_say_how_full_they_are(tasks, name):
    assert [tasks[f"{name} gets"]["waits"][key] for key in ("size", "limit")] == [0, 7]
    assert [tasks[f"{name} puts"]["waits"][key] for key in ("size", "limit")] == [2, 2]
    assert tasks[f"{name} joins"]["waits"]["unfinished"] == 2


@pytest.mark.parametrize("name", ["sleeps", "sleeps_asyncio", "iterates", "limited"])
def test_timers_say_how_much_is_left(tasks, name):
    assert 900 < tasks[name]["waits"]["seconds_left"] <= 1000


def test_timeouts_around_a_task(tasks):
    first, second = tasks["limited"]["timeouts"]
    assert 100 < first <= 200 < second <= 300
    assert 300 < tasks["limited_again"]["timeouts"][0] <= 400
    assert tasks["sleeps"]["timeouts"] == []
    assert 400 < tasks["waits_all"]["waits"]["seconds_left"] <= 500


@pytest.mark.parametrize("name, count", [("gathers", 2), ("gathers_asyncio", 2), ("waits_all", 2), ("group", 2)])
def test_those_that_a_group_waits_for(tasks, answer, name, count):
    assert (tasks[name]["waits"]["left"], tasks[name]["waits"]["of"]) == (count, count)
    numbers = {task["id"]: task for task in answer["tasks"]}
    assert [numbers[other]["coroutine"] for other in tasks[name]["awaits"]] == ["sleeps"] * count


def test_sockets_and_their_peers(tasks, everything):
    for name in ("reads", "receives"):
        waits = tasks[name]["waits"]
        assert waits["operation"] == "reading"
        assert waits["peer"].startswith("127.0.0.1:")


def test_a_job_and_its_worker(tasks):
    waits = tasks["offloads"]["waits"]
    assert (waits["function"], waits["stage"]) == ("Event.wait", "running")
    assert waits["worker"]


def test_the_chain_of_awaits_down_to_the_innermost_line(tasks, answer):
    stack = [answer["places"][number] for number in tasks["iterates"]["stack"]]
    assert [function for _, _, function, _ in stack][:2] == ["iterates", "steps"]
    assert stack[0][0].endswith("every.py")
    assert stack[0][3] == "async for _ in steps():"
    assert stack[1][3] == "await asyncio.sleep(1000)"


def test_who_created_a_task(tasks):
    assert tasks["sleeps"]["parent"] == tasks["Task-1"]["id"]
    assert tasks["sleeps"]["age_seconds"] >= 0


def test_one_task_with_all_its_lines(tasks, everything):
    with Process(everything.pid) as process:
        found = process.ask("stack", task=tasks["asyncio wants"]["id"])
        assert found["task"]["name"] == "asyncio wants"
        assert found["task"]["waits"]["holder"]["name"] == "asyncio holder"
        assert next(found["places"][number][2] for number in found["task"]["stack"]) == "wants"
        with pytest.raises(Refused, match="no such task"):
            process.ask("stack", task=4_000_000_000)


def test_the_numbers_of_a_loop(everything):
    with Process(everything.pid) as process:
        (loop,) = process.ask("stats", measure=True)["loops"]
        assert loop["running"] and loop["tasks"] > 30 and loop["offloaded"] == 1
        assert 0 <= loop["utilisation"] <= 1
        assert loop["steps"] > 30
        assert sum(loop["lags"]) >= 0
        assert loop["busy_seconds"] >= 0 and loop["timers"] > 10
        assert all(task["steps"] is not None for task in process.ask("tasks")["tasks"])
    with Process(everything.pid) as process:
        wait_for(lambda: process.ask("tasks")["tasks"][0]["steps"] is None, "the end of measuring")


def test_who_it_is(everything, place):
    with Process(everything.pid) as process:
        found = process.ask("hello")
    assert found["pid"] == everything.pid
    assert found["program"].endswith("every.py")
    assert len(found["loops"]) == 1
    assert "argv" not in json.dumps(found)


def test_a_tree_of_everything(everything, place):
    ran = place.command("tree", "every")
    assert ran.returncode == 0, ran.stderr
    assert "waits for a Lock that task clearloop holder holds" in ran.stdout
    assert "waits for a Lock that task asyncio holder holds" in ran.stdout
    assert "a circle, it waits for itself" in ran.stdout
    assert "every.py:" in ran.stdout
    assert "timeout in " in ran.stdout
    assert "\x1b" not in ran.stdout and "\r" not in ran.stdout
    assert r"escape\x1b[31m codes" in ran.stdout


def test_cancelling_a_task(place):
    program = place.start(
        """
        import asyncio, clearloop
        async def victim():
            try:
                print("ready", flush=True)
                await asyncio.sleep(1000)
            finally:
                print("cancelled", flush=True)
        async def main():
            task = asyncio.create_task(victim(), name="victim")
            await asyncio.wait([task])
            print(task.cancelled(), flush=True)
        clearloop.run(main())
        """
    )
    with Process(program.pid) as process:
        (number,) = [task["id"] for task in process.ask("tasks")["tasks"] if task["name"] == "victim"]
        assert process.ask("cancel", task=number)["asked"]
    assert program.stdout.read().split() == ["cancelled", "True"]
    assert program.wait(60) == 0
    with pytest.raises(Unreachable, match="no process"):
        Process(program.pid).ask("hello")


BLOCKED = {
    "sleep": "time.sleep(1000)",
    "compute": "while True: pass",
}


@pytest.mark.parametrize("how", BLOCKED)
def test_it_answers_while_the_loop_is_blocked(place, how):
    program = place.start(
        f"""
        import asyncio, clearloop, time
        def deep():
            print("blocks", flush=True)
            {BLOCKED[how]}
        async def inner():
            deep()
        async def culprit():
            await inner()
        async def main():
            asyncio.create_task(culprit(), name="culprit")
            await asyncio.sleep(1000)
        clearloop.run(main())
        """,
        name=f"{how}.py",
    )
    with Process(program.pid) as process:

        def blocked():
            (loop,) = process.ask("hello")["loops"]
            return loop["at"]

        at = wait_for(blocked, "the line")
        assert (at["task"], at["function"]) == ("culprit", "deep")
        assert at["line"] == 5
        found = process.ask("tasks")
    (culprit,) = [task for task in found["tasks"] if task["name"] == "culprit"]
    assert culprit["state"] == "running"
    functions = [found["places"][number][2] for number in culprit["stack"]]
    assert functions == ["culprit", "inner", "deep"]
    listed = place.command("ps")
    assert f"by task culprit: {how}.py:5 in deep" in listed.stdout
    drawn = place.command("tree", how)
    assert "blocked for" in drawn.stdout and "culprit (culprit): runs now" in drawn.stdout
    program.kill()


def test_ten_thousand_tasks(place):
    program = place.start(
        """
        import asyncio, clearloop
        async def child(): await asyncio.sleep(1000)
        async def main():
            tasks = [asyncio.create_task(child()) for _ in range(12_000)]
            await asyncio.sleep(0)
            print("ready", flush=True)
            await asyncio.sleep(1000)
        clearloop.run(main())
        """,
        name="many.py",
    )
    with Process(program.pid) as process:
        found = process.ask("tasks")
        assert (found["total"], len(found["tasks"])) == (12_001, 10_000)
        assert len(json.dumps(found)) < 8 << 20
        assert len(process.ask("tasks", most=5)["tasks"]) == 5
    folded = place.command("tree", "many").stdout.splitlines()
    assert len(folded) < 20
    assert any("9999 × child, such as Task-2" in line for line in folded)
    assert folded[-1] == "and 2 001 more tasks, not shown"
    assert len(place.command("tree", "--all", "many").stdout.splitlines()) > 20_000
    program.kill()
