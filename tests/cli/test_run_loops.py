"""Under `clearloop run`, every way in which a program asks for a loop gives it a clearloop loop."""

import pytest

WAYS = {
    "asyncio.run": "asyncio.run(show())",
    "Runner": "with asyncio.Runner() as runner: runner.run(show())",
    "new_event_loop": "loop = asyncio.new_event_loop(); loop.run_until_complete(show()); loop.close()",
    "get_event_loop": "asyncio.get_event_loop().run_until_complete(show())",
    "set_event_loop": (
        "asyncio.set_event_loop(asyncio.new_event_loop())\n"
        "asyncio.get_event_loop().run_until_complete(show())"
    ),
    "policy": "asyncio.get_event_loop_policy().new_event_loop().run_until_complete(show())",
    "policy's current": "asyncio.get_event_loop_policy().get_event_loop().run_until_complete(show())",
    "new policy": "asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy()); asyncio.run(show())",
    "policy put back": "asyncio.set_event_loop_policy(None); asyncio.run(show())",
    "derived policy": (
        "class Own(asyncio.DefaultEventLoopPolicy): pass\n"
        "asyncio.set_event_loop_policy(Own()); asyncio.get_event_loop().run_until_complete(show())"
    ),
    "selector loop": "asyncio.SelectorEventLoop().run_until_complete(show())",
    "loop_factory": (
        "with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner: runner.run(show())"
    ),
    "in a thread": (
        "import threading\nt = threading.Thread(target=asyncio.run, args=(show(),))\nt.start()\nt.join()"
    ),
}

PROGRAM = """
import asyncio, warnings
warnings.filterwarnings("ignore", ".*polic", DeprecationWarning)
async def show():
    print(type(asyncio.get_running_loop()).__module__.split(".")[0])
"""


@pytest.mark.parametrize("way", WAYS)
def test_way_to_a_loop(programs, way):
    programs.write("app.py", PROGRAM + WAYS[way])
    ran = programs.clearloop("app.py", flags=("-W", "error::DeprecationWarning"))
    assert (ran.stdout, ran.stderr, ran.returncode) == ("clearloop\n", "", 0)


def test_no_warning_of_ours_reaches_the_program(programs):
    programs.write("app.py", "import asyncio\nasyncio.run(asyncio.sleep(0))\nprint('quiet')")
    ran = programs.clearloop("app.py", flags=("-W", "error"))
    assert (ran.stdout, ran.stderr) == ("quiet\n", "")


def test_a_loop_class_of_the_programs_own_stays_its_own(programs):
    programs.write(
        "app.py",
        """
        import asyncio, selectors
        class Own(asyncio.SelectorEventLoop):
            pass
        own, given = Own(), asyncio.SelectorEventLoop(selectors.SelectSelector())
        print(type(own).__name__, type(given).__module__, isinstance(own, asyncio.SelectorEventLoop))
        own.close()
        given.close()
        """,
    )
    assert programs.clearloop("app.py").stdout == "Own asyncio.unix_events True\n"


def test_tasks_and_functions_are_clearloops_own(programs):
    programs.write(
        "app.py",
        """
        import asyncio, clearloop
        async def main():
            task = asyncio.current_task()
            print(type(task) is clearloop.Task, isinstance(task, asyncio.Task))
        asyncio.run(main())
        for name in ("gather", "sleep", "wait"):
            print(name, getattr(asyncio, name) is getattr(asyncio.tasks, name) is getattr(clearloop, name))
        """,
    )
    ran = programs.clearloop("app.py")
    assert (ran.stdout, ran.stderr) == ("True True\ngather True\nsleep True\nwait True\n", "")


def test_functions_work_on_a_loop_of_the_programs_own(programs):
    programs.write(
        "app.py",
        """
        import asyncio
        class Own(asyncio.SelectorEventLoop):
            pass
        async def job(n):
            await asyncio.sleep(0.001 * n)
            return await asyncio.sleep(0, n)
        async def main():
            print(await asyncio.gather(job(2), job(1), *[asyncio.create_task(job(n)) for n in range(3)]))
            done, pending = await asyncio.wait([job(1), asyncio.create_task(job(2))])
            print(sorted(task.result() for task in done), pending)
            print(await asyncio.wait_for(job(3), 60), await asyncio.shield(job(4)))
        loop = Own()
        loop.run_until_complete(main())
        loop.close()
        """,
    )
    ran = programs.clearloop("app.py")
    assert (ran.stdout, ran.stderr) == ("[2, 1, 0, 1, 2]\n[1, 2] set()\n3 4\n", "")


