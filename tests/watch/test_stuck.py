"""Tasks that can never go on are named instead of hanging in silence, and nobody is accused who may still be woken."""

import pytest

HEAD = """
    import asyncio, os, signal, socket, sys, threading
    import clearloop

    def end():
        # what would hang for ever ends by this signal: its default action, which no Python code can stop
        signal.setitimer(signal.ITIMER_REAL, 0.3)

    async def wait_for(future):
        return await future
    """

STUCK = {
    "a future that nobody holds": (
        "await asyncio.get_running_loop().create_future()",
        ["task Task-1: app.py:{here} in main: await ", "  a Future that nobody is left to bring"],
    ),
    "a queue": (
        "await asyncio.Queue().get()",
        ["in main: await asyncio.Queue().get()", "its turn in <Queue at"],
    ),
    "a queue of clearloop's": (
        "await clearloop.Queue().get()",
        ["in main: await clearloop.Queue().get()", "its turn in <"],
    ),
    "an event": ("await clearloop.Event().wait()", ["its turn in <clearloop.locks.Event object"]),
    "a lock that is taken": (
        "lock = clearloop.Lock(); await lock.acquire(); await lock.acquire()",
        ["its turn in <clearloop.locks.Lock object"],
    ),
    "a lock of asyncio's": (
        """
        lock = asyncio.Lock()
        async with lock:
            async with lock: pass
        """,
        ["in main: async with lock: pass", "its turn in <asyncio.locks.Lock object"],
    ),
    "through a task": (
        "task = asyncio.create_task(wait_for(asyncio.Event().wait()), name='inner'); await task",
        ["task Task-1: ", "  task inner: app.py:10 in wait_for: await future", "    its turn in <asyncio.locks.Event"],
    ),
    "through gather": (
        "await asyncio.gather(wait_for(clearloop.Event().wait()), asyncio.sleep(0))",
        ["task Task-1: ", "  task Task-2: app.py:10 in wait_for", "    its turn in"],
    ),
    "through asyncio's own gather": (
        "from asyncio.tasks import gather; await gather(wait_for(clearloop.Event().wait()))",
        ["task Task-1: ", "  task Task-2: app.py:10 in wait_for"],
    ),
    "through wait": (
        "await clearloop.wait([asyncio.create_task(wait_for(clearloop.Event().wait()))])",
        ["task Task-1: ", "  task Task-2: app.py:10 in wait_for"],
    ),
    "through asyncio's own wait": (
        "await asyncio.wait([asyncio.create_task(wait_for(clearloop.Event().wait()))])",
        ["task Task-1: ", "  task Task-2: app.py:10 in wait_for"],
    ),
    "through shield": (
        "await clearloop.shield(asyncio.create_task(wait_for(clearloop.Event().wait())))",
        ["task Task-1: ", "  task Task-2: app.py:10 in wait_for"],
    ),
    "through a task group": (
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for(clearloop.Event().wait()))
        """,
        ["task Task-1: ", "  task Task-2: app.py:10 in wait_for"],
    ),
    "after a job of the loop's own threads": (
        "await asyncio.to_thread(int); await clearloop.Event().wait()",
        ["its turn in <clearloop.locks.Event object"],
    ),
    "after a job of a pool of threads": (
        """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, int)
            await clearloop.Event().wait()
        """,
        ["its turn in <clearloop.locks.Event object"],
    ),
    "after a timer": ("await asyncio.sleep(0.02); await clearloop.Event().wait()", ["its turn in <"]),
    "an asyncio task beside it": (
        """
        waits = wait_for(clearloop.Event().wait())
        foreign = asyncio.Task(waits, loop=asyncio.get_running_loop(), name="foreign")
        await clearloop.Event().wait()
        """,
        ["task Task-1: ", "task foreign: app.py:10 in wait_for"],
    ),
}


def program(body):
    import textwrap

    body = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return textwrap.dedent(HEAD) + f"\nasync def main():\n    end()\n{body}\n\nasyncio.run(main())\n"


@pytest.mark.parametrize("name", STUCK)
def test_stuck(programs, name):
    body, expected = STUCK[name]
    text = program(body)
    ran = programs.run("--report", "found.jsonl", text=text)
    here = next(n for n, line in enumerate(text.splitlines(), 1) if line == "    end()") + 1
    assert ran.returncode == -14, ran.stderr  # by its alarm: it is told of, not killed
    assert "clearloop: stuck for ever: " in ran.stderr and "nothing is left that could wake" in ran.stderr
    place = 0
    for part in expected:  # in this order
        place = ran.stderr.index(part.format(here=here), place)
    (found,) = programs.records(kind="stuck")
    assert found["reason"] == "nothing_left" and found["count"] == len(found["tasks"])
    assert all(task["file"].endswith("app.py") and task["waits_for"] for task in found["tasks"])


# Each of these goes on by itself, by something that the loop cannot see.
FREE = {
    "a thread": "threading.Timer(0.05, loop.call_soon_threadsafe, [event.set]).start(); await event.wait()",
    "a thread that Python did not start": """
        import _thread
        def later():
            threading.Event().wait(0.05)
            loop.call_soon_threadsafe(event.set)
        _thread.start_new_thread(later, ())
        await event.wait()
        """,
    "a job": "await asyncio.to_thread(threading.Event().wait, 0.05)",
    "a job in a pool": """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as pool:
            await loop.run_in_executor(pool, threading.Event().wait, 0.05)
        """,
    "a job in a process": """
        from concurrent.futures import ProcessPoolExecutor
        import multiprocessing
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:  # the others import this file
            await loop.run_in_executor(pool, int)
        """,
    "a handler of the loop's": """
        loop.add_signal_handler(signal.SIGALRM, event.set)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        await event.wait()
        """,
    "a handler of Python's": """
        signal.signal(signal.SIGALRM, lambda *_: event.set())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        await event.wait()
        """,
    "a socket": """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop.call_later(0.05, theirs.send, b"x")
        await loop.sock_recv(ours, 1)
        """,
    "a reader": """
        ours, theirs = socket.socketpair()
        loop.add_reader(ours, event.set)
        threading.Timer(0.05, theirs.send, [b"x"]).start()
        await event.wait()
        """,
    "a timer": "loop.call_later(0.05, event.set); await event.wait()",
    "a task that yields": """
        async def later():
            for _ in range(1000): await asyncio.sleep(0)
            event.set()
        task = asyncio.create_task(later())
        await event.wait()
        """,
    "another loop": """
        def run():
            async def tell():
                await asyncio.sleep(0.05)
                loop.call_soon_threadsafe(event.set)
            asyncio.run(tell())
        threading.Thread(target=run).start()
        await event.wait()
        """,
    "a process": """
        import subprocess
        process = subprocess.Popen(["sleep", "0.05"])
        fd = os.pidfd_open(process.pid)
        loop.add_reader(fd, event.set)
        await event.wait()
        process.wait()
        """,
    "a cancelled task": """
        task = asyncio.create_task(event.wait())
        loop.call_soon(loop.call_soon, task.cancel)
        await asyncio.wait([task])
        """,
}


@pytest.mark.parametrize("name", FREE)
def test_not_stuck(programs, name):
    body = "loop, event = asyncio.get_running_loop(), clearloop.Event()\n"
    import textwrap

    body += textwrap.dedent(FREE[name]).strip()
    text = program(body).replace("    end()\n", "") + "print('ended')\n"
    ran = programs.run("--report", "found.jsonl", text=text)
    assert ran.stdout == "ended\n", ran.stderr
    assert programs.records(kind="stuck") == []


CIRCLES = {
    "two tasks": """
        async def first(): await asyncio.sleep(0); await b
        async def second(): await asyncio.sleep(0); await a
        a = asyncio.create_task(first(), name="a")
        b = asyncio.create_task(second(), name="b")
        await asyncio.sleep(0.1)
        """,
    "three tasks": """
        async def step(other): await asyncio.sleep(0); await tasks[other]
        tasks = []
        tasks += [asyncio.create_task(step(n), name=name) for n, name in ((1, "a"), (2, "b"), (0, "c"))]
        await asyncio.sleep(0.1)
        """,
}


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_is_told_when_it_closes(programs, name):
    """Also in a program that goes on: the rest of it has timers and descriptors."""
    text = program(CIRCLES[name]).replace("    end()\n", "")
    ran = programs.run("--report", "found.jsonl", text=text)
    (found,) = programs.records(kind="stuck")
    assert found["reason"] == "circle" and {task["task"] for task in found["tasks"]} <= {"a", "b", "c"}
    assert f"{len(found['tasks'])} tasks wait for each other in a circle" in ran.stderr
    assert "again: a circle" in ran.stderr


def test_a_circle_through_gather(programs):
    body = """
        async def child(): await asyncio.sleep(0); await parent
        async def wait(): await asyncio.gather(child())
        parent = asyncio.create_task(wait(), name="parent")
        await parent
        """
    ran = programs.run(text=program(body))
    assert "task parent again: a circle" in ran.stderr


def test_chains_of_tasks_are_no_circle(programs):
    body = """
        async def last(): await asyncio.sleep(0.05)
        task = asyncio.create_task(last())
        for _ in range(2000): task = asyncio.create_task(wait_for(task))
        await task
        """
    ran = programs.run(text=program(body).replace("    end()\n", ""))
    assert (ran.stderr, ran.returncode) == ("", 0)


def test_it_is_told_once(programs):
    """The loop wakes and waits again, for the same."""
    body = """
        loop = asyncio.get_running_loop()
        stuck = asyncio.create_task(clearloop.Event().wait(), name="stuck")
        asyncio.create_task(wait_for(stuck))
        for _ in range(3):
            await asyncio.to_thread(threading.Event().wait, 0.02)
        await stuck
        """
    ran = programs.run(text=program(body))
    assert ran.stderr.count("stuck for ever") == 1


def test_it_does_not_fail_a_strict_run(programs):
    """What hangs is ended by its user; the exit status is about blocking, forgetting and losing."""
    ran = programs.run("--strict", text=program("await clearloop.Event().wait()"))
    assert ran.returncode == -14
