"""What a program sets on a transport: it may, and transports on which nobody does have no dictionary for it."""

import asyncio
import gc
import os

import pytest
from stream_tools import run
from tls_tools import client_context, server_context


async def over_tcp(loop):
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    return transport, server.close


async def over_tls(loop):
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_context())
    transport, _ = await loop.create_connection(
        asyncio.Protocol, *server.sockets[0].getsockname(), ssl=client_context(), server_hostname="localhost"
    )
    return transport, server.close


async def datagrams(loop):
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    return transport, lambda: None


async def pipe(loop):
    reading, writing = os.pipe()
    transport, _ = await loop.connect_read_pipe(asyncio.Protocol, open(reading, "rb", 0))
    return transport, lambda: os.close(writing)


async def child(loop):
    transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "/bin/cat")
    return transport, lambda: None


@pytest.mark.parametrize("make", [over_tcp, over_tls, datagrams, pipe, child])
def test_a_transport_takes_attributes_and_has_no_dictionary_before_that(make):
    async def main():
        transport, end = await make(asyncio.get_running_loop())

        def dictionaries():
            return [found for found in gc.get_referents(transport) if type(found) is dict]

        others = len(dictionaries())
        with pytest.raises(AttributeError):
            transport.note  # noqa: B018
        assert not hasattr(transport, "other")
        assert len(dictionaries()) == others
        transport.note = "kept"
        assert transport.note == "kept"
        assert len(dictionaries()) == others + 1
        assert any(found is vars(transport) for found in dictionaries())
        assert vars(transport) == {"note": "kept"}
        del transport.note
        assert not hasattr(transport, "note")
        transport.close()
        end()
        await asyncio.sleep(0.01)

    run(main())
