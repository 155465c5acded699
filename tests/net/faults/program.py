"""Runs small conversations while one system call after the other fails; started by the tests, under the shim.

    python program.py CONVERSATION CALL

Whatever fails, and wherever: the conversation ends, with its result or an OSError; nothing but OSErrors is reported;
every descriptor is given back; and the same loop then carries the same conversation without a fault.  The first that
does not hold is printed, and the exit status is 1.
"""

import asyncio
import contextlib
import ctypes
import errno
import io
import os
import socket
import sys
import tempfile
import time

import clearloop
import clearloop.net.listener

SHORT = 100000  # the shim's: take one byte
LIMIT = 10  # seconds; who needs them hangs

shim = ctypes.CDLL(None)
# When descriptors are short a server rests for a second; that is too long for hundreds of conversations
clearloop.net.listener.REST = 0.005

PAYLOAD = b"0123456789" * 20_000


# ---- conversations ---------------------------------------------------------------------------------------------------


class Answering(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.left = len(PAYLOAD)

    def data_received(self, data):
        self.left -= len(data)
        self.transport.write(data[:1000])
        self.transport.write(data[1000:])
        if not self.left:
            self.transport.write_eof()

    def connection_lost(self, error):
        pass


class Asking(asyncio.Protocol):
    def __init__(self):
        self.data = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(PAYLOAD)

    def data_received(self, data):
        self.data.append(data)

    def connection_lost(self, error):
        if not self.lost.done():
            self.lost.set_result(error)


async def ask(transport, protocol):
    try:
        error = await protocol.lost
    finally:
        transport.abort()
    if error is not None:
        raise error
    return b"".join(protocol.data) == PAYLOAD or "cut"


async def protocols(loop):
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    try:
        return await ask(*await loop.create_connection(Asking, "127.0.0.1", server.sockets[0].getsockname()[1]))
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()


async def unix(loop):
    with tempfile.TemporaryDirectory() as folder:
        server = await loop.create_unix_server(Answering, f"{folder}/socket")
        try:
            return await ask(*await loop.create_unix_connection(Asking, f"{folder}/socket"))
        finally:
            server.close()
            server.abort_clients()
            await server.wait_closed()


async def eyeballs(loop):
    async def getaddrinfo(host, port, **options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 3

    loop.getaddrinfo = getaddrinfo
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        return await ask(*await loop.create_connection(Asking, "three.test", port, happy_eyeballs_delay=0.01))
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()


async def streams(loop):
    async def answer(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            writer.close()

    server = await clearloop.start_server(answer, "127.0.0.1", 0)
    try:
        reader, writer = await clearloop.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            writer.write(PAYLOAD)
            writer.write_eof()
            await writer.drain()
            return await reader.read() == PAYLOAD or "cut"
        finally:
            writer.transport.abort()
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()


async def sockets(loop):
    async def answer(listener):
        connection, _ = await loop.sock_accept(listener)
        with connection:
            left = len(PAYLOAD)
            while left and (data := await loop.sock_recv(connection, 65536)):
                await loop.sock_sendall(connection, data)
                left -= len(data)

    async def read(client):
        got, buffer = 0, bytearray(65536)
        while got < len(PAYLOAD) and (count := await loop.sock_recv_into(client, buffer)):
            got += count
        return got == len(PAYLOAD) or "cut"

    async def talk(listener, client):
        await loop.sock_connect(client, listener.getsockname())
        async with asyncio.TaskGroup() as both:
            both.create_task(loop.sock_sendall(client, PAYLOAD))
            result = both.create_task(read(client))
        return result.result()

    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        client.setblocking(False)
        try:
            async with asyncio.TaskGroup() as group:
                result = group.create_task(talk(listener, client))
                group.create_task(answer(listener))
            return result.result()
        except* OSError as errors:
            raise first(errors) from None


def first(errors):
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors


class Mirror(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Expecting(asyncio.DatagramProtocol):
    def __init__(self):
        self.changed = asyncio.Event()
        self.error = None
        self.data = []

    def datagram_received(self, data, address):
        self.data.append(data)
        self.changed.set()

    def error_received(self, error):
        self.error = error
        self.changed.set()


async def datagrams(loop):
    answering, mirror = await loop.create_datagram_endpoint(Mirror, local_addr=("127.0.0.1", 0))
    try:
        asking, protocol = await loop.create_datagram_endpoint(
            Expecting, remote_addr=answering.get_extra_info("sockname") or ("127.0.0.1", 9)
        )
        try:
            for number in range(5):
                asking.sendto(b"%d" % number)
            # the network may lose them: after a while that is an answer too
            with_patience = asyncio.timeout(0.05)
            try:
                async with with_patience:
                    while len(protocol.data) < 5 and protocol.error is None:
                        protocol.changed.clear()
                        await protocol.changed.wait()
            except TimeoutError:
                return "cut"
            if protocol.error is not None:
                raise protocol.error
            return protocol.data == [b"%d" % number for number in range(5)]
        finally:
            asking.abort()
    finally:
        answering.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def files(loop):
    sending = []

    class Taking(Asking):
        def connection_made(self, transport):
            pass

    class Sending(asyncio.Protocol):
        def connection_made(self, transport):
            sending.append(asyncio.create_task(send(transport)))

    async def send(transport):
        try:
            with tempfile.TemporaryFile() as file:
                file.write(PAYLOAD)
                file.flush()
                await loop.sendfile(transport, file)
            await loop.sendfile(transport, io.BytesIO(PAYLOAD))
        except (OSError, RuntimeError):
            transport.abort()  # a RuntimeError: it was closing already
        transport.close()

    server = await loop.create_server(Sending, "127.0.0.1", 0)
    try:
        transport, protocol = await loop.create_connection(Taking, *server.sockets[0].getsockname())
        try:
            error = await protocol.lost
        finally:
            transport.abort()
        if error is not None:
            raise error
        return b"".join(protocol.data) == 2 * PAYLOAD or "cut"
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()
        if sending:
            await asyncio.wait(sending)


async def threads(loop):
    assert await loop.run_in_executor(None, int, "5") == 5
    return True


CONVERSATIONS = {one.__name__: one for one in (
    protocols, unix, eyeballs, streams, sockets, datagrams, files, threads,
)}  # fmt: skip

ERRORS = {
    "socket": (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAFNOSUPPORT),
    "connect": (errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAGAIN, errno.EINTR),
    "bind": (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENOMEM),
    "listen": (errno.EADDRINUSE,),
    "accept4": (
        errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EINTR, errno.EPROTO,
        errno.EPERM, errno.ETIMEDOUT, errno.EAGAIN,
    ),
    "getsockname": (errno.ENOBUFS,),
    "getpeername": (errno.ENOTCONN, errno.ENOBUFS),
    "getsockopt": (errno.ENOBUFS,),
    "setsockopt": (errno.EINVAL, errno.ENOMEM),
    "shutdown": (errno.ENOTCONN, errno.ENOBUFS),
    "recv": (errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOBUFS, errno.ENOMEM, errno.EINTR, errno.EAGAIN),
    "recvmsg": (errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOBUFS, errno.ENOMEM, errno.EINTR, errno.EAGAIN),
    "recvmmsg": (errno.ECONNREFUSED, errno.ENOBUFS, errno.ENOMEM, errno.EINTR, errno.EAGAIN),
    "send": (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOBUFS, errno.EINTR, errno.EAGAIN, SHORT),
    "sendmsg": (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOBUFS, errno.EINTR, errno.EAGAIN, SHORT),
    "sendto": (errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH, errno.EINTR, errno.EAGAIN),
    "sendfile": (errno.EPIPE, errno.ECONNRESET, errno.EINVAL, errno.EIO, errno.EINTR, errno.EAGAIN, SHORT),
    "epoll_ctl": (errno.ENOSPC, errno.ENOMEM),
}  # fmt: skip

# What the kernel never does: take back the news that it has given to an edge-triggered watcher (net/sockops.py).
NEVER = {("sockets", "recv", errno.EAGAIN), ("sockets", "send", errno.EAGAIN), ("sockets", "accept4", errno.EAGAIN)}
# These end nothing: the conversation must succeed.
HARMLESS = {errno.EINTR, SHORT}


# ---- faults ----------------------------------------------------------------------------------------------------------


def descriptors():
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them is gone
            if not os.readlink(f"/proc/self/fd/{number}").startswith("/proc/"):  # which the watchdog reads
                found.append(number)
    return len(found)


def more_than(before):
    """Whether descriptors are left; the loop's watchdog, a thread, opens some for a moment."""
    for _ in range(100):
        if descriptors() <= before:
            return False
        time.sleep(0.01)
    return True


async def once(loop, conversation):
    try:
        async with asyncio.timeout(LIMIT):
            return await conversation(loop)
    finally:
        shim.fault_disarm()


def attempt(conversation, call, error, after, times):
    """One conversation with a fault; return (complaints, whether the fault was met)."""
    complaints, reports = [], []
    loop = clearloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    loop.run_until_complete(asyncio.sleep(0))
    before = descriptors()
    shim.fault_arm(call.encode(), after, times, error)
    try:
        result = loop.run_until_complete(once(loop, conversation))
        if result is not True and error in HARMLESS:
            complaints.append(f"it should have succeeded, but was {result!r}")
        elif result is not True and result != "cut":
            complaints.append(f"a wrong result: {result!r}")
    except TimeoutError as failure:
        if failure.errno is None:
            complaints.append("it hangs")
    except OSError as failure:
        if error in HARMLESS:
            complaints.append(f"it should have succeeded, but raised {failure!r}")
    except BaseException as failure:
        complaints.append(f"it raised {failure!r}")
    met = shim.fault_seen() > after
    for context in reports:
        if not isinstance(context.get("exception"), OSError):
            complaints.append(f"reported: {context}")
    try:
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0.006 if call == "accept4" else 0))
        if more_than(before):
            complaints.append(f"descriptors: {before} before, {descriptors()} after")
        if left := asyncio.all_tasks(loop):
            complaints.append(f"tasks are left: {left}")
        reports.clear()
        again = loop.run_until_complete(once(loop, conversation))
        if again is not True or reports:
            complaints.append(f"afterwards, without a fault: {again!r}, {reports}")
    except BaseException as failure:
        complaints.append(f"afterwards, without a fault, it raised {failure!r}")
    if "getaddrinfo" in vars(loop):
        del loop.getaddrinfo
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    return complaints, met


def main(name, call):
    conversation = CONVERSATIONS[name]
    attempt(conversation, "none", 0, 0, 0)  # what the first time loads and opens is no leak
    tried = 0
    for error in ERRORS[call]:
        if (name, call, error) in NEVER:
            continue
        for times in (1, 3):
            after = 0
            while after < 40:
                complaints, met = attempt(conversation, call, error, after, times)
                if complaints:
                    code = "SHORT" if error == SHORT else errno.errorcode[error]
                    print(f"{name}: {times} x {code} from {call} call {after}:", *complaints, sep="\n  ", flush=True)
                    return 1
                if not met:
                    break
                tried += 1
                after += 1 if after < 12 else 7
    print(f"{name}, {call}: {tried} faults")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
