"""A small chat over TCP: a server that passes each line on to everybody, and two people, all on one loop."""

import clearloop


class Room:
    """The server's side: who is here."""

    def __init__(self):
        self.writers = {}
        self.empty = clearloop.Event()

    async def serve(self, reader, writer):
        name = (await reader.readline()).decode().strip()
        self.writers[name] = writer
        await self.tell(f"* {name} comes in")
        while line := await reader.readline():
            await self.tell(f"{name}: {line.decode().strip()}")
        del self.writers[name]
        writer.close()
        await self.tell(f"* {name} leaves")
        if not self.writers:
            self.empty.set()

    async def tell(self, text):
        for writer in self.writers.values():
            writer.write(text.encode() + b"\n")
        await clearloop.gather(*[writer.drain() for writer in self.writers.values()])


class Person:
    """A client's side."""

    @classmethod
    async def join(cls, name, port):
        self = cls()
        self.name = name
        self.reader, self.writer = await clearloop.open_connection("127.0.0.1", port)
        self.say(name)
        return self

    def say(self, text):
        self.writer.write(text.encode() + b"\n")

    async def hear(self):
        print(f"{self.name} reads |", (await self.reader.readline()).decode().strip())

    def leave(self):
        self.writer.close()


async def main():
    room = Room()
    server = await clearloop.start_server(room.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    ada = await Person.join("Ada", port)
    await ada.hear()
    bob = await Person.join("Bob", port)
    await ada.hear()
    await bob.hear()

    ada.say("Is anybody here?")
    await ada.hear()
    await bob.hear()
    bob.say("I am. Bye!")
    await ada.hear()
    await bob.hear()

    bob.leave()
    await ada.hear()
    ada.leave()
    await room.empty.wait()
    server.close()
    await server.wait_closed()


clearloop.run(main())
