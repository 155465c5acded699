"""The other side of a blocking call: a server, a process, a holder of a lock that answers only when it is allowed to.

Each peer is a context manager that gives the function which blocks.  The block ends when `told` is set, which the test
sets with the watchdog's first word: that the word comes during the block is so by construction, and no clock decides.
"""

import concurrent.futures
import contextlib
import fcntl
import http.client
import multiprocessing
import os
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


@contextlib.contextmanager
def server(told, answer):
    """A server for one connection, which answers when `told` says so; gives its port."""

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
        with thread(serve):
            yield listener.getsockname()[1]


HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


@contextlib.contextmanager
def urllib_(told, folder):
    with server(told, HELLO) as port:

        def block():
            urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()  # here

        yield block


@contextlib.contextmanager
def requests_(told, folder):
    import requests

    with server(told, HELLO) as port, requests.Session() as session:
        session.trust_env = False

        def block():
            answer = session.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE)  # here
            assert answer.text == "hello"

        yield block


@contextlib.contextmanager
def http_client(told, folder):
    with server(told, HELLO) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/")

        def block():
            return connection.getresponse()  # here

        yield block
        connection.close()


@contextlib.contextmanager
def socket_recv(told, folder):
    with server(told, b"at last") as port, socket.create_connection(("127.0.0.1", port)) as connection:

        def block():
            assert connection.recv(100) == b"at last"  # here

        yield block


@contextlib.contextmanager
def socket_file(told, folder):
    with server(told, b"a line\n") as port, socket.create_connection(("127.0.0.1", port)) as connection:
        with connection.makefile("rb") as stream:

            def block():
                for line in stream:  # here
                    return line

            yield block


@contextlib.contextmanager
def socket_connect(told, folder):
    """A UNIX socket whose backlog is full: connecting waits until somebody accepts."""
    path = os.path.join(folder, "full")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as held:
        listener.bind(path)
        listener.listen(0)
        listener.settimeout(PATIENCE)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = held.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(path)

        def accept():
            told.wait(PATIENCE)
            held.enter_context(listener.accept()[0])

        connection = held.enter_context(socket.socket(socket.AF_UNIX))

        def block():
            connection.connect(path)  # here

        with thread(accept):
            yield block


@contextlib.contextmanager
def select_(told, folder):
    with server(told, b"at last") as port, socket.create_connection(("127.0.0.1", port)) as connection:

        def block():
            select.select([connection], [], [])  # here

        yield block


@contextlib.contextmanager
def sqlite_lock(told, folder):
    path = os.path.join(folder, "data.db")
    first = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    second = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    first.execute("BEGIN EXCLUSIVE")

    def release():
        told.wait(PATIENCE)
        first.execute("COMMIT")

    def block():
        second.execute("BEGIN EXCLUSIVE")  # here

    with contextlib.closing(first), contextlib.closing(second), thread(release):
        yield block


@contextlib.contextmanager
def fifo(told, folder):
    path = os.path.join(folder, "fifo")
    os.mkfifo(path)

    def write():
        told.wait(PATIENCE)
        with open(path, "w") as stream:
            stream.write("x")

    def block():
        with open(path) as stream:  # here
            stream.read()

    with thread(write):
        yield block


@contextlib.contextmanager
def pipe_read(told, folder):
    """As input() does: a line from a pipe, where there is none yet."""
    reader, writer = os.pipe()

    def write():
        told.wait(PATIENCE)
        os.write(writer, b"typed\n")
        os.close(writer)

    with os.fdopen(reader) as stream, thread(write):

        def block():
            assert stream.readline() == "typed\n"  # here

        yield block


@contextlib.contextmanager
def input_(told, folder):
    reader, writer = os.pipe()

    def write():
        told.wait(PATIENCE)
        os.write(writer, b"typed\n")
        os.close(writer)

    before = sys.stdin
    with os.fdopen(reader) as sys.stdin, thread(write):

        def block():
            assert input() == "typed"  # here

        try:
            yield block
        finally:
            told.set()
    sys.stdin = before


@contextlib.contextmanager
def os_read(told, folder):
    reader, writer = os.pipe()

    def write():
        told.wait(PATIENCE)
        os.close(writer)

    with os.fdopen(reader, "rb", 0), thread(write):

        def block():
            os.read(reader, 1)  # here

        yield block


@contextlib.contextmanager
def lock_acquire(told, folder):
    lock = threading.Lock()
    lock.acquire()

    def release():
        told.wait(PATIENCE)
        lock.release()

    def block():
        lock.acquire()  # here

    with thread(release):
        yield block


@contextlib.contextmanager
def lock_in_a_with(told, folder):
    lock = threading.Lock()
    lock.acquire()

    def release():
        told.wait(PATIENCE)
        lock.release()

    def block():
        with lock:  # here
            pass

    with thread(release):
        yield block


@contextlib.contextmanager
def rlock_in_a_with(told, folder):
    lock = threading.RLock()
    ready = threading.Event()

    def release():
        with lock:
            ready.set()
            told.wait(PATIENCE)

    def block():
        with lock:  # here
            pass

    with thread(release):
        ready.wait(PATIENCE)
        yield block


@contextlib.contextmanager
def condition(told, folder):
    changed = threading.Condition()

    def notify():
        told.wait(PATIENCE)
        with changed:
            changed.notify_all()

    def block():
        with changed:
            changed.wait()  # here

    with thread(notify):
        yield block


