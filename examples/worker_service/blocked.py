"""The twin of service.py, with the blocking call left in: every job holds the loop, and all that lives on it."""

import contextlib
import json

import clearloop
from worker_service import pages
from worker_service.service import Counts
from worker_service.work import render


async def serve(queue, store, options):
    """As service.serve: it looks as if many jobs ran at once, and there is only ever one."""
    counts = Counts()
    room = clearloop.Semaphore(options.limit)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(pages.served(counts, options.port))
        jobs = await stack.enter_async_context(clearloop.Supervisor(grace=60))
        try:
            await room.acquire()
            async for message in queue:
                jobs.create_task(one_job(message, store, counts, room))
                await room.acquire()
        finally:
            await queue.stop()


async def one_job(message, store, counts, room):
    counts.begun += 1
    try:
        job = json.loads(message.body)
        result = render(job)  # here: no heartbeat, no health page, no other job until it returns
        await store.put(message.id, result)
        await message.ack()
        counts.done += 1
    finally:
        room.release()
