"""Says what this machine lacks to build clearloop, in one line each, before anything is installed.

`make` runs it first.  It has to run on Pythons that are too old for clearloop too, so it keeps to old grammar.
"""

import os
import platform
import shutil
import sys
import sysconfig

OLDEST = (3, 11)


def missing():
    """What keeps this machine from building clearloop: a list of sentences."""
    found = "%d.%d" % sys.version_info[:2]
    if sys.version_info < OLDEST:
        needed = "%d.%d" % OLDEST
        return ["Python " + needed + " or newer is needed, and this is " + found + ": try make PYTHON=python3.13"]
    wrong = []
    if not sys.platform.startswith(("linux", "darwin", "freebsd", "openbsd", "netbsd", "dragonfly")):
        wrong.append("clearloop runs on Linux, macOS and the BSDs; this is " + platform.system())
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        wrong.append("the modules venv and ensurepip are missing (Debian, Ubuntu: apt install python3-venv)")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        wrong.append(
            "the C compiler '" + compiler + "' is missing (Debian, Ubuntu: apt install gcc libc6-dev; "
            "Fedora: dnf install gcc; another one can be named in CC)"
        )
    if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        wrong.append(
            "the C headers of Python " + found + " are missing (Debian, Ubuntu: apt install python3-dev; "
            "Fedora: dnf install python3-devel)"
        )
    return wrong


if __name__ == "__main__":
    wrong = missing()
    for sentence in wrong:
        sys.stderr.write("clearloop: " + sentence + "\n")
    sys.exit(1 if wrong else 0)
