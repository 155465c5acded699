"""The pages for whoever operates the service: /health and /metrics."""

import contextlib

from aiohttp import web


@contextlib.asynccontextmanager
async def served(counts, port):
    """Serve both pages, and say where."""

    async def health(request):
        return web.Response(text="stopping\n" if counts.stopping else "ok\n", status=503 if counts.stopping else 200)

    async def metrics(request):
        names = ("begun", "done", "again", "refused")
        return web.Response(text="".join(f"worker_jobs_{name}_total {getattr(counts, name)}\n" for name in names))

    application = web.Application()
    application.add_routes([web.get("/health", health), web.get("/metrics", metrics)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}/health", flush=True)
        yield
    finally:
        await runner.cleanup()
