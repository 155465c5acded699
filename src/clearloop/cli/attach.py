"""`clearloop attach`: turns watching on in a process that runs asyncio's own loop, from outside, while it runs.

Python 3.14 and newer can be asked to run a file: `sys.remote_exec`. The file that we give it starts a thread and is
done; the thread imports clearloop and answers by another file. So the program's own thread is held up for some
microseconds, and nothing of the program is replaced (watch/foreign.py).

A process looks for such a request when it runs Python code. One that waits for events is woken for it; one that sits
in any other call comes to it afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from typing import Any

from clearloop.cli.parser import Parser, seconds
from clearloop.cli.target import Target, nudge
from clearloop.cli.usage import UsageError

SINCE = (3, 14)
_NUDGE_AFTER = 0.2
_PREFIX = "clearloop-attach-"
_NOBODY = "nobody-waits"

# Runs in the process, as it is: the interpreter gives it a namespace of its own. It must hold up nothing.
SCRIPT = """\
def clearloop_attach(asked):
    import _thread, sys

    events = sys.modules.get("asyncio.events")
    loop = events._get_running_loop() if events is not None else None

    def work():
        import json, os

        try:
            answer = begin()
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            path = os.path.join(asked["folder"], "answer")
            with open(path + ".new", "w") as file:
                json.dump(answer, file)
            os.rename(path + ".new", path)
            if os.path.exists(os.path.join(asked["folder"], "nobody-waits")):
                import shutil

                shutil.rmtree(asked["folder"], ignore_errors=True)
        except OSError:
            pass

    def begin():
        if asked["what"] == "detach":
            foreign = sys.modules.get("clearloop.watch.foreign")
            return {"detached": foreign is not None and foreign.detach()}
        if events is None:
            return {"error": "it does not use asyncio"}
        if "clearloop" not in sys.modules:
            try:
                import clearloop
            except ImportError:
                # Only for this import: what else lies in that folder is none of the program's
                sys.path.append(asked["home"])
                try:
                    import clearloop
                finally:
                    sys.path.remove(asked["home"])
        import clearloop

        if clearloop.__version__ != asked["version"]:
            return {"error": f"it has clearloop {clearloop.__version__}, this is {asked['version']}"}
        registry = sys.modules.get("clearloop.engine.registry")
        if registry is not None and any(one.is_running() for one in registry.loops()):
            return {"native": True}
        from clearloop.watch import foreign

        return foreign.attach(loop)

    _thread.start_new_thread(work, ())