def test_uvloop_gives_clearloop_too(programs):
    pytest.importorskip("uvloop")
    programs.write(
        "app.py",
        PROGRAM + "import uvloop\nuvloop.run(show())\nuvloop.new_event_loop().run_until_complete(show())",
    )
    ran = programs.clearloop("app.py")
    assert ran.stdout == "clearloop\nclearloop\n", ran.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_of_multiprocessing_run_on_clearloop(programs, method):
    programs.write(
        "app.py",
        f"""
        import asyncio, multiprocessing

        async def which():
            return type(asyncio.get_running_loop()).__module__.split(".")[0]

        def job(depth):
            if depth:
                context = multiprocessing.get_context({method!r})
                receive, send = context.Pipe()
                process = context.Process(target=child, args=(send, depth - 1))
                process.start()
                print(receive.recv(), flush=True)
                process.join()

        def child(send, depth):
            job(depth)
            send.send(asyncio.run(which()))

        if __name__ == "__main__":
            job(2)
        """,
    )
    ran = programs.clearloop("app.py", flags=("-W", "ignore"))
    assert (ran.stdout, ran.stderr) == ("clearloop\nclearloop\n", "")


OLD_STYLE = {
    "run_until_complete": ("loop = asyncio.get_event_loop()\nprint(loop.run_until_complete(job(1)))", "1"),
    "ensure_future first": (
        "task = asyncio.ensure_future(job(2))\n"
        "asyncio.get_event_loop().run_until_complete(task)\nprint(task.result())",
        "2",
    ),
    "gather outside": (
        "both = asyncio.gather(job(1), job(2))\nprint(asyncio.get_event_loop().run_until_complete(both))",
        "[1, 2]",
    ),
    "wait for coroutines": (
        "async def run():\n"
        "    done, pending = await asyncio.wait([job(3), job(1), job(2)])\n"
        "    print(sorted(t.result() for t in done), pending)\n"
        "asyncio.get_event_loop().run_until_complete(run())",
        "[1, 2, 3] set()",
    ),
    "wait as the main job": (
        "loop = asyncio.get_event_loop()\n"
        "done, _ = loop.run_until_complete(asyncio.wait([job(1), job(2)]))\nprint(len(done))",
        "2",
    ),
    "run_forever and stop": (
        "loop = asyncio.get_event_loop()\nloop.call_later(0, loop.stop)\n"
        "loop.run_forever()\nloop.close()\nprint('end')",
        "end",
    ),
    "the same loop again": (
        "a, b = asyncio.get_event_loop(), asyncio.get_event_loop()\n"
        "print(a is b, a is asyncio.get_event_loop_policy().get_event_loop())",
        "True True",
    ),
}


@pytest.mark.parametrize("name", OLD_STYLE)
def test_program_of_python_3_5(programs, name):
    text, expected = OLD_STYLE[name]
    programs.write("app.py", PROGRAM + "async def job(n):\n    await asyncio.sleep(0)\n    return n\n" + text)
    ran = programs.clearloop("app.py", flags=("-W", "error::DeprecationWarning"))
    assert (ran.stdout, ran.stderr, ran.returncode) == (expected + "\n", "", 0)


@pytest.mark.parametrize("after", ["asyncio.set_event_loop(None)", "asyncio.run(asyncio.sleep(0))"])
def test_get_event_loop_raises_once_none_was_asked_for(programs, after):
    programs.write(
        "app.py",
        f"import asyncio\n{after}\ntry:\n    asyncio.get_event_loop()\n"
        "except RuntimeError as error:\n    print(error)",
    )
    assert programs.same("app.py").stdout.startswith("There is no current event loop in thread")


def test_get_event_loop_raises_in_other_threads(programs):
    programs.write(
        "app.py",
        """
        import asyncio, threading
        def ask():
            try:
                asyncio.get_event_loop()
            except RuntimeError as error:
                print(error)
        thread = threading.Thread(target=ask, name="other")
        thread.start()
        thread.join()
        """,
    )
    assert programs.same("app.py").stdout == "There is no current event loop in thread 'other'.\n"
