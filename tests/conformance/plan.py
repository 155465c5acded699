"""Which of CPython's test classes run on the target, and in which variants.

A class that says nothing here and is not listed as *elsewhere* in ``exclusions.toml`` runs as it is, with only its
loops redirected; so a class that a later Python adds runs by itself, or fails until somebody has looked at it. What
stands here is what is special: classes that name asyncio's own Task or Future, or a factory bound when the class was
made; and the classes that run a second time with the target's names (``Lock``, ``Queue``, ``gather`` …) in place of
asyncio's.
"""

import asyncio
import importlib
import pkgutil
import unittest
from collections.abc import Iterator

from test.test_asyncio import utils as test_utils

from . import exclusions, target
from .derive import DropIn, derive, method_names

# Classes that also run with the target's public names for asyncio's.  Not test_runners: it hands its loops in through a
# policy, and clearloop's run and Runner ask none.
WITH_NAMES = {
    "test_futures2", "test_locks", "test_queues", "test_server", "test_streams", "test_taskgroups",
    "test_threads", "test_timeouts", "test_waitfor",
}  # fmt: skip
WITH_NAMES_CLASSES = {
    "test_tasks.FutureGatherTests", "test_tasks.CoroutineGatherTests", "test_tasks.RunCoroutineThreadsafeTests",
    "test_tasks.SleepTests", "test_pep492.LockTests",
}  # fmt: skip

# Classes that make no loop: they hold registries and names of asyncio's that the target shares.
WITHOUT_LOOP = {"test_tasks.CIntrospectionTests", "test_tasks.GenericTaskTests"}


# Special classes that only some versions have, in modules that all have.
IN_SOME_VERSIONS = {"test_taskgroups.TestEagerTaskTaskGroup"}


def plan() -> Iterator[type]:
    """Every derived class, module by module."""
    for module_name, module in modules():
        for case in cases(module):
            if not exclusions.elsewhere(module_name, case.__name__):
                yield from variants(module_name, module, case)


def modules():
    """The test modules of the installed interpreter that can be imported on this platform."""
    import test.test_asyncio

    for info in pkgutil.iter_modules(test.test_asyncio.__path__):
        if info.name.startswith("test_"):
            try:
                yield info.name, importlib.import_module(f"test.test_asyncio.{info.name}")
            except unittest.SkipTest:
                pass  # Windows' own


def cases(module) -> list[type]:
    """The test classes that this module itself defines."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, unittest.TestCase)
        and value.__module__ == module.__name__ and method_names(value)
    ]  # fmt: skip


def variants(module_name: str, module, case: type) -> Iterator[type]:
    """The derived classes of one class."""
    full_name = f"{module_name}.{case.__name__}"
    options = {"needs_loop": full_name not in WITHOUT_LOOP}
    special = SPECIAL.get(full_name)
    if special is not None:
        yield from special(module, case)
        return
    body = BODIES.get(full_name, lambda *_: {})(module, case)
    yield derive(module, case, body=body, **options)
    if module_name in WITH_NAMES or full_name in WITH_NAMES_CLASSES:
        names_body = dict(body)
        if hasattr(case, "q_class"):
            names_body["q_class"] = _by_name(case.q_class.__name__)
        yield derive(module, case, variant="names", names=True, body=names_body, **options)


def _by_name(name: str):
    """The target's class of this name, looked up when a test makes one."""
    return staticmethod(lambda *args, **kwargs: getattr(DropIn(), name)(*args, **kwargs))


def _new_loop(self=None):
    return target.new_event_loop()


def _new_eager_loop():
    loop = _new_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def _loop_factory(factory):
    """A factory for a class that has one; one that has none is to meet its loop through the policy."""
    return lambda module, case: {"loop_factory": staticmethod(factory)} if getattr(case, "loop_factory", None) else {}


def _gather(module, case):
    def _run_loop(self, loop):
        # "until nothing is ready" is private knowledge; nothing here takes as many turns
        for _ in range(10):
            test_utils.run_briefly(loop)

    return {"_run_loop": _run_loop}


