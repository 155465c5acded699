"""Builds the compiled rooms.

What runs once per callback or per packet is compiled (`.py` in Cython's pure-Python grammar, each with its
`.pxd`); everything else stays plain Python.  A build that cannot compile fails loudly: a loop that silently
ran interpreted would be a bug nobody sees.
"""

import fnmatch
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src")


def compiled_modules() -> list[str]:
    """Every `.py` that has an augmenting `.pxd` beside it is a compiled module.

    CLEARLOOP_ONLY, a glob such as `clearloop.engine.*`, compiles only some: for working on one room.
    """
    only = os.environ.get("CLEARLOOP_ONLY", "*")
    return sorted(name for name in _all_compiled_modules() if fnmatch.fnmatch(name, only))


def _all_compiled_modules() -> list[str]:
    return sorted(
        ".".join(pxd.relative_to(SOURCE).with_suffix("").parts)
        for pxd in SOURCE.rglob("*.pxd")
        if pxd.with_suffix(".py").exists() and pxd.stem != "__init__"
    )


DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,
    "binding": False,  # plain method descriptors: the interpreter calls them by its fast, specialised path
    "embedsignature": True,
    "embedsignature.format": "clinic",  # and inspect.signature still sees the parameters
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}


SYSTEMS = ("linux", "darwin", "freebsd", "openbsd", "netbsd", "dragonfly")  # as sys.platform begins


def check_system() -> None:
    if not sys.platform.startswith(SYSTEMS):
        raise SystemExit(
            f"clearloop: there is no loop for {platform.system() or sys.platform}: it runs on Linux, and builds on "
            "macOS and the BSDs. On Windows, the Windows Subsystem for Linux (WSL 2) runs it"
        )


class BuildExt(build_ext):
    """build_ext that says what is missing instead of showing a compiler's traceback, and uses all CPUs."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count()

    def run(self) -> None:
        compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None:
            raise SystemExit(
                f"clearloop: the C compiler {compiler!r} was not found. Install one (Debian, Ubuntu: "
                "'apt install gcc libc6-dev python3-dev'; Fedora: 'dnf install gcc python3-devel'), or name it in CC"
            )
        header = Path(sysconfig.get_path("include")) / "Python.h"
        if not header.exists():
            raise SystemExit(
                f"clearloop: {header} was not found: install the Python headers ('apt install python3-dev', "
                "'dnf install python3-devel') for this Python"
            )
        super().run()


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    # Debug builds for sanitizers: CLEARLOOP_CFLAGS="-O1 -g -fsanitize=address"; a build that does as if it were not on
    # Linux: CLEARLOOP_CFLAGS="-O1 -DCLEARLOOP_PORTABLE"
    usual = "-O3 -g0 -fvisibility=hidden"
    if sys.platform.startswith("linux"):
        usual += " -fno-semantic-interposition"
    flags = os.environ.get("CLEARLOOP_CFLAGS", usual).split()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cythonize(
        [
            Extension(
                name,
                [str(SOURCE / Path(*name.split(".")).with_suffix(".py"))],
                extra_compile_args=[*flags, "-Wno-unused-function", "-Wno-unreachable-code"],
                extra_link_args=[flag for flag in flags if flag.startswith("-fsanitize")],
            )
            for name in compiled_modules()
        ],
        compiler_directives=DIRECTIVES,
        build_dir=f"build/cython-{version}",
        nthreads=int(os.environ.get("CLEARLOOP_JOBS", "0")),
    )


COMMANDS = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install", "develop"}
BUILDING = not COMMANDS.isdisjoint(sys.argv)

if BUILDING:
    check_system()
if __name__ == "__main__":  # not in the processes that translate side by side, which import this file
    setup(ext_modules=extensions() if BUILDING else [], cmdclass={"build_ext": BuildExt})
