"""clearloop: an asyncio event loop and runtime that is fast, and shows what blocks it.

`import clearloop as asyncio` gives every public name of asyncio; those that clearloop implements itself are listed in
_OWN, the rest comes through.  Nothing is imported before a name is used: `import clearloop` alone loads neither asyncio
nor ssl.
"""

import importlib

__version__ = "0.1.0"

# public name -> the module that has it
_OWN = {
    "EventLoop": "clearloop.loop",
    "new_event_loop": "clearloop.loop",
    "Future": "clearloop.engine.future",
    "Task": "clearloop.engine.task",
    "eager_task_factory": "clearloop.engine.core",
    "Runner": "clearloop.runners",
    "run": "clearloop.runners",
    "get_event_loop": "clearloop.runners",
    "create_task": "clearloop.engine.core",
    "ensure_future": "clearloop.tasks",
    "sleep": "clearloop.tasks",
    "gather": "clearloop.engine.gather",
    "shield": "clearloop.engine.shield",
    "wait": "clearloop.waiting",
    "wait_for": "clearloop.waiting",
    "as_completed": "clearloop.waiting",
    "timeout": "clearloop.timeouts",
    "timeout_at": "clearloop.timeouts",
    "Timeout": "clearloop.timeouts",
    "Lock": "clearloop.locks",
    "Event": "clearloop.locks",
    "Condition": "clearloop.locks",
    "Semaphore": "clearloop.locks",
    "BoundedSemaphore": "clearloop.locks",
    "Barrier": "clearloop.locks",
    "Queue": "clearloop.queues",
    "PriorityQueue": "clearloop.queues",
    "LifoQueue": "clearloop.queues",
    "QueueShutDown": "clearloop.queues",
    "StreamReader": "clearloop.streams",
    "StreamReaderProtocol": "clearloop.streams",
    "StreamWriter": "clearloop.streams",
    "start_server": "clearloop.streams",
    "open_connection": "clearloop.streams",
    "start_unix_server": "clearloop.streams",
    "open_unix_connection": "clearloop.streams",
    "create_subprocess_exec": "clearloop.subprocess",
    "create_subprocess_shell": "clearloop.subprocess",
    "install": "clearloop.installation",
    "run_sync": "clearloop.offload.run",
    "unblocked": "clearloop.offload.decorator",
    "run_async": "clearloop.offload.run",
    "amap": "clearloop.offload.amap",
    "Supervisor": "clearloop.offload.supervisor",
    "JobLost": "clearloop.offload.errors",
    "NotPicklable": "clearloop.offload.errors",
    "PoolExhausted": "clearloop.offload.errors",
}

# Modules that stand in front of asyncio's of the same name: see through.py
_MODULES = ("locks", "queues", "runners", "streams", "subprocess", "tasks", "timeouts")

# Rooms whose names programs use
_ROOMS = ("watch",)


def _load(module):
    """Import a module of ours, and asyncio with the first.

    Modules that load make objects that stay.  Looking for garbage among them, a dozen times over, is a twentieth of the
    time that it takes: so nobody looks meanwhile, and in the end they count as old.
    """
    import gc

    collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        if collecting:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()  # into the oldest generation
            gc.enable()


def __getattr__(name):
    module = _OWN.get(name)
    if module is not None:
        value = getattr(_load(module), name)
    elif name in _MODULES or name in _ROOMS:
        value = _load(f"clearloop.{name}")
    elif name == "__all__":
        import asyncio

        value = sorted({*_OWN, *asyncio.__all__})
    elif name.startswith("__"):
        raise AttributeError(f"module 'clearloop' has no attribute {name!r}")
    else:
        import asyncio

        try:
            value = getattr(asyncio, name)
        except AttributeError:
            raise AttributeError(f"neither clearloop nor asyncio has {name!r}") from None
    globals()[name] = value
    return value


def __dir__():
    import asyncio

    return sorted({*globals(), *_OWN, *dir(asyncio)})
