"""Engine: the scheduler that also makes futures and tasks; what the public EventLoop is built on."""

import asyncio

import cython
from cython.cimports.clearloop.engine.future import new_future
from cython.cimports.clearloop.engine.recorder import Recorder
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task, clear_tasks, new_task, visit_tasks
from cython.cimports.clearloop.system.slots import install_extra

from clearloop.engine import registry
from clearloop.engine.task import drop_tasks

_running_loop = cython.declare(object, asyncio.get_running_loop)
_eager_task_factory = cython.declare(object, getattr(asyncio, "eager_task_factory", None))


@cython.cclass
class Engine(Recorder):
    """Scheduler, recorder, Task and Future under one roof."""

    def __init__(self, poller=None):
        Scheduler.__init__(self, poller)
        self.create_task_replaced = type(self).create_task is not Engine.create_task
        registry.add(self)

    def create_future(self):
        """Return a new Future of this loop.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_future
        """
        return new_future(self)

    def create_task(self, coro, *, name=None, context=None, **options):
        """Schedule a coroutine as a task.

        `eager_start=True` runs its first step at once.  Raises TypeError for anything but a coroutine and RuntimeError
        on a closed loop.  https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_task
        """
        if self.closed:
            self.check_closed()
        if self.debug:
            self.check_thread()
        if self.task_factory is None:
            if not options:
                return new_task(self, coro, name, context, False)
            return Task(coro, loop=self, name=name, context=context, **options)
        if self.eager_tasks and not options:
            return new_task(self, coro, name, context, True)
        return self.make_task(coro, name, context, options)

    def make_task(self, coro, name, context, options):
        """By way of the user's task factory, called as the asyncio of this Python calls it."""
        if context is not None:
            options["context"] = context
        if registry.FACTORIES_TAKE_NAME:
            if name is not None:
                options["name"] = name
            return self.task_factory(self, coro, **options)
        task = self.task_factory(self, coro, **options)
        if name is not None:
            set_name = getattr(task, "set_name", None)
            if set_name is not None:
                set_name(name)
        return task

    def set_task_factory(self, factory):
        """Make `factory(loop, coro, **options)` what create_task calls; None for clearloop's own tasks.

        asyncio.eager_task_factory and clearloop's both give clearloop's own tasks with an eager start.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.set_task_factory
        """
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self.task_factory = factory
        self.eager_tasks = factory is not None and (factory is _eager_task_factory or factory is eager_task_factory)

    def get_task_factory(self):
        """Return the task factory, or None when clearloop's own tasks are made."""
        return self.task_factory

    def _close_scheduler(self):
        Scheduler._close_scheduler(self)
        drop_tasks(self)


install_extra(Engine, visit_tasks, clear_tasks)


def eager_task_factory(loop, coro, *, name=None, context=None, **options):
    """A task factory whose tasks run their first step at once, on every Python from 3.11.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.eager_task_factory
    """
    options.setdefault("eager_start", True)
    return Task(coro, loop=loop, name=name, context=context, **options)


def create_task(coro, *, name=None, context=None, **options):
    """Schedule a coroutine as a task of the running loop.

    Raises RuntimeError when no loop runs and TypeError for anything but a coroutine.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task
    """
    loop = _running_loop()
    if isinstance(loop, Engine):
        native: Engine = loop
        if (
            native.task_factory is None
            and not options
            and not native.debug
            and not native.closed
            and not native.create_task_replaced
        ):
            return new_task(native, coro, name, context, False)
    elif context is None:
        task = loop.create_task(coro, **options)
        if name is not None:
            task.set_name(name)
        return task
    return loop.create_task(coro, name=name, context=context, **options)