def _task_classes(module, case):
    """The tests of Task and Future: ours with ours, each of ours with asyncio's, subclasses, asyncio's on our loop."""
    ours, theirs = (target.Task, target.Future), (asyncio.Task, asyncio.Future)
    for variant, task, future, decorate in (
        ("Task_Future", *ours, None),
        ("Task_Future_subclasses", *ours, module.add_subclass_tests),
        ("Task_asyncioFuture", target.Task, asyncio.Future, None),
        ("asyncioTask_Future", asyncio.Task, target.Future, None),
        ("asyncioTask_asyncioFuture", *theirs, None),
    ):
        body = {
            "Task": task,
            "Future": future,
            "all_tasks": staticmethod(asyncio.all_tasks),
            "current_task": staticmethod(asyncio.current_task),
        }
        if (task is target.Task) != (future is target.Future):
            # these call a method of the one class on an instance of the other, which only a pair allows
            body |= {name: None for name in vars(module.SetMethodsTest) if name.startswith("test")}
        yield derive(module, case, variant=variant, body=body, decorate=decorate)


def _future_classes(module, case):
    class Subclass(target.Future):
        pass

    yield derive(module, case, variant="Future", body={"cls": target.Future})
    yield derive(module, case, variant="Future_subclass", body={"cls": Subclass})
    yield derive(module, case, variant="asyncioFuture", body={"cls": asyncio.Future})


def _future_callbacks(module, case):
    for variant, cls in (("Future", target.Future), ("asyncioFuture", asyncio.Future)):
        body = {"_new_future": lambda self, cls=cls: cls(loop=self.loop)}
        yield derive(module, case, variant=variant, body=body)


def _future_inheritance(module, case):
    for variant, cls in (("Future", target.Future), ("asyncioFuture", asyncio.Future)):
        yield derive(module, case, variant=variant, body={"_get_future_cls": lambda self, cls=cls: cls})


def _current_task(module, case):
    for variant, task in (("Task", target.Task), ("asyncioTask", asyncio.Task)):
        body = {
            "current_task": staticmethod(asyncio.current_task),
            "new_task": lambda self, coro, task=task: task(coro, loop=self.loop),
        }
        yield derive(module, case, variant=variant, body=body)


def _eager_factory(module, case):
    """Threads that run loops with tasks made eagerly: with the class named in the test, and with ours."""

    def factory(self, loop, coro, eager_start=True, **kwargs):
        return target.Task(coro, loop=loop, eager_start=eager_start, **kwargs)

    yield derive(module, case)
    yield derive(module, case, variant="Task", body={"factory": factory})


def _with_task(module, case):
    """Both Task classes in a class attribute, without the set-ups that choose between asyncio's own two."""
    plain = {
        "setUp": lambda self: super(case, self).setUp(),
        "tearDown": lambda self: super(case, self).tearDown(),
    }
    for variant, task in (("Task", target.Task), ("asyncioTask", asyncio.Task)):
        yield derive(module, case, variant=variant, body={"Task": task, "cls": task, **plain})


# A class body for what needs one and is otherwise ordinary.
BODIES = {
    "test_events.EPollEventLoopTests": lambda *_: {"create_event_loop": _new_loop},
    "test_sock_lowlevel.EPollEventLoopTests": lambda *_: {"create_event_loop": _new_loop},
    "test_sendfile.EPollEventLoopTests": lambda *_: {"create_event_loop": _new_loop},
    "test_server_context.AsyncioEventLoopTests": lambda *_: {"loop_factory": staticmethod(_new_loop)},
    "test_server_context.AsyncioEventLoopSSLTests": lambda *_: {"loop_factory": staticmethod(_new_loop)},
    "test_taskgroups.TestTaskGroup": _loop_factory(_new_loop),
    "test_taskgroups.TestEagerTaskTaskGroup": _loop_factory(_new_eager_loop),
    "test_tasks.CIntrospectionTests": lambda *_: {"Task": target.Task},
    "test_tasks.FutureGatherTests": _gather,
    "test_tasks.CoroutineGatherTests": _gather,
}

# A function for what is made in variants of its own.
SPECIAL = {
    "test_tasks.CTask_CFuture_Tests": _task_classes,
    "test_futures.CFutureTests": _future_classes,
    "test_futures.CFutureDoneCallbackTests": _future_callbacks,
    "test_futures.CFutureInheritanceTests": _future_inheritance,
    "test_futures2.CFutureTests": _with_task,
    "test_tasks.CCurrentLoopTests": _current_task,
    "test_free_threading.TestEagerCFreeThreading": _eager_factory,
    "test_eager_task_factory.CEagerTaskFactoryLoopTests": _with_task,
    "test_eager_task_factory.NonEagerCTaskTests": _with_task,
    "test_eager_task_factory.EagerCTaskTests": _with_task,
}
