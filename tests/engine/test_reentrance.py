"""Code that comes back into the loop from where the loop did not call it, and what is left when something fails."""

import asyncio
import concurrent.futures
import gc
import os
import subprocess
import sys
import threading

import pytest

import clearloop
from clearloop.offload.threads import ThreadPool


@pytest.fixture
def loop():
    loop = clearloop.new_event_loop()
    yield loop
    loop.close()


def test_a_turn_by_hand_without_work_leaves_the_callback_that_asked_for_it(loop):
    counts = []

    def step():
        for _ in range(3):
            counts.append(sys.getrefcount(handle))
            loop.stop()  # so that the turn does not wait
            loop._run_once()
        counts.append(sys.getrefcount(handle))

    handle = loop.call_soon(step)
    loop.run_forever()
    assert len(set(counts)) == 1


@pytest.mark.parametrize("fd", [100_000, 900_000_000, 2_000_000_000])
def test_a_number_that_is_no_descriptor_costs_no_memory_and_no_time(loop, fd):
    with pytest.raises(OSError):
        loop.add_reader(fd, print)
    with pytest.raises(OSError):
        loop.add_writer(fd, print)


def test_a_comparison_that_adds_a_callback_while_another_is_removed(loop):
    future = loop.create_future()
    called = []

    class Callback:
        added = False

        def __eq__(self, other):
            if not self.added:
                self.added = True
                future.add_done_callback(lambda future: called.append("the new one"))
            return True

        def __call__(self, future):
            called.append("the removed one")

    future.add_done_callback(Callback())
    assert future.remove_done_callback(print) == 1
    future.set_result(None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert called == ["the new one"]


def test_a_callback_that_equals_nothing_is_removed_by_itself(loop):
    class Callback:
        __hash__ = None

        def __eq__(self, other):
            return False

        def __call__(self, future):
            raise AssertionError("it was removed")

    callback = Callback()
    future = loop.create_future()
    future.add_done_callback(callback)
    assert future.remove_done_callback(callback) == 1


def test_jobs_that_are_queued_when_the_loop_closes_are_done(loop):
    gate = threading.Event()
    done = []

    def work(number):
        gate.wait()
        done.append(number)

    for number in range(50):
        loop.run_in_executor(None, work, number)
    threads = set(loop._default_executor.threads)
    loop.close()  # which drops the pool
    gc.collect()
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(50))


def test_queued_jobs_are_cancelled_where_they_came_from(loop):
    pool = ThreadPool(1)
    started = threading.Event()
    gate = threading.Event()

    def work():
        started.set()
        return gate.wait()

    async def main():
        first = pool.run(loop, work, ())
        queued = pool.run(loop, print, ())
        concurrent_one = pool.submit(print)
        started.wait()
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await queued
        with pytest.raises(concurrent.futures.CancelledError):
            concurrent_one.result(0)
        gate.set()
        assert await first

    loop.run_until_complete(main())


def test_no_job_is_taken_after_shutdown(loop):
    pool = ThreadPool(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.run(loop, print, ())
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(print)


def run_script(source):
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )


JOBS_AFTER_THE_MAIN_THREAD = """
import threading, clearloop
loop = clearloop.new_event_loop()

async def main():
    while threading.main_thread().is_alive():
        await clearloop.sleep(0.01)
    try:
        await loop.run_in_executor(None, print, "done")
    except RuntimeError as error:
        print("refused:", error)

threading.Thread(target=lambda: loop.run_until_complete(main())).start()
"""


def test_a_pool_that_is_made_while_the_interpreter_ends_does_not_keep_it(loop):
    ended = run_script(JOBS_AFTER_THE_MAIN_THREAD)
    assert ended.stdout.startswith("refused:"), ended.stderr


# A filter of the kernel that answers one system call, epoll_pwait2, with ENOSYS
OLD_KERNEL = """
import ctypes, struct, sys, time
import clearloop
libc = ctypes.CDLL(None, use_errno=True)
code = b"".join(
    struct.pack("HBBI", *line)
    for line in ((0x20, 0, 0, 0), (0x15, 0, 1, 441), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000))
)
held = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(held)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    print("no filter")
    sys.exit()

async def main():
    began = time.monotonic()
    for _ in range(20):
        await clearloop.sleep(0.002)
    far = clearloop.create_task(clearloop.sleep(10**8))  # further away than one wait can be
    loop = clearloop.get_running_loop()
    await loop.run_in_executor(None, time.sleep, 0.01)
    far.cancel()
    print(time.monotonic() - began >= 0.04)

clearloop.run(main())
"""


def test_a_kernel_without_waits_of_nanoseconds(loop):
    ended = run_script(OLD_KERNEL)
    if ended.stdout == "no filter\n":
        pytest.skip("the kernel takes no filters from here")
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr


HALF_MADE = """
import os, resource, clearloop
clearloop.new_event_loop().close()
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
for _ in range(2):  # none left, then one, which epoll takes
    try:
        clearloop.new_event_loop()
    except OSError as error:
        print(error.errno)
    os.close(held.pop())
"""


def test_a_loop_for_which_there_are_no_descriptors_goes_without_a_word():
    ended = run_script(HALF_MADE)
    assert (ended.stdout, ended.stderr) == ("24\n24\n", "")


@pytest.mark.parametrize(
    "type_",
    [
        type(clearloop.Lock().__aenter__()),
        type(clearloop.Semaphore().__aenter__()),
        type(clearloop.timeout_at(None).__aenter__()),
    ],
)
def test_an_awaitable_that_belongs_to_nothing(type_):
    with pytest.raises(AttributeError):
        for _ in type_().__await__():
            pass
