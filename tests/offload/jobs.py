"""Functions that workers of all kinds can import: they know nothing of clearloop."""

import os
import random
import signal
import threading
import time


def double(value):
    return 2 * value


def process_id():
    return os.getpid()


def rest(seconds):
    time.sleep(seconds)
    return seconds


def touch_and_wait(path, go):
    with open(path, "w"):
        pass
    while not os.path.exists(go):
        time.sleep(0.005)
    return "ended"


def wait_and_kill(go):
    while not os.path.exists(go):
        time.sleep(0.005)
    kill_own_process()


def kill_own_process(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def a_lock():
    return threading.Lock()


def raises():
    raise LookupError("in the worker")


class Odd(Exception):
    """Cannot be unpickled: its __init__ wants two arguments, and pickle brings one."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def raises_odd():
    raise Odd(1, 2)


class OpensNowhere:
    """Can be pickled, and never unpickled."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise LookupError("not here")


def opens_nowhere():
    return OpensNowhere()


def take(value):
    return "taken"


async def coroutine_function():
    pass


def returns_coroutine():
    return coroutine_function()


def unreliable(item, may_kill):
    """Does its work, fails, or takes its process down; which one is chance."""
    chance = random.random()
    if chance < 0.1:
        raise LookupError(item)
    if may_kill and chance > 0.9995:
        os.kill(os.getpid(), signal.SIGKILL)
    if chance < 0.2:
        time.sleep(0.001)
    return 2 * item
