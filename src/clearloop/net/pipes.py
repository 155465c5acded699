"""connect_read_pipe and connect_write_pipe: what runs once per pipe."""

from asyncio.log import logger


async def connect_read_pipe(loop, protocol_factory, pipe):
    """See EventLoop.connect_read_pipe."""
    protocol = protocol_factory()
    waiter = loop.create_future()
    transport = loop._make_read_pipe_transport(pipe, protocol, waiter)
    return await _connected(loop, transport, protocol, waiter, "Read", pipe)


async def connect_write_pipe(loop, protocol_factory, pipe):
    """See EventLoop.connect_write_pipe."""
    protocol = protocol_factory()
    waiter = loop.create_future()
    transport = loop._make_write_pipe_transport(pipe, protocol, waiter)
    return await _connected(loop, transport, protocol, waiter, "Write", pipe)


async def _connected(loop, transport, protocol, waiter, what, pipe):
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    if loop.get_debug():
        logger.debug("%s pipe %r connected: (%r, %r)", what, pipe.fileno(), transport, protocol)
    return transport, protocol
