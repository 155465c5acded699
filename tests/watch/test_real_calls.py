"""Real calls that block, against real peers: the line, the call, the verdict, the victim and the advice of each.

The block ends when the watchdog has said its first word, and not before (peers.py): so the first word comes during it.
"""

import asyncio
import itertools
import threading

import pytest

import clearloop
from clearloop.watch.advice import advice_for

from . import peers
from .held import THRESHOLD, line_of

# the peer, the expression that stands in its line, its dotted name, how the advice begins or what it contains
CALLS = [
    (
        peers.urllib_,
        'urllib.request.urlopen(f"http://127.0.0.1:{port}/")',
        "urllib.request.urlopen",
        "aiohttp or httpx",
    ),
    (
        peers.requests_,
        'session.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE)',
        "requests.sessions.Session.get",
        "aiohttp or httpx",
    ),
    (peers.http_client, "connection.getresponse()", "http.client.HTTPConnection.getresponse", "aiohttp or httpx"),
    (peers.socket_recv, "connection.recv(100)", "socket.socket.recv", "await loop.sock_recv(connection, 100)"),
    (peers.socket_file, "stream", "_io.BufferedReader.__next__", "asyncio.open_connection"),
    (
        peers.socket_connect,
        "connection.connect(path)",
        "socket.socket.connect",
        "await loop.sock_connect(connection, path)",
    ),
    (peers.select_, "select.select([connection], [], [])", "select.select", "loop.add_reader"),
    (peers.sqlite_lock, 'second.execute("BEGIN EXCLUSIVE")', "sqlite3.Connection.execute", "aiosqlite"),
    (peers.fifo, "open(path)", "_io.open", "around the file's whole use"),
    (peers.pipe_read, "stream.readline()", "_io.TextIOWrapper.readline", "await clearloop.run_sync(stream.readline)"),
    (peers.input_, "input()", "input", "await clearloop.run_sync(input)"),
    (peers.os_read, "os.read(reader, 1)", "posix.read", "loop.connect_read_pipe"),
    (peers.lock_acquire, "lock.acquire()", "_thread.lock.acquire", "asyncio.Lock between tasks"),
    (peers.lock_in_a_with, "lock", "_thread.lock.__enter__", "asyncio.Lock between tasks"),
    (peers.rlock_in_a_with, "lock", "_thread.RLock.__enter__", "asyncio.Lock between tasks"),
    (peers.condition, "changed.wait()", "threading.Condition.wait", "asyncio.Condition"),
    (peers.event, "happened.wait()", "threading.Event.wait", "asyncio.Event"),
    (peers.semaphore, "places", "threading.Semaphore.acquire", "asyncio.Semaphore"),
    (peers.thread_join, "other.join()", "threading.Thread.join", "await clearloop.run_sync(function)"),
    (peers.queue_get, "jobs.get()", "queue.Queue.get", "asyncio.Queue"),
    (peers.simple_queue_get, "jobs.get()", "_queue.SimpleQueue.get", "asyncio.Queue"),
    (
        peers.future_result,
        "future.result()",
        "concurrent.futures._base.Future.result",
        "await asyncio.wrap_future(future)",
    ),
    (
        peers.submit_and_result,
        "pool.submit(told.wait, PATIENCE).result()",
        "concurrent.futures._base.Future.result",
        "await asyncio.wrap_future(pool.submit(told.wait, PATIENCE))",
    ),
    (
        peers.result_of_another_process,
        "pool.submit(path.read_text).result()",
        "concurrent.futures._base.Future.result",
        "await asyncio.wrap_future(pool.submit(path.read_text))",
    ),
    (peers.futures_wait, "concurrent.futures.wait([future])", "concurrent.futures._base.wait", "await asyncio.wait("),
    (peers.executor_map, "pool.map(told.wait, [PATIENCE])", "concurrent.futures._base.Executor.map", "asyncio.gather"),
    (
        peers.end_of_an_executor,
        "concurrent.futures.ThreadPoolExecutor(1)",
        "concurrent.futures._base.Executor.__exit__",
        "executor.shutdown",
    ),
    (
        peers.subprocess_run,
        'subprocess.run([sys.executable, "-c", CHILD], stdin=reader, check=True)',
        "subprocess.run",
        "await asyncio.create_subprocess_exec",
    ),
    (
        peers.check_output,
        'subprocess.check_output([sys.executable, "-c", CHILD], stdin=reader)',
        "subprocess.check_output",
        "await asyncio.create_subprocess_exec",
    ),
    (peers.communicate, "child.communicate()", "subprocess.Popen.communicate", "await process.communicate()"),
    (peers.popen_wait, "child.wait()", "subprocess.Popen.wait", "await process.wait()"),
    (peers.waitpid, "os.waitpid(child.pid, 0)", "posix.waitpid", "await process.wait()"),
    (
        peers.os_system,
        'os.system(f"cat {path}")',
        "posix.system",
        "await asyncio.create_subprocess_shell(f'cat {path}')",
    ),
    (
        peers.flock,
        "fcntl.flock(file, fcntl.LOCK_EX)",
        "fcntl.flock",
        "clearloop.run_sync(fcntl.flock, file, fcntl.LOCK_EX)",
    ),
    (
        peers.lockf,
        "fcntl.lockf(file, fcntl.LOCK_EX)",
        "fcntl.lockf",
        "clearloop.run_sync(fcntl.lockf, file, fcntl.LOCK_EX)",
    ),
    (
        peers.process_pipe,
        "mine.recv()",
        "multiprocessing.connection._ConnectionBase.recv",
        "clearloop.run_sync(connection.recv)",
    ),
    (peers.process_queue, "jobs.get()", "multiprocessing.queues.Queue.get", "clearloop.run_sync(jobs.get)"),
    (peers.property_of_a_library, "lazy.value", None, "asyncio.Event"),
    (peers.in_the_middle_of_a_line, "jobs.get()", "queue.Queue.get", "asyncio.Queue"),
    (peers.over_several_lines, None, "queue.Queue.get", "asyncio.Queue"),
]


