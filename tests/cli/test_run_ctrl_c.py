"""Ctrl-C under `clearloop run`: the first cancels the main task, a second ends at once, as with `python`."""

import signal

import pytest

CANCELLED = """
    import asyncio
    async def main():
        print("ready", flush=True)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            print("tidied up", flush=True)
            raise
    asyncio.run(main())
"""

STUBBORN = """
    import asyncio
    async def main():
        print("ready", flush=True)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("not yet", flush=True)
            await asyncio.sleep(3600)
    asyncio.run(main())
"""

# The second arrives while the task itself runs, so that it is the task which raises it
IN_A_STEP = STUBBORN.replace('print("not yet", flush=True)', "signal.raise_signal(signal.SIGINT)").replace(
    "import asyncio", "import asyncio, signal"
)

# What is found is told at exit, by modules that are imported then
WITH_FINDINGS = IN_A_STEP.replace(
    "asyncio.run(main())",
    """
    lost = []
    async def fail():
        raise LookupError
    async def both():
        lost.append(asyncio.create_task(fail()))
        await main()
    asyncio.run(both())
    """,
)

OLD_STYLE = """
    import asyncio
    async def main():
        print("ready", flush=True)
        await asyncio.sleep(3600)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    except KeyboardInterrupt:
        print("caught", flush=True)
"""

CAUGHT = CANCELLED.replace(
    "asyncio.run(main())",
    "\n    try:\n        asyncio.run(main())\n    except KeyboardInterrupt:\n        print('caught')",
)


def interrupt(process, answers):
    """Send SIGINT after each of the lines that the program is to print; return how it ended."""
    try:
        for line in answers:
            assert process.stdout.readline() == line + "\n"
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return out, err.splitlines()[-1:], process.returncode


@pytest.mark.parametrize(
    ("text", "answers", "rest", "last", "status"),
    [
        (CANCELLED, ["ready"], "tidied up\n", ["KeyboardInterrupt"], -signal.SIGINT),
        (STUBBORN, ["ready", "not yet"], "", ["KeyboardInterrupt"], -signal.SIGINT),
        (IN_A_STEP, ["ready"], "", ["KeyboardInterrupt"], -signal.SIGINT),
        (OLD_STYLE, ["ready"], "caught\n", [], 0),
        (CAUGHT, ["ready"], "tidied up\ncaught\n", [], 0),
    ],
    ids=["first cancels", "second ends at once", "second in a step", "run_until_complete", "caught"],
)
@pytest.mark.parametrize("by", ["python", "clearloop"])
def test_ctrl_c(programs, by, text, answers, rest, last, status):
    programs.write("app.py", text)
    command = programs.clearloop_words if by == "clearloop" else programs.python_words
    assert interrupt(programs.start(command, "app.py"), answers) == (rest, last, status)


def test_ctrl_c_ends_by_the_signal_also_when_there_is_something_to_tell(programs):
    programs.write("app.py", WITH_FINDINGS)
    process = programs.start(programs.clearloop_words, "app.py")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err.count("clearloop: lost error: LookupError") == 1 and "lost error: KeyboardInterrupt" not in err
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_in_a_step_is_not_told_again(programs):
    programs.write("app.py", IN_A_STEP)
    process = programs.start(programs.clearloop_words, "app.py")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "lost error" not in err and "never retrieved" not in err
