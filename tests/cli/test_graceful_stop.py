"""SIGTERM and Ctrl-C cancel the main task once; a second signal ends the program at once, whatever still runs."""

import signal

import pytest

START = {
    "clearloop.run": "import asyncio, clearloop, sys, time\n{}\nclearloop.run(main())\n",
    "clearloop run": "import asyncio, sys, time\n{}\nasyncio.run(main())\n",
    "Runner": (
        "import asyncio, clearloop, sys, time\n{}\nwith clearloop.Runner() as runner:\n    runner.run(main())\n"
    ),
}

TIDY = """
async def main():
    print("ready", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        print("tidied up", flush=True)
"""

DRAINS = """
async def main():
    print("ready", flush=True)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("drained", flush=True)
"""

STUBBORN = """
async def main():
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("not yet", flush=True)
"""

IN_A_THREAD = """
async def main():
    task = asyncio.ensure_future(asyncio.to_thread(time.sleep, 3600))
    await asyncio.sleep(0.01)
    print("ready", flush=True)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("not yet", flush=True)
        await task
"""

OWN_HANDLER = """
import signal
async def main():
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("ready", flush=True)
    await stopped.wait()
    print("own way", flush=True)
"""


@pytest.fixture(params=START)
def start(request, programs):
    def start(text):
        programs.write("app.py", START[request.param].format(text))
        words = programs.clearloop_words if request.param == "clearloop run" else programs.python_words
        return programs.start(words, "app.py")

    return start


def signalled(process, answers):
    """Send each signal when its line has come; return what was printed after, and the status."""
    try:
        for line, number in answers:
            assert process.stdout.readline() == line + "\n"
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return out, process.returncode, err


TERM, INT = signal.SIGTERM, signal.SIGINT


def test_sigterm_cancels_the_main_task(start):
    out, status, err = signalled(start(TIDY), [("ready", TERM)])
    assert (out, status, err) == ("tidied up\n", 143, "")


def test_a_main_task_that_drains_and_returns_ends_well(start):
    out, status, err = signalled(start(DRAINS), [("ready", TERM)])
    assert (out, status, err) == ("drained\n", 0, "")


@pytest.mark.parametrize("first", [TERM, INT])
@pytest.mark.parametrize("second", [TERM, INT])
def test_a_second_signal_ends_at_once(start, first, second):
    _, status, _ = signalled(start(STUBBORN), [("ready", first), ("not yet", second)])
    assert status == (143 if second == TERM else -INT)


@pytest.mark.parametrize("first", [TERM, INT])
@pytest.mark.parametrize("second", [TERM, INT])
def test_a_second_signal_leaves_threads_alone(start, first, second):
    _, status, _ = signalled(start(IN_A_THREAD), [("ready", first), ("not yet", second)])
    assert status == -second


def test_who_handles_sigterm_keeps_it(start):
    out, status, err = signalled(start(OWN_HANDLER), [("ready", TERM)])
    assert (out, status, err) == ("own way\n", 0, "")


def test_the_handler_is_there_only_while_it_runs(programs):
    text = """
        import clearloop, signal
        async def main():
            return signal.getsignal(signal.SIGTERM)
        assert clearloop.run(main()) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert clearloop.run(main()) is signal.SIG_IGN
    """
    programs.write("app.py", text)
    assert programs.python("app.py").returncode == 0


def test_a_worker_drains_within_its_grace(start):
    text = """
import clearloop
async def job():
    await asyncio.sleep(0.05)
    print("job done", flush=True)
async def main():
    async with clearloop.Supervisor(grace=30) as jobs:
        jobs.create_task(job())
        print("ready", flush=True)
        await asyncio.sleep(3600)
"""
    out, status, err = signalled(start(text), [("ready", TERM)])
    assert (out, status, err) == ("job done\n", 143, "")