@pytest.mark.parametrize("peer, code, call, advice", CALLS, ids=[case[0].__name__.strip("_") for case in CALLS])
def test_call(seen, tmp_path, peer, code, call, advice):
    if peer is peers.requests_:
        pytest.importorskip("requests")
    tries = itertools.count()
    block = None

    def cause():
        nonlocal block
        told = threading.Event()
        # two thresholds later, so that it is a stall without doubt, however slowly its end comes
        timer = threading.Timer(2 * THRESHOLD, told.set)
        seen.on_the_first_word = lambda: None if timer.ident else timer.start()
        folder = tmp_path / str(next(tries))
        folder.mkdir()

        async def main():
            await asyncio.sleep(0.001)  # the block's turn begins here
            ready = asyncio.create_task(clearloop.sleep(0), name="could have run")
            block()
            assert told.is_set()  # the watchdog let it go: nothing else ends it
            await ready

        with peer(told, folder) as block:
            try:
                seen.run(main)
            finally:
                told.set()

    cause()
    seen.again = cause
    stall = seen.the_one("blocking")
    assert (stall.file, stall.function) == (peers.__file__, block.__qualname__)
    assert stall.line == line_of(block)
    if code is not None:
        assert stall.code == code
    assert (stall.call or "").lstrip("_") == (call or "").lstrip("_")  # io.open, or _io.open
    [first] = [early for early in seen.began if early.number == stall.number]
    assert first.ongoing and first.verdict is None
    assert (first.file, first.line, first.code, first.call) == (stall.file, stall.line, stall.code, stall.call)
    assert 0 < first.seconds < stall.seconds
    assert stall.delayed_count == 1
    assert stall.delayed[0].task == "could have run"
    assert THRESHOLD / 2 < stall.delayed[0].seconds <= stall.seconds
    assert advice in advice_for(stall)
