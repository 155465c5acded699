"""What is awaited is told by the line of the program's that waits, though the frame that does is the library's."""

import asyncio
import inspect
import os

import clearloop
from clearloop.engine import interned
from clearloop.show.records import HOW, RECORD, STEP, SUSPENDED, WITHIN


def steps_of(main):
    """(function and file that wait, the library's function within) of all steps that ended in an await."""
    taken = []

    async def outer():
        await main()
        taken.append(clearloop.get_running_loop()._recording())

    clearloop.run(outer())
    table = interned.table()
    found = []
    for kind, how, _, _, _, _, code, _, other in RECORD.iter_unpack(taken[0][2]):
        if kind == STEP and how & HOW == SUSPENDED and code:
            found.append((table[code], table[other].co_qualname if how & WITHIN else None))
    return found


def test_the_line_is_the_programs_and_the_function_the_librarys():
    async def locks(lock):
        async with lock:
            await clearloop.sleep(0.001)

    async def sleeps():
        await asyncio.sleep(0.001)

    async def main():
        lock = asyncio.Lock()
        await clearloop.gather(locks(lock), locks(lock), sleeps())

    found = [(code.co_name, within) for code, within in steps_of(main) if code.co_filename == __file__]
    assert ("main", None) in found
    assert ("locks", "sleep") in found and ("sleeps", "sleep") in found
    assert ("locks", "Lock.acquire") in found


def test_a_program_inside_a_function_of_the_librarys_is_found():
    async def inner():
        await clearloop.sleep(0.001)

    async def main():
        await clearloop.wait_for(inner(), 5)

    assert ("inner", "sleep") in [(code.co_name, within) for code, within in steps_of(main)]


def test_where_all_of_it_is_the_librarys_the_innermost_is_told():
    async def main():
        task = clearloop.create_task(clearloop.sleep(0.001))
        await task

    folder = os.path.dirname(clearloop.__file__)
    found = [(code, within) for code, within in steps_of(main) if os.path.dirname(code.co_filename) == folder]
    assert found and all(within is None for _, within in found)
    assert inspect.unwrap(clearloop.sleep).__code__ in [code for code, _ in found]
