"""The service: takes jobs as there is room, keeps the loop free, and drains when it is told to stop."""

import asyncio
import contextlib
import json

import aiohttp

import clearloop
from worker_service import pages
from worker_service.work import render

GRACE = 60  # seconds that jobs have when the service is told to stop
PAUSE = 0.2  # seconds before what failed for the sake of a server is tried again


class Counts:
    """What the metrics page shows."""

    def __init__(self):
        self.begun = self.done = self.again = self.refused = 0
        self.stopping = False


async def serve(queue, store, options):
    """Work until SIGTERM or Ctrl-C; then end what was begun."""
    counts = Counts()
    room = clearloop.Semaphore(options.limit)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(pages.served(counts, options.port))
        # Entered last, so left first: the jobs end while all they need is still there.
        jobs = await stack.enter_async_context(clearloop.Supervisor(grace=GRACE))
        try:
            await room.acquire()
            async for message in queue:
                jobs.create_task(one_job(message, store, session, options, counts, room))
                await room.acquire()  # no message is taken before there is room for it
        finally:
            counts.stopping = True
            await queue.stop()  # no more messages; the channel stays, for acknowledgements


async def one_job(message, store, session, options, counts, room):
    """From message to stored result; the message is acknowledged only then."""
    counts.begun += 1
    try:
        try:
            job = json.loads(message.body)
            job["text"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            counts.refused += 1
            await message.reject()
            return
        if options.callback:
            job["text"] += await asked(session, options.callback)
        result = await clearloop.run_sync(render, job)  # a thread does it, and the loop goes on
        while True:
            try:
                await store.put(message.id, result)
                break
            except store.errors:  # the database restarts: the result is there, it only has to be put again
                counts.again += 1
                await asyncio.sleep(PAUSE)
        await message.ack()
        counts.done += 1
    finally:
        room.release()


async def asked(session, url):
    """What another service says; tried again while it does not answer."""
    while True:
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=10)) as answer:
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(PAUSE)