clearloop_attach({asked})
"""


def main(words: list[str]) -> int:
    """Attach to the process that `words` name, or detach from it; return the exit status."""
    chosen = _parser().parse_args(words)
    target = _checked(chosen.pid)
    answer = _ask(target, "detach" if chosen.detach else "attach", chosen.wait)
    if answer is None:
        call = target.waits_in()
        where = f"its main thread is in the system call {call}" if call else "its main thread runs no Python code"
        then = "detached" if chosen.detach else "attached"
        return _say(
            chosen,
            {"pid": target.pid, "pending": True, "call": call},
            f"process {target.pid} has not answered within {chosen.wait:g} s: {where}. It will be {then} as soon as "
            "that thread runs Python code again",
            1,
        )
    if "error" in answer:
        raise UsageError(f"process {target.pid} cannot be watched: {answer['error']}")
    return _say(chosen, {"pid": target.pid, **answer}, _in_words(target, answer), 0)


def _parser() -> Parser:
    parser = Parser(
        prog="clearloop attach",
        usage="clearloop attach [options] PID",
        description=(
            "Turn watching on in a process that runs asyncio's own loop, without stopping it. Reports of what blocks\n"
            "the loop go to its logger 'clearloop'; 'clearloop ps', 'tree' and 'top' then answer for it.\n"
            "The process must run Python 3.14 or newer, and this command the same version."
        ),
    )
    parser.add_argument("pid", type=int, metavar="PID", help="the number of the process")
    parser.add_argument("--detach", action="store_true", help="turn it off again")
    parser.add_argument(
        "--wait", type=seconds(0, 86400), default=10.0, metavar="SECONDS", help="how long to wait for it (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    return parser


def _checked(pid: int) -> Target:
    """The process, if it can be attached to; UsageError says why not."""
    if pid <= 0 or not os.path.exists(f"/proc/{pid}"):
        if not os.path.exists("/proc/self"):
            raise UsageError("attaching needs Linux")
        raise UsageError(f"there is no process {pid}")
    if pid == os.getpid():
        raise UsageError("that is this very process")
    if not _readable(f"/proc/{pid}/maps") or not _traceable(pid):
        raise UsageError(_rights(pid))
    target = Target(pid)
    ours = sys.version_info[:2]
    if target.version is None:
        raise UsageError(f"process {pid} does not run Python, as far as can be seen: it is {target.program or '?'}")
    if target.version < SINCE:
        raise UsageError(
            f"process {pid} runs Python {target.version_text}; attaching needs 3.14 or newer. A program that is "
            "started by 'clearloop run' is watched from its beginning"
        )
    if target.version != ours:
        raise UsageError(
            f"process {pid} runs Python {target.version_text} and this is {sys.version_info[0]}.{sys.version_info[1]}; "
            f"they must be the same. Try: {target.interpreter()} -m clearloop attach {pid}"
        )
    return target


def _readable(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


def _traceable(pid: int) -> bool:
    """Whether the kernel lets us near its memory: it asks for the same right as the link to the program does."""
    try:
        os.readlink(f"/proc/{pid}/exe")
    except PermissionError:
        return False
    except OSError:  # it has none: whatever it is, it is no Python
        pass
    return True


def _rights(pid: int) -> str:
    text = f"no right to look into process {pid}"
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return text
    if owner != os.geteuid():
        return f"{text}: it belongs to the user {owner}; run this as that user or as root"
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            scope = file.read().strip()
    except OSError:
        scope = "0"
    if scope != "0":
        return (
            f"{text}: kernel.yama.ptrace_scope is {scope} here, which keeps processes of one user apart; run this as "
            "root, or give it the capability SYS_PTRACE"
        )
    return f"{text}: it needs the right to trace it (in a container the capability SYS_PTRACE)"


def _ask(target: Target, what: str, seconds: float) -> dict[str, Any] | None:
    """Have the process do it, and return its answer; None when there is none yet."""
    root = target.root()
    prefix = f"{_PREFIX}{target.pid}-"
    folder = tempfile.mkdtemp(prefix=prefix, dir=(root + "/tmp") if root else None)
    done = False
    try:
        asked = {"what": what, "folder": folder[len(root) :], **_this()}
        script = os.path.join(folder, "script.py")
        with open(script, "x") as file:
            file.write(SCRIPT.replace("{asked}", repr(asked)))
        if os.geteuid() == 0:
            owner = target.owner()
            os.chown(script, *owner)
            os.chown(folder, *owner)
        _send(target, script[len(root) :])
        _remove_superseded(folder, prefix)
        answer = _wait(target, folder, seconds)
        done = answer is not None
        if not done:
            # whoever comes later cleans up
            with open(os.path.join(folder, _NOBODY), "x"):
                pass
            answer = _wait(target, folder, 0)
            done = answer is not None
        return answer
    except BaseException as error:
        done = not isinstance(error, KeyboardInterrupt)
        raise
    finally:
        if done:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_superseded(folder: str, prefix: str) -> None:
    """Of earlier requests that nobody waits for: a process knows its newest one only."""
    parent = os.path.dirname(folder)
    for name in os.listdir(parent):
        other = os.path.join(parent, name)
        if name.startswith(prefix) and other != folder and os.path.exists(os.path.join(other, _NOBODY)):
            shutil.rmtree(other, ignore_errors=True)


def _this() -> dict[str, str]:
    import clearloop

    package = os.path.dirname(os.path.abspath(clearloop.__file__))
    return {"version": clearloop.__version__, "home": os.path.dirname(package)}


def _send(target: Target, script: str) -> None:
    execute: Any = getattr(sys, "remote_exec")  # noqa: B009  (not in the types of older Pythons)
    try:
        execute(target.pid, script)
    except PermissionError:
        raise UsageError(_rights(target.pid)) from None
    except ProcessLookupError:
        raise UsageError(f"process {target.pid} has ended") from None
    except (RuntimeError, OSError, ValueError) as error:
        raise UsageError(
            f"process {target.pid} (Python {target.version_text}) does not let itself be reached: {error}"
        ) from None


def _wait(target: Target, folder: str, seconds: float) -> dict[str, Any] | None:
    path = os.path.join(folder, "answer")
    began = time.monotonic()
    nudged = began + _NUDGE_AFTER
    while True:
        with contextlib.suppress(FileNotFoundError), open(path) as file:
            answer: dict[str, Any] = json.load(file)
            return answer
        now = time.monotonic()
        if now - began >= seconds:
            return None
        if target.ended():
            raise UsageError(f"process {target.pid} has ended")
        if now >= nudged:
            nudge(target)
            nudged = now + 1.0
        time.sleep(0.01)


def _in_words(target: Target, answer: dict[str, Any]) -> str:
    pid = target.pid
    if "detached" in answer:
        return f"detached from process {pid}" if answer["detached"] else f"process {pid} was not attached to"
    if answer.get("native"):
        return f"process {pid} runs on clearloop: it is watched already"
    lines = [f"process {pid} was attached to already" if answer["already"] else f"attached to process {pid}"]
    for loop in answer["loops"]:
        line = f"  loop {loop['number']}: {loop['kind']} in thread {loop['thread']}"
        if not loop["steps_seen"]:
            line += ": its tasks can be seen ('clearloop tree'), what blocks it cannot, since it is not asyncio's own"
        lines.append(line)
    if not answer["loops"]:
        lines.append("  no loop runs at the moment: those that begin to run will be watched")
    if not answer["socket"]:
        lines.append("  'clearloop top' cannot reach it: it could not open its socket")
    return "\n".join(lines)


def _say(chosen: Any, data: dict[str, Any], text: str, status: int) -> int:
    if chosen.json:
        print(json.dumps(data))
    else:
        print(text, file=sys.stderr if status else sys.stdout)
    return status
