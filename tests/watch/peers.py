"""The other side of a blocking call: a server, a process, a holder of a lock that answers only when it is allowed to.

Each peer is a context manager that gives the function which blocks.  The block ends when `told` is set, which the test
sets with the watchdog's first word: that the word comes during the block is so by construction, and no clock decides.

What differs from peer to peer is what is set up and the line that blocks; who lets it go is one of four, each a
decorator: another thread, a server, the end of a pipe on which a child process waits, a job in a pool.
"""

import concurrent.futures
import contextlib
import fcntl
import functools
import http.client
import multiprocessing
import os
import pathlib
import queue
import select
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request

PATIENCE = 60  # seconds after which a peer gives up: the test then fails by what it asserts, and does not hang


@contextlib.contextmanager
def thread(*target):
    """A thread beside the loop, joined in the end."""
    one = threading.Thread(target=target[0], args=target[1:])
    one.start()
    try:
        yield one
    finally:
        one.join()


def let_go_by_a_thread(setup):
    """`setup(folder)` yields (what blocks, what another thread calls when told)."""

    @contextlib.contextmanager
    def peer(told, folder):
        def wait():
            told.wait(PATIENCE)
            let_go()

        with contextlib.contextmanager(setup)(folder) as (block, let_go), thread(wait):
            yield block

    return functools.wraps(setup)(peer)


def answered_by_a_server(answer):
    """`setup(port)` yields what blocks; a server for one connection sends `answer` when told."""

    def decorator(setup):
        @contextlib.contextmanager
        def peer(told, folder):
            def serve():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        if answer.startswith(b"HTTP"):
                            connection.recv(65536)
                        told.wait(PATIENCE)
                        connection.sendall(answer)

            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.settimeout(PATIENCE)
                port = listener.getsockname()[1]
                with thread(serve), contextlib.contextmanager(setup)(port) as block:
                    yield block

        return functools.wraps(setup)(peer)

    return decorator


def ended_by_a_pipe(setup):
    """`setup(reader)` yields what blocks: a child that reads the pipe, whose other end is closed when told."""

    @contextlib.contextmanager
    def peer(told, folder):
        reader, writer = os.pipe()

        def close():
            told.wait(PATIENCE)
            os.close(writer)

        with os.fdopen(reader, "rb", 0), thread(close), contextlib.contextmanager(setup)(reader) as block:
            yield block

    return functools.wraps(setup)(peer)


def done_by_a_pool(setup):
    """`setup(pool, told)` yields what blocks: it waits for a job, which ends when told."""

    @contextlib.contextmanager
    def peer(told, folder):
        with concurrent.futures.ThreadPoolExecutor(1) as pool, contextlib.contextmanager(setup)(pool, told) as block:
            yield block

    return functools.wraps(setup)(peer)


# ---- over the network -----------------------------------------------------------------------------------------------

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


@answered_by_a_server(HELLO)
def urllib_(port):
    def block():
        urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()  # here

    yield block


@answered_by_a_server(HELLO)
def requests_(port):
    import requests

    def block():
        answer = session.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE)  # here
        assert answer.text == "hello"

    with requests.Session() as session:
        session.trust_env = False
        yield block


@answered_by_a_server(HELLO)
def http_client(port):
    def block():
        return connection.getresponse()  # here

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    yield block
    connection.close()


@answered_by_a_server(b"at last")
def socket_recv(port):
    def block():
        assert connection.recv(100) == b"at last"  # here

    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield block


@answered_by_a_server(b"a line\n")
def socket_file(port):
    def block():
        for line in stream:  # here
            return line

    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:
        yield block


@answered_by_a_server(b"at last")
def select_(port):
    def block():
        select.select([connection], [], [])  # here

    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield block


@let_go_by_a_thread
def socket_connect(folder):
    """A UNIX socket whose backlog is full: connecting waits until somebody accepts."""
    path = os.path.join(folder, "full")

    def block():
        connection.connect(path)  # here

    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as held:
        listener.bind(path)
        listener.listen(0)
        listener.settimeout(PATIENCE)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = held.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(path)
        connection = held.enter_context(socket.socket(socket.AF_UNIX))
        yield block, lambda: held.enter_context(listener.accept()[0])


# ---- files and pipes ------------------------------------------------------------------------------------------------


