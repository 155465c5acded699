"""Builds what users install, and looks at it: the source distribution, the wheel that is built from it alone, and what
an installation says when there is no compiler, or no loop for the system.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

HOME = Path(__file__).parents[1]
SOURCE = HOME / "src"
PROGRAM = "import clearloop\nasync def main(): return await clearloop.sleep(0, 'it runs')\nprint(clearloop.run(main()))"


def sources(suffix):
    return {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob(f"*{suffix}")}


def page_parts():
    """What the timeline page is made of."""
    return {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "clearloop/show/timeline").iterdir()}


def compiled():
    """What setup.py compiles: every .py with a .pxd beside it."""
    pairs = sources(".py") & {name.removesuffix("pxd") + "py" for name in sources(".pxd")}
    return {name.removesuffix(".py") for name in pairs if not name.endswith("__init__.py")}


def build(folder):
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, HOME], check=True, stdout=subprocess.DEVNULL)
    folder = Path(folder)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def check_source_distribution(archive):
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    needed = {"src/" + name for suffix in (".py", ".pxd", ".pyi", ".toml") for name in sources(suffix)}
    needed |= {"src/" + name for name in page_parts()}
    needed |= {"LICENSE", "README.md", "setup.py", "pyproject.toml", "src/clearloop/py.typed"}
    assert needed <= held, f"not in the source distribution: {sorted(needed - held)}"
    assert not [name for name in held if name.endswith((".so", ".c"))]


def check_wheel(archive):
    with zipfile.ZipFile(archive) as file:
        held = set(file.namelist())
    needed = sources(".py") | sources(".pyi") | sources(".toml") | page_parts() | {"clearloop/py.typed"}
    assert needed <= held, f"not in the wheel: {sorted(needed - held)}"
    shared = {name.split(".")[0] for name in held if name.endswith(".so")}
    assert shared == compiled(), f"compiled: {sorted(shared ^ compiled())}"
    assert not [name for name in held - page_parts() if name.endswith((".c", ".html"))]
    assert [name for name in held if name.endswith("licenses/LICENSE")]


def check_installation(wheel, folder):
    """In an environment with nothing else: clearloop has no runtime dependency."""
    venv.create(folder, with_pip=True)
    python = Path(folder, "bin", "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", wheel], check=True)
    ran = subprocess.run([python, "-c", PROGRAM], check=True, cwd=folder, capture_output=True, text=True)
    assert ran.stdout == "it runs\n", ran.stdout
    subprocess.run([python.with_name("clearloop"), "--version"], check=True, stdout=subprocess.DEVNULL)
    return python


def check_missing_compiler(archive, python):
    ran = subprocess.run(
        [python, "-m", "pip", "install", "--force-reinstall", archive],
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode != 0, "an installation without a compiler has succeeded"
    said = ran.stdout + ran.stderr
    assert "the C compiler 'no-such-compiler' was not found" in said, said
    assert "Traceback" not in said, said


FOREIGN = """
import platform, runpy, setuptools.command.build_ext, sys, sysconfig
sysconfig.get_config_vars()  # which would look for the other system's
sys.platform, platform.system, sys.argv = "win32", lambda: "Windows", ["setup.py", "bdist_wheel"]
runpy.run_path("setup.py")
"""


def check_foreign_system(python):
    subprocess.run([python, "-m", "pip", "install", "-q", "setuptools"], check=True)
    ran = subprocess.run([python, "-c", FOREIGN], cwd=HOME, capture_output=True, text=True)
    assert ran.returncode != 0, "a build on another system has begun"
    assert ran.stderr.startswith("clearloop: there is no loop for Windows"), ran.stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        archive, wheel = build(folder)
        check_source_distribution(archive)
        check_wheel(wheel)
        python = check_installation(wheel, os.path.join(folder, "empty"))
        check_missing_compiler(archive, python)
        check_foreign_system(python)
        size = wheel.stat().st_size / 1e6
        print(f"{archive.name} and {wheel.name} ({size:.1f} MB, {len(compiled())} compiled modules)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
