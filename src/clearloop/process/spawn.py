"""Starting a program as by vfork: from Python's lists to C's arrays, and from its error codes to OSError.

Everything that the child needs is made before, since it runs on our memory until it executes its program.  The GIL is
kept: another thread could change the environment meanwhile.
"""

import os

import cython
from cython.cimports.clearloop.system.methods import bytes_at
from cython.cimports.clearloop.system.spawn import NO_FOLDER, NO_PROGRAM, Program, can_spawn, start_program
from cython.cimports.libc.stdlib import calloc, free

CAN_SPAWN = bool(can_spawn())


@cython.cfunc
def array_of(items: list) -> cython.pp_char:
    """The items, all bytes, as C strings with NULL behind the last; they have to be kept meanwhile."""
    place: cython.Py_ssize_t
    array = cython.cast(cython.pp_char, calloc(len(items) + 1, cython.sizeof(cython.p_char)))
    if array == cython.NULL:
        raise MemoryError()
    for place in range(len(items)):
        array[place] = bytes_at(items[place])
    return array


def spawn(
    files, arguments, environment, folder, ends, kept, close_others, restore_signals, new_session, group, mask
):
    """Start the first of `files` that can be executed; return (pid, pidfd).

    All strings are bytes without NULs; -1 in `ends`, `group` and `mask` means: as we have it.  Raises OSError, with the
    folder, or the name of the program as the caller gave it (`arguments` has it no more), left to the caller: the
    error's second argument is the stage, "folder", "program" or "".
    """
    program: Program
    pidfd: cython.int = -1
    place: cython.int
    numbers: cython.p_int = cython.NULL
    program.files = program.arguments = program.environment = cython.NULL
    program.folder = cython.NULL if folder is None else bytes_at(folder)
    for place in range(3):
        program.ends[place] = ends[place]
    program.close_others = close_others
    program.restore_signals = restore_signals
    program.new_session = new_session
    program.group = group
    program.mask = mask
    try:
        program.files = array_of(files)
        program.arguments = array_of(arguments)
        if environment is not None:
            program.environment = array_of(environment)
        if kept:
            numbers = cython.cast(cython.p_int, calloc(len(kept), cython.sizeof(cython.int)))
            if numbers == cython.NULL:
                raise MemoryError()
        for place in range(len(kept)):
            numbers[place] = kept[place]
        program.kept = numbers
        program.kept_count = len(kept)
        pid: cython.int = start_program(cython.address(program), cython.address(pidfd))
    finally:
        free(program.files)
        free(program.arguments)
        free(program.environment)
        free(numbers)
    if pid < 0:
        stage = "folder" if program.stage == NO_FOLDER else "program" if program.stage == NO_PROGRAM else ""
        raise SpawnError(program.error, stage)
    return pid, pidfd


class SpawnError(Exception):
    """(errno, stage)"""

    def as_os_error(self, program, folder):
        """What subprocess.Popen raises for it."""
        number, stage = self.args
        if stage == "":
            return OSError(number, os.strerror(number))
        return OSError(number, os.strerror(number), program if stage == "program" else folder)