@let_go_by_a_thread
def sqlite_lock(folder):
    path = os.path.join(folder, "data.db")
    first = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    second = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    first.execute("BEGIN EXCLUSIVE")

    def block():
        second.execute("BEGIN EXCLUSIVE")  # here

    with contextlib.closing(first), contextlib.closing(second):
        yield block, lambda: first.execute("COMMIT")


def feed(path, text="x"):
    """Write into a FIFO as soon as somebody reads from it, who may have failed before: then never."""
    until = time.monotonic() + PATIENCE / 2
    while time.monotonic() < until:
        with contextlib.suppress(OSError):  # ENXIO: nobody yet
            with open(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "w") as stream:
                stream.write(text)
            return
        time.sleep(0.01)


@let_go_by_a_thread
def fifo(folder):
    path = os.path.join(folder, "fifo")
    os.mkfifo(path)

    def block():
        with open(path) as stream:  # here
            stream.read()

    yield block, lambda: feed(path)


def type_into(writer):
    """A line, and the end."""
    with os.fdopen(writer, "w") as stream:
        stream.write("typed\n")


@let_go_by_a_thread
def pipe_read(folder):
    """As input() does: a line from a pipe, where there is none yet."""
    reader, writer = os.pipe()

    def block():
        assert stream.readline() == "typed\n"  # here

    with os.fdopen(reader) as stream:
        yield block, lambda: type_into(writer)


@let_go_by_a_thread
def input_(folder):
    reader, writer = os.pipe()

    def block():
        assert input() == "typed"  # here

    before = sys.stdin
    with os.fdopen(reader) as sys.stdin:
        yield block, lambda: type_into(writer)
    sys.stdin = before


@let_go_by_a_thread
def os_read(folder):
    reader, writer = os.pipe()

    def block():
        os.read(reader, 1)  # here

    with os.fdopen(reader, "rb", 0):
        yield block, lambda: os.close(writer)


