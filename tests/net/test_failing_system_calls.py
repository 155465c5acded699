"""System calls that fail, each of them at each place: EMFILE, ENOBUFS, EPIPE, ECONNRESET, ETIMEDOUT and their kin.

faults/shim.c stands in front of the C library and fails the calls that faults/program.py asks it to, in a process of
their own; what has to hold whatever fails is written there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clearloop.system.poller import HAS_EPOLL

HERE = Path(__file__).parent / "faults"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim wraps Linux's system calls"),
    pytest.mark.skipif(
        not HAS_EPOLL or os.environ.get("CLEARLOOP_POLLER") == "selectors", reason="the calls that fail are epoll's"
    ),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler to make the shim with"),
]

MAKING = ["socket", "connect", "bind", "getsockname", "epoll_ctl"]
STREAM = [*MAKING, "listen", "accept4", "getpeername", "recv", "send", "sendmsg"]
TCP = [*STREAM, "setsockopt"]
MEETINGS = {
    "protocols": [*TCP, "shutdown"],
    "unix": [*STREAM, "shutdown"],
    "eyeballs": TCP,
    "streams": [*TCP, "recvmsg", "shutdown"],
    "sockets": [*MAKING, "listen", "accept4", "getsockopt", "recv", "send"],
    "datagrams": [*MAKING, "getpeername", "recvmmsg", "send", "sendto"],
    "files": [call for call in [*TCP, "sendfile"] if call != "sendmsg"],
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Runs a program under the shim."""
    shim = tmp_path_factory.mktemp("shim") / "shim.so"
    made = subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-O1", "-o", shim, HERE / "shim.c", "-ldl"], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"the shim cannot be made here: {made.stderr[-500:]}")

    def run(*arguments):
        command = [sys.executable, "-W", "ignore", *map(str, arguments)]
        env = {**os.environ, "LD_PRELOAD": str(shim)}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    probe = run("-c", "import ctypes; ctypes.CDLL(None).fault_seen()")
    if probe.returncode:
        pytest.skip(f"nothing can be preloaded here: {probe.stderr[-500:]}")
    return run


@pytest.mark.parametrize("conversation", MEETINGS)
def test_whatever_fails_nothing_hangs_leaks_or_breaks(faulty, conversation):
    for call in MEETINGS[conversation]:
        done = faulty(HERE / "program.py", conversation, call)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert int(done.stdout.split()[-2]) > 0, f"no {call} was met: {done.stdout}"


def test_a_loop_that_cannot_be_made_leaves_nothing_behind(faulty):
    program = """if True:
        import ctypes, errno, gc, os, clearloop
        shim = ctypes.CDLL(None)
        clearloop.new_event_loop().close()
        before = sorted(os.listdir("/proc/self/fd"))
        for call in (b"epoll_create1", b"eventfd", b"epoll_ctl"):
            for error in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                shim.fault_arm(call, 0, 1, error)
                try:
                    clearloop.new_event_loop()
                except OSError as raised:
                    assert raised.errno == error, raised
                else:
                    raise AssertionError(call)
                finally:
                    shim.fault_disarm()
                gc.collect()
                assert sorted(os.listdir("/proc/self/fd")) == before, call
        loop = clearloop.new_event_loop()
        loop.run_until_complete(clearloop.sleep(0))
        loop.close()
    """
    done = faulty("-c", program)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_a_server_that_is_short_of_everything_accepts_again_when_it_can(faulty):
    """No descriptor for the connection, and then, when it is tried again, no place for the listening socket."""
    program = """if True:
        import asyncio, ctypes, errno, socket, clearloop
        import clearloop.net.listener
        clearloop.net.listener.REST = 0.01
        shim = ctypes.CDLL(None)
        reports = []

        def reported(loop, context):
            reports.append(context["exception"].errno)
            if len(reports) == 1:
                shim.fault_arm(b"epoll_ctl", 0, 2, errno.ENOSPC)

        class Greeting(asyncio.Protocol):
            def connection_made(self, transport):
                transport.write(b"here")
                transport.close()

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(reported)
            server = await loop.create_server(Greeting, "127.0.0.1", 0)
            shim.fault_arm(b"accept4", 0, 1, errno.EMFILE)
            with socket.create_connection(server.sockets[0].getsockname(), timeout=20) as client:
                assert await asyncio.to_thread(client.recv, 100) == b"here"
            server.close()
            await server.wait_closed()

        clearloop.run(main())
        assert reports == [errno.EMFILE, errno.ENOSPC, errno.ENOSPC], reports
    """
    done = faulty("-c", program)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