@contextlib.contextmanager
def event(told, folder):
    happened = threading.Event()

    def happen():
        told.wait(PATIENCE)
        happened.set()

    def block():
        happened.wait()  # here

    with thread(happen):
        yield block


@contextlib.contextmanager
def semaphore(told, folder):
    places = threading.Semaphore(0)

    def free():
        told.wait(PATIENCE)
        places.release()

    def block():
        with places:  # here
            pass

    with thread(free):
        yield block


@contextlib.contextmanager
def thread_join(told, folder):
    with thread(told.wait, PATIENCE) as other:

        def block():
            other.join()  # here

        yield block


@contextlib.contextmanager
def queue_get(told, folder):
    jobs = queue.Queue()

    def put():
        told.wait(PATIENCE)
        jobs.put("job")

    def block():
        assert jobs.get() == "job"  # here

    with thread(put):
        yield block


@contextlib.contextmanager
def simple_queue_get(told, folder):
    jobs = queue.SimpleQueue()

    def put():
        told.wait(PATIENCE)
        jobs.put("job")

    def block():
        assert jobs.get() == "job"  # here

    with thread(put):
        yield block


@contextlib.contextmanager
def future_result(told, folder):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(told.wait, PATIENCE)

        def block():
            assert future.result()  # here

        yield block


@contextlib.contextmanager
def futures_wait(told, folder):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(told.wait, PATIENCE)

        def block():
            concurrent.futures.wait([future])  # here

        yield block


@contextlib.contextmanager
def executor_map(told, folder):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

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


CHILD = "import sys; sys.stdin.buffer.read(1)"


@contextlib.contextmanager
def held_by_a_pipe(told):
    """A pipe's reading end, at whose end a child waits; it is closed when told."""
    reader, writer = os.pipe()

    def close():
        told.wait(PATIENCE)
        os.close(writer)

    with os.fdopen(reader, "rb", 0), thread(close):
        yield reader


@contextlib.contextmanager
def subprocess_run(told, folder):
    with held_by_a_pipe(told) as reader:

        def block():
            subprocess.run([sys.executable, "-c", CHILD], stdin=reader, check=True)  # here

        yield block


@contextlib.contextmanager
def check_output(told, folder):
    with held_by_a_pipe(told) as reader:

        def block():
            subprocess.check_output([sys.executable, "-c", CHILD], stdin=reader)  # here

        yield block


@contextlib.contextmanager
def communicate(told, folder):
    with held_by_a_pipe(told) as reader:
        command = [sys.executable, "-c", CHILD]
        with subprocess.Popen(command, stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:

            def block():
                child.communicate()  # here

            yield block


@contextlib.contextmanager
def popen_wait(told, folder):
    with held_by_a_pipe(told) as reader, subprocess.Popen([sys.executable, "-c", CHILD], stdin=reader) as child:

        def block():
            child.wait()  # here

        yield block


@contextlib.contextmanager
def waitpid(told, folder):
    with held_by_a_pipe(told) as reader:
        child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=reader)

        def block():
            os.waitpid(child.pid, 0)  # here
            child.returncode = 0

        yield block


@contextlib.contextmanager
def os_system(told, folder):
    path = os.path.join(folder, "fifo")
    os.mkfifo(path)

    def write():
        told.wait(PATIENCE)
        with open(path, "w"):
            pass

    def block():
        os.system(f"cat {path}")  # here

    with thread(write):
        yield block


# A process that holds a lock on a file until its standard input ends
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.{0}(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_a_process(told, folder, how):
    path = os.path.join(folder, "locked")
    open(path, "w").close()
    command = [sys.executable, "-c", HOLDER.format(how), path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()

        def release():
            told.wait(PATIENCE)
            holder.stdin.close()

        with open(path, "r+") as file, thread(release):
            yield file


@contextlib.contextmanager
def flock(told, folder):
    with held_by_a_process(told, folder, "flock") as file:

        def block():
            fcntl.flock(file, fcntl.LOCK_EX)  # here

        yield block


@contextlib.contextmanager
def lockf(told, folder):
    with held_by_a_process(told, folder, "lockf") as file:

        def block():
            fcntl.lockf(file, fcntl.LOCK_EX)  # here

        yield block


@contextlib.contextmanager
def process_pipe(told, folder):
    mine, theirs = multiprocessing.Pipe()

    def send():
        told.wait(PATIENCE)
        theirs.send("job")

    with mine, theirs, thread(send):

        def block():
            assert mine.recv() == "job"  # here

        yield block


@contextlib.contextmanager
def process_queue(told, folder):
    jobs = multiprocessing.get_context("spawn").Queue()

    def put():
        told.wait(PATIENCE)
        jobs.put("job")

    def block():
        assert jobs.get() == "job"  # here

    with thread(put):
        yield block
    jobs.close()
    jobs.join_thread()


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


@contextlib.contextmanager
def in_the_middle_of_a_line(told, folder):
    jobs = queue.Queue()

    def put():
        told.wait(PATIENCE)
        jobs.put(b"job")

    def block():
        return [len(str(jobs.get(), "ascii")), time.monotonic()]  # here

    with thread(put):
        yield block


@contextlib.contextmanager
def over_several_lines(told, folder):
    jobs = queue.Queue()

    def put():
        told.wait(PATIENCE)
        jobs.put("job")

    def block():
        return sorted(
            jobs.get(  # here
                True,
                timeout=PATIENCE,
            )
        )

    with thread(put):
        yield block
