"""Callbacks that are scheduled one after the other may share a copy of the context; none sees what another has set."""

import asyncio
import contextvars
import gc
import threading

import pytest

import clearloop

value = contextvars.ContextVar("value", default=0)


def in_thread(loop, work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def at_once(loop, work):
    contextvars.Context().run(work)


@pytest.mark.parametrize(("name", "somewhere"), [("call_soon", at_once), ("call_soon_threadsafe", in_thread)])
def test_each_callback_sees_what_was_bound_when_it_was_scheduled_and_nothing_else(name, somewhere):
    def outcome(loop):
        seen = []

        def note(new):
            seen.append(value.get())
            value.set(new)
            if new < 100:
                getattr(loop, name)(note, new + 100)  # of the callback's own context

        def work():
            schedule = getattr(loop, name)
            schedule(note, 10)
            value.set(1)
            for new in (11, 12, 13):
                schedule(note, new)
            value.set(2)
            schedule(note, 14)
            token = value.set(3)
            schedule(note, 15)
            value.reset(token)
            schedule(note, 16)
            schedule(note, 17)

        somewhere(loop, work)
        for _ in range(3):
            loop.call_soon(loop.stop)
            loop.run_forever()
        loop.close()
        return seen

    expected = outcome(asyncio.SelectorEventLoop())
    assert expected[:8] == [0, 1, 1, 1, 2, 3, 2, 2]
    assert len(expected) == 16
    assert outcome(clearloop.new_event_loop()) == expected


def test_a_context_that_was_handed_out_or_given_is_nobody_elses():
    loop = clearloop.new_event_loop()
    given = contextvars.copy_context()
    first = loop.call_soon(value.set, 1)
    second = loop.call_soon(value.set, 2)
    third = loop.call_soon(value.set, 3, context=given)
    fourth = loop.call_soon(value.set, 4)
    fifth = loop.call_soon(value.get)
    assert third.get_context() is given
    seen = first.get_context()
    assert seen is first.get_context()
    assert seen is not second.get_context()
    fourth_context = fourth.get_context()
    assert fourth_context is not given
    fourth_context.run(value.set, 40)
    assert value not in fifth.get_context()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert [handle.get_context().get(value) for handle in (first, second, third, fourth, fifth)] == [1, 2, 3, 4, None]
    loop.close()


def test_a_burst_of_callbacks_has_one_context_until_they_run():
    loop = clearloop.new_event_loop()
    seen = []

    def count():
        gc.collect()
        return sum(type(found) is contextvars.Context for found in gc.get_objects())

    before = count()
    for _ in range(1000):
        loop.call_soon(seen.append, None)
    assert count() < before + 100  # one, and what other threads have made meanwhile; not one each
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert len(seen) == 1000
    loop.close()
