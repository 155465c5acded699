"""A forgotten await is named with the line that created the coroutine, whether or not Python kept it."""

import ast
import sys

import pytest

from clearloop.watch import origin

# name: the program, and where the coroutine was created (the line with the mark) and by which task
PROGRAMS = {
    "dropped on the spot": """
        async def main():
            work()  # here
        """,
    "dropped on the spot, over several lines": """
        async def main():
            print("one")
            (  # here
                work
            )()
        """,
    "kept in a variable": """
        async def main():
            x = work()  # here
            await asyncio.sleep(0)
        """,
    "in a function that the task has left": """
        def helper():
            x = work()  # here

        async def main():
            helper()
        """,
    "one awaited, the other not": """
        async def main():
            await work()
            await asyncio.gather(work(), asyncio.create_task(work()))
            x = work()  # here
        """,
    "a method": """
        class Client:
            async def fetch(self):
                pass

        async def main():
            client = Client()
            client.fetch()  # here
        """,
    "in a callback": """
        def callback():
            work()  # here

        async def main():
            asyncio.get_running_loop().call_soon(callback)
            await asyncio.sleep(0.01)
        """,
    "held until the end": """
        kept = []

        async def main():
            kept.append(asyncio.sleep(0))  # nobody's
            kept.clear()
            later = globals()["later"] = work()  # here
        """,
}


def program(body):
    import textwrap

    head = "import asyncio\n\n\nasync def work():\n    pass\n"
    text = head + textwrap.dedent(body) + "\n\nasyncio.run(main())\n"
    line = next((n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# here")), None)
    return text, line


def ran(programs, name, *options):
    text, line = program(PROGRAMS[name])
    done = programs.run(*options, "--report", "found.jsonl", text=text)
    assert done.returncode in (0, 3), done.stderr
    found = [record for record in programs.records(kind="never_awaited") if record["coroutine"] != "sleep"]
    return done, found, line


@pytest.mark.parametrize("name", PROGRAMS)
def test_exactly_with_a_report(programs, name):
    _, (found,), line = ran(programs, name)
    assert (found["line"], found["certain"]) == (line, True)
    assert found["coroutine"].rpartition(".")[2] in ("work", "fetch")
    assert found["file"].endswith("app.py") and found["defined_line"] < line


@pytest.mark.parametrize("name", PROGRAMS)
def test_nearly_always_without(programs, name):
    text, line = program(PROGRAMS[name])
    done = programs.run(text=text)
    assert f"created at app.py:{line} in " in done.stderr
    assert "instead: await " in done.stderr


def test_the_task_is_named(programs):
    text, _ = program(PROGRAMS["dropped on the spot"])
    assert "by task Task-1\n" in programs.run(text=text).stderr


def test_pythons_own_warning_is_as_it_was(programs):
    """It names the program's line, comes as often, and obeys the filters."""
    text, line = program(PROGRAMS["dropped on the spot"])
    expected = programs.python(text).stderr
    assert f"app.py:{line}: RuntimeWarning: coroutine 'work' was never awaited" in expected
    assert expected in programs.run(text=text).stderr
    silent = programs.run(text=text, env={"PYTHONWARNINGS": "ignore"}).stderr
    assert "RuntimeWarning" not in silent and "clearloop: never awaited: work()" in silent


def test_an_error_warning_stays_one(programs):
    text, _ = program(PROGRAMS["dropped on the spot"])
    ran = programs.run(text=text, env={"PYTHONWARNINGS": "error"})
    assert "Exception ignored" in ran.stderr and "RuntimeWarning: coroutine 'work' was never awaited" in ran.stderr


def test_nobody_knows_when_there_are_two(programs):
    text, _ = program(
        """
        def one():
            x = work()

        def two():
            x = work()

        async def main():
            one()
        """
    )
    assert "clearloop: never awaited: work(), defined at app.py:4, by task Task-1\n" in programs.run(text=text).stderr


def test_the_same_place_is_counted(programs):
    text, _ = program(
        """
        async def main():
            for _ in range(10):
                work()
        """
    )
    stderr = programs.run(text=text, env={"PYTHONWARNINGS": "ignore"}).stderr
    assert stderr.count("clearloop: never awaited") == 2 and "[10 times]" in stderr


def test_a_coroutine_whose_task_never_ran_is_not_forgotten(programs):
    """The loop was closed before the first step: that is another complaint, Python's own."""
    text = """
        import asyncio
        async def work(): pass
        loop = asyncio.new_event_loop()
        task = loop.create_task(work())
        loop.close()
        """
    programs.run("--report", "found.jsonl", text=text)
    assert not [found for found in programs.records(kind="never_awaited") if found["task"] is None]


def test_loops_of_other_threads(programs):
    """Origin tracking is each thread's own."""
    text, line = program(PROGRAMS["in a function that the task has left"])
    thread = "import threading\nthreading.Thread(target=lambda: asyncio.run(main())).start()"
    text = text.replace("asyncio.run(main())", thread)
    programs.run("--report", "found.jsonl", text=text)
    (found,) = programs.records(kind="never_awaited")
    assert (found["line"], found["certain"]) == (line, True)


# -- the search --


def calls(text):
    finder = origin._Finder("app.py", "work")
    finder.visit(ast.parse(text))
    return [line for _, line, _ in finder.found]


@pytest.mark.parametrize(
    "text, found",
    [
        ("x = work()", [1]),
        ("x = a.b.work(1)", [1]),
        ("def f():\n x = [work()]", [2]),
        ("work()", []),  # told on the spot
        ("async def f(): await work()", []),
        ("run(work())", []),
        ("run(*[work() for _ in y])", []),
        ("def f(): return work()", []),
        ("x = work", []),
    ],
)
def test_which_calls_may_have_been_forgotten(text, found):
    assert calls(text) == found


@pytest.mark.parametrize("text", ["x = work(", "x = '\0'", "(" * 5000])
def test_sources_that_cannot_be_parsed(text, tmp_path):
    path = tmp_path / "app.py"
    path.write_text("work" + text)
    assert origin._calls_in(str(path), "work") == []


def test_origins_are_not_tracked_by_default(programs):
    """It would cost more than creating the coroutine does."""
    text = "import sys\nprint(sys.get_coroutine_origin_tracking_depth())"
    assert programs.run(text=text).stdout == "0\n"
    assert programs.run("--strict", text=text).stdout == "1\n"
    assert sys.get_coroutine_origin_tracking_depth() == 0