# A process that holds a lock on a file until its standard input ends
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.{0}(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_a_process(folder, how):
    """(a file that a process has locked, what ends that process)."""
    path = os.path.join(folder, "locked")
    open(path, "w").close()
    command = [sys.executable, "-c", HOLDER.format(how), path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with open(path, "r+") as file:
            yield file, holder.stdin.close


@let_go_by_a_thread
def flock(folder):
    def block():
        fcntl.flock(file, fcntl.LOCK_EX)  # here

    with held_by_a_process(folder, "flock") as (file, let_go):
        yield block, let_go


@let_go_by_a_thread
def lockf(folder):
    def block():
        fcntl.lockf(file, fcntl.LOCK_EX)  # here

    with held_by_a_process(folder, "lockf") as (file, let_go):
        yield block, let_go


# ---- locks and queues between threads -------------------------------------------------------------------------------


@let_go_by_a_thread
def lock_acquire(folder):
    lock = threading.Lock()
    lock.acquire()

    def block():
        lock.acquire()  # here

    yield block, lock.release


@let_go_by_a_thread
def lock_in_a_with(folder):
    lock = threading.Lock()
    lock.acquire()

    def block():
        with lock:  # here
            pass

    yield block, lock.release


@contextlib.contextmanager
def rlock_in_a_with(told, folder):
    """Only the thread that has it may let it go."""
    lock = threading.RLock()
    ready = threading.Event()

    def hold():
        with lock:
            ready.set()
            told.wait(PATIENCE)

    def block():
        with lock:  # here
            pass

    with thread(hold):
        ready.wait(PATIENCE)
        yield block


@let_go_by_a_thread
def condition(folder):
    changed = threading.Condition()

    def notify():
        with changed:
            changed.notify_all()

    def block():
        with changed:
            changed.wait()  # here

    yield block, notify


@let_go_by_a_thread
def event(folder):
    happened = threading.Event()

    def block():
        happened.wait()  # here

    yield block, happened.set


@let_go_by_a_thread
def semaphore(folder):
    places = threading.Semaphore(0)

    def block():
        with places:  # here
            pass

    yield block, places.release


@contextlib.contextmanager
def thread_join(told, folder):
    with thread(told.wait, PATIENCE) as other:

        def block():
            other.join()  # here

        yield block


@let_go_by_a_thread
def queue_get(folder):
    jobs = queue.Queue()

    def block():
        assert jobs.get() == "job"  # here

    yield block, lambda: jobs.put("job")


@let_go_by_a_thread
def simple_queue_get(folder):
    jobs = queue.SimpleQueue()

    def block():
        assert jobs.get() == "job"  # here

    yield block, lambda: jobs.put("job")


# ---- executors ------------------------------------------------------------------------------------------------------


@done_by_a_pool
def future_result(pool, told):
    future = pool.submit(told.wait, PATIENCE)

    def block():
        assert future.result()  # here

    yield block


@done_by_a_pool
def submit_and_result(pool, told):
    def block():
        assert pool.submit(told.wait, PATIENCE).result()  # here

    yield block


@done_by_a_pool
def futures_wait(pool, told):
    future = pool.submit(told.wait, PATIENCE)

    def block():
        concurrent.futures.wait([future])  # here

    yield block


@done_by_a_pool
def executor_map(pool, told):
    def block():
        for _ in pool.map(told.wait, [PATIENCE]):  # here
            pass

    yield block


@contextlib.contextmanager
def end_of_an_executor(told, folder):
    def block():
        with concurrent.futures.ThreadPoolExecutor(1) as pool:  # here
            pool.submit(told.wait, PATIENCE)

    yield block


@let_go_by_a_thread
def result_of_another_process(folder):
    path = pathlib.Path(folder, "fifo")
    os.mkfifo(path)

    def block():
        assert pool.submit(path.read_text).result() == "x"  # here

    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        pool.submit(os.getpid).result(PATIENCE)  # its process is there
        yield block, lambda: feed(path)


# ---- other processes ------------------------------------------------------------------------------------------------

CHILD = "import sys; sys.stdin.buffer.read(1)"


@ended_by_a_pipe
def subprocess_run(reader):
    def block():
        subprocess.run([sys.executable, "-c", CHILD], stdin=reader, check=True)  # here

    yield block


@ended_by_a_pipe
def check_output(reader):
    def block():
        subprocess.check_output([sys.executable, "-c", CHILD], stdin=reader)  # here

    yield block


@ended_by_a_pipe
def communicate(reader):
    def block():
        child.communicate()  # here

    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        yield block


@ended_by_a_pipe
def popen_wait(reader):
    def block():
        child.wait()  # here

    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=reader) as child:
        yield block


@ended_by_a_pipe
def waitpid(reader):
    def block():
        os.waitpid(child.pid, 0)  # here
        child.returncode = 0

    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=reader)
    yield block


@let_go_by_a_thread
def os_system(folder):
    path = os.path.join(folder, "fifo")
    os.mkfifo(path)

    def block():
        os.system(f"cat {path}")  # here

    yield block, lambda: feed(path, "")


@let_go_by_a_thread
def process_pipe(folder):
    mine, theirs = multiprocessing.Pipe()

    def block():
        assert mine.recv() == "job"  # here

    with mine, theirs:
        yield block, lambda: theirs.send("job")


@let_go_by_a_thread
def process_queue(folder):
    jobs = multiprocessing.get_context("spawn").Queue()

    def block():
        assert jobs.get() == "job"  # here

    yield block, lambda: jobs.put("job")
    jobs.close()
    jobs.join_thread()


# ---- lines that are read the hard way -------------------------------------------------------------------------------


@contextlib.contextmanager
def property_of_a_library(told, folder):
    """The user's line has no call at all: an attribute that waits."""

    class Lazy:
        pass

    source = "def value(self):\n    return self.told.wait(self.patience)\n"
    namespace = {}
    exec(compile(source, "<frozen library>", "exec"), namespace)
    Lazy.value = property(namespace["value"])
    lazy = Lazy()
    lazy.told, lazy.patience = told, PATIENCE

    def block():
        assert lazy.value  # here

    yield block


@let_go_by_a_thread
def in_the_middle_of_a_line(folder):
    jobs = queue.Queue()

    def block():
        return [len(str(jobs.get(), "ascii")), time.monotonic()]  # here

    yield block, lambda: jobs.put(b"job")


@let_go_by_a_thread
def over_several_lines(folder):
    jobs = queue.Queue()

    def block():
        return sorted(
            jobs.get(  # here
                True,
                timeout=PATIENCE,
            )
        )

    yield block, lambda: jobs.put("job")
