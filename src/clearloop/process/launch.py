"""From Popen's parameters to a running child, with the descriptors of its pipes.

Most programs are started as by vfork (process/spawn.py), which takes all that Popen does and half its time.  The rest
goes to subprocess.Popen itself: what has to run Python in the child or change its user (preexec_fn, user, group,
extra_groups), what is misspelt or of a wrong type, so that it is refused in the usual words; everything where the
system lacks what vfork needs, or the program has switched it off (`subprocess._USE_VFORK`), or put something in front
of Popen.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import warnings

import cython
from cython.cimports.clearloop.process.spawn import spawn
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size, encode_for_system
from cython.cimports.libc.string import memchr

from clearloop.process.spawn import CAN_SPAWN, SpawnError

_POPEN, _POPEN_INIT = subprocess.Popen, subprocess.Popen.__init__
_TAKEN = cython.declare(dict, {
    "executable": None,
    "close_fds": True,
    "cwd": None,
    "env": None,
    "restore_signals": True,
    "start_new_session": False,
    "pass_fds": (),
    "umask": -1,
    "pipesize": -1,
    "process_group": None,
})
# What only Popen can do, and how its callers say that they do not want it: libraries hand on all that they were given
_UNWANTED = cython.declare(dict, {
    "preexec_fn": None,
    "startupinfo": None,
    "creationflags": 0,
    "user": None,
    "group": None,
    "extra_groups": None,
})
_PIPE = cython.declare(object, subprocess.PIPE)
_STDOUT = cython.declare(object, subprocess.STDOUT)
_DEVNULL = cython.declare(object, subprocess.DEVNULL)
_audit = cython.declare(object, sys.audit)


@cython.cclass
class Child:
    """A child that runs."""


@cython.cfunc
def _child(pid: cython.int, pidfd: cython.int, ends: dict, popen) -> Child:
    child: Child = Child.__new__(Child)
    child.pid = pid
    child.pidfd = pidfd
    child.ends = ends
    child.popen = popen
    return child


def launch(args, shell, stdin, stdout, stderr, bufsize, options):
    """Start a child as subprocess.Popen does, and return it; raises what Popen raises."""
    if options:
        options = {name: value for name, value in options.items() if not _is_unwanted(name, value)}
    if (
        CAN_SPAWN
        and (not options or (options.keys() <= _TAKEN.keys() and _usual(options)))
        and getattr(subprocess, "_USE_VFORK", True)
        and subprocess.Popen is _POPEN
        and _POPEN.__init__ is _POPEN_INIT
    ):
        return _by_vfork(args, shell, stdin, stdout, stderr, {**_TAKEN, **options} if options else _TAKEN)
    return _by_popen(args, shell, stdin, stdout, stderr, bufsize, options)


@cython.cfunc
def _is_unwanted(name, value) -> cython.bint:
    return name in _UNWANTED and value is _UNWANTED[name]


@cython.cfunc
def _usual(options: dict) -> cython.bint:
    """Whether the numbers are numbers: else Popen says what it thinks of them."""
    for name in ("umask", "pipesize", "process_group"):
        value = options.get(name)
        if value is not None and type(value) is not int:
            return False
    return options.get("umask", -1) is not None


@cython.cfunc
def _by_popen(args, shell, stdin, stdout, stderr, bufsize, options) -> Child:
    popen = subprocess.Popen(
        args,
        shell=shell,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        universal_newlines=False,
        bufsize=bufsize,
        **options,
    )
    ends = {}
    for number, file in enumerate((popen.stdin, popen.stdout, popen.stderr)):
        if file is not None:
            ends[number] = file
    pidfd = -1
    if CAN_SPAWN:
        try:
            pidfd = os.pidfd_open(popen.pid)
        except OSError:
            for file in ends.values():
                file.close()
            popen.kill()
            popen.wait()
            raise
    return _child(popen.pid, pidfd, ends, popen)


@cython.cfunc
@cython.boundscheck(True)
def _by_vfork(args, shell: cython.bint, stdin, stdout, stderr, options: dict) -> Child:
    if stdout is _STDOUT:
        raise ValueError("STDOUT can only be used for stderr")
    close_others = options["close_fds"]
    pass_fds = options["pass_fds"]
    if pass_fds and not close_others:
        warnings.warn("pass_fds overriding close_fds.", RuntimeWarning, stacklevel=1)
        close_others = True
    if isinstance(args, (str, bytes)):
        args = [args]
    elif isinstance(args, os.PathLike):
        if shell:
            raise TypeError("path-like args is not allowed when shell is true")
        args = [args]
    else:
        args = list(args)
    executable, cwd, env = options["executable"], options["cwd"], options["env"]
    if shell:
        args = ["/bin/sh", "-c", *args]
        if executable:
            args[0] = executable
    if executable is None:
        executable = args[0]
    _audit("subprocess.Popen", executable, args, cwd, env)
    environment = None if env is None else _environment(env)
    program = _text(executable)
    if memchr(bytes_at(program), ord("/"), bytes_size(program)) != cython.NULL:
        files = [program]
    else:
        files = [os.path.join(os.fsencode(folder), program) for folder in os.get_exec_path(env)]
    arguments = [_text(argument) for argument in args]
    folder = None if cwd is None else _text(cwd)
    group = options["process_group"]
    kept: list = []
    if pass_fds:
        kept = sorted({int(fd) for fd in pass_fds})
        if kept[0] < 0:
            raise ValueError("bad value(s) in fds_to_keep")
    ours: dict = {}
    theirs: list = []
    try:
        ends = _ends(stdin, stdout, stderr, options["pipesize"], ours, theirs)
        pid, pidfd = spawn(
            files,
            arguments,
            environment,
            folder,
            ends,
            kept,
            close_others,
            options["restore_signals"],
            options["start_new_session"],
            -1 if group is None else group,
            options["umask"],
        )
    except BaseException as error:
        for fd in ours.values():
            os.close(fd)
        if isinstance(error, SpawnError):
            raise error.as_os_error(executable, cwd) from None
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    return _child(pid, pidfd, ours, None)


@cython.cfunc
def _text(value) -> bytes:
    """A string for the system: bytes, with no NUL in it."""
    text: bytes = encode_for_system(value) if isinstance(value, str) else os.fsencode(value)
    if memchr(bytes_at(text), 0, bytes_size(text)) != cython.NULL:
        raise ValueError("embedded null byte")
    return text


@cython.cfunc
def _environment(env) -> list:
    found = []
    for name, value in env.items():
        name = _text(name)
        if b"=" in name:
            raise ValueError("illegal environment variable name")
        found.append(name + b"=" + _text(value))
    return found


@cython.cfunc
def _ends(stdin, stdout, stderr, pipesize, ours: dict, theirs: list) -> tuple:
    """What becomes descriptor 0, 1 and 2 of the child; `ours` and `theirs` are filled with what was opened for it."""
    ends: list = []
    for number, wanted in enumerate((stdin, stdout, stderr)):
        if wanted is None:
            ends.append(-1)
        elif wanted == _PIPE:
            reading, writing = os.pipe()
            ours[number], end = (writing, reading) if number == 0 else (reading, writing)
            theirs.append(end)
            os.set_blocking(ours[number], False)
            if pipesize > 0:
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, pipesize)
            ends.append(end)
        elif wanted == _DEVNULL:
            theirs.append(os.open(os.devnull, os.O_RDWR))
            ends.append(theirs[len(theirs) - 1])
        elif number == 2 and wanted == _STDOUT:
            ends.append(ends[1] if ends[1] != -1 else sys.__stdout__.fileno())
        elif isinstance(wanted, int):
            ends.append(wanted)
        else:
            ends.append(wanted.fileno())
    return tuple(ends)


# ---- children whose loop was closed ----------------------------------------------------------------------------------

_orphans: set[int] = set()


def leave_behind(pid):
    """A child that was killed when its loop was closed already: it is reaped when the next one is started."""
    _orphans.add(pid)


def reap_orphans():
    """Reap what was left behind, as far as it has ended."""
    for pid in list(_orphans):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _orphans.discard(pid)
