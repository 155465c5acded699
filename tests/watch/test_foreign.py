"""Who attaches, who detaches and who forks meanwhile: one thread looks at asyncio's loops, or none."""

import sys

import pytest

HEAD = """
    import os, sys, time, warnings
    from clearloop.watch import foreign

    # Before Python 3.14, which attaching needs, threads that begin again after a fork are counted as if before
    warnings.simplefilter("ignore", DeprecationWarning)

    def lookers():
        names = []
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/comm") as name:
                names.append(name.read().strip())
        return names.count("clearloop-watch")

    def come_to(wanted):
        for _ in range(500):  # a thread gives itself its name
            if lookers() == wanted:
                return True
            time.sleep(0.01)

    def descriptors():
        return len(os.listdir("/proc/self/fd"))
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")


def test_a_fork_while_somebody_attaches_starts_no_second_thread(programs):
    """The thread that attaches is still looking for loops when another one forks."""
    done = programs.python(
        HEAD
        + """
    assert not foreign.attach()["already"] and come_to(1)  # the hooks of fork are there now
    assert foreign.detach() and lookers() == 0

    look_for = foreign.Watch.find_loops

    def find_loops(self, known=None):
        if not os.fork():
            os._exit(0)
        os.wait()
        look_for(self, known)

    foreign.Watch.find_loops = find_loops
    foreign.attach()
    foreign.Watch.find_loops = look_for
    time.sleep(0.1)
    assert lookers() == 1, lookers()
    assert foreign.attach()["already"]
    before = descriptors()
    for _ in range(3):
        child = os.fork()
        if not child:
            os._exit(len(os.listdir("/proc/self/task")))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert come_to(1) and descriptors() == before
    assert foreign.detach() and not foreign.detach()
    assert lookers() == 0
    print("well")
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")


def test_without_a_thread_to_be_had_attaching_fails_and_may_be_tried_again(programs):
    done = programs.python(
        HEAD
        + """
    import _thread

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    foreign.attach(), foreign.detach()
    before = descriptors()
    start, _thread.start_new_thread = _thread.start_new_thread, refuse
    try:
        foreign.attach()
    except RuntimeError as error:
        print(error)
    _thread.start_new_thread = start
    assert descriptors() == before and not foreign.detach()
    assert not foreign.attach()["already"] and come_to(1)
    assert foreign.detach() and descriptors() == before
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "can't start new thread\n", "")


def test_a_program_that_closes_all_descriptors_keeps_its_own(programs):
    """A daemon does; what has the number then is neither written to nor closed."""
    done = programs.python(
        HEAD
        + """
    foreign.attach()
    assert come_to(1)
    os.closerange(3, 200)
    own = [os.open("own", os.O_RDWR | os.O_CREAT, 0o600) for _ in range(50)]
    assert foreign.detach() and lookers() == 0
    assert [os.fstat(fd).st_size for fd in own] == [0] * 50
    print("well")
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")
