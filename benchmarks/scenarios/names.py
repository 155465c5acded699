"""Name resolution of what is no name."""

import socket

from catalog import STEPS, Scenario


async def literal(bench, n):
    getaddrinfo = bench.loop.getaddrinfo
    for _ in range(n):
        await getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


SCENARIOS = [Scenario("getaddrinfo of a literal", STEPS, literal, n=5_000, quick_n=200, sockets=True)]
