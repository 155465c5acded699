"""An exception that nobody fetched is named when its task or future dies, and at exit when it is still held."""

import pytest

FAIL = """
    import asyncio, gc

    async def fail():
        raise ValueError("no")

    kept = []

    async def main():
{body}

    asyncio.run(main())
    """

LOST = {
    "a task that was dropped": ("task = asyncio.create_task(fail(), name='job')", "job", False),
    "a task that is held": ("kept.append(asyncio.create_task(fail(), name='job'))", "job", True),
    "a future that was dropped": (
        "asyncio.get_running_loop().create_future().set_exception(ValueError('no'))",
        None,
        False,
    ),
    "a future that is held": (
        "kept.append(asyncio.get_running_loop().create_future()); kept[0].set_exception(ValueError('no'))",
        None,
        True,
    ),
    "a task of asyncio's own": (
        "kept.append(asyncio.Task(fail(), loop=asyncio.get_running_loop(), name='job'))",
        "job",
        True,
    ),
}


def program(line):
    body = f"        {line}\n        for _ in range(3): await asyncio.sleep(0)\n        task = None"
    return FAIL.format(body=body)


@pytest.mark.parametrize("name", LOST)
def test_lost(programs, name):
    line, task, at_exit = LOST[name]
    ran = programs.run("--report", "found.jsonl", text=program(line))
    (found,) = programs.records(kind="lost_exception")
    assert (found["task"], found["at_exit"]) == (task, at_exit)
    assert (found["exception"], found["message"]) == ("ValueError", "no")
    if task is not None:
        assert (found["file"].rpartition("/")[2], found["line"], found["function"]) == ("app.py", 5, "fail")
        assert found["stack"][-1]["function"] == "fail"
        assert 'raised at app.py:5 in fail: raise ValueError("no"), in task job\n' in ran.stderr
    else:
        assert "in a future\n" in ran.stderr and found["future"].startswith("<Future finished")
    assert ran.stderr.count("clearloop: lost error: ValueError: no") == 1
    assert programs.records()[-1]["lost_exceptions"] == 1


FETCHED = {
    "awaited": "await asyncio.gather(fail(), return_exceptions=True)",
    "asked for": "task = asyncio.create_task(fail()); await asyncio.wait([task]); task.exception()",
    "cancelled": "task = asyncio.create_task(asyncio.sleep(9)); await asyncio.sleep(0); task.cancel()",
    "with a result": "kept.append(asyncio.create_task(asyncio.sleep(0)))",
}


@pytest.mark.parametrize("name", FETCHED)
def test_not_lost(programs, name):
    ran = programs.run("--strict", "--report", "found.jsonl", text=program(FETCHED[name]))
    assert programs.records(kind="lost_exception") == []
    assert (ran.stderr, ran.returncode) == ("", 0)


def test_other_errors_of_the_loop_are_not_lost_ones(programs):
    """They have an exception handler of their own."""
    line = "asyncio.get_running_loop().call_soon(lambda: 1 / 0)"
    ran = programs.run("--report", "found.jsonl", text=program(line))
    assert "ZeroDivisionError" in ran.stderr
    assert programs.records(kind="lost_exception") == []


def test_the_exception_handler_still_hears_of_it(programs):
    line = "loop = asyncio.get_running_loop(); loop.set_exception_handler(lambda loop, c: print(c['message'])); "
    line += "task = asyncio.create_task(fail())"
    ran = programs.run(text=program(line))
    assert ran.stdout == "Task exception was never retrieved\n"
    assert "clearloop: lost error: ValueError: no" in ran.stderr


def test_an_exception_with_a_hostile_text(programs):
    text = """
        import asyncio

        class Hostile(Exception):
            def __str__(self):
                raise RuntimeError("no text")
            __repr__ = __str__

        async def fail():
            raise Hostile

        async def main():
            asyncio.create_task(fail(), name="a\\x1b[2J\\nb")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        asyncio.run(main())
        print("ended")
        """
    ran = programs.run("--report", "found.jsonl", text=text)
    assert ran.stdout == "ended\n"
    (found,) = programs.records(kind="lost_exception")
    assert found["message"] == "<RuntimeError in str()>" and found["task"] == "a\\x1b[2J b"
    assert "in task a\\x1b[2J b\n" in ran.stderr
