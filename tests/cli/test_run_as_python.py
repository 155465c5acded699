"""`clearloop run` is `python`: the same __main__, arguments, path, output, traceback and exit status."""

import sys
import textwrap
import zipfile

import pytest

WHO_AM_I = """
import sys
import __main__
print(sys.argv, sys.path)
print(__name__, globals().get("__file__"), __package__, __doc__, type(__loader__), __spec__ and __spec__.name)
print(sorted(globals()), sorted(vars(__main__)) == sorted(globals()), __builtins__)
print(sys.stdin.read() if "-" not in sys.argv else "")
"""


@pytest.mark.parametrize("path", ["app.py", "./app.py", "deep/app.py", "deep/../deep/app.py", "no_suffix"])
def test_script_sees_itself(programs, path):
    programs.write(path, WHO_AM_I)
    ran = programs.same(path, "a", "--b", "-c", "--help", "--", input="typed")
    assert ran.returncode == 0 and "typed" in ran.stdout


def test_script_by_absolute_path(programs):
    programs.same(str(programs.write("app.py", WHO_AM_I)))


def test_script_through_a_link_finds_its_neighbours(programs):
    programs.write("real/neighbour.py", "print('here')")
    programs.write("real/app.py", "import neighbour\n" + WHO_AM_I)
    (programs.folder / "link.py").symlink_to(programs.folder / "real" / "app.py")
    assert programs.same("link.py").stdout.startswith("here\n")


def test_script_after_two_dashes(programs):
    programs.write("app.py", WHO_AM_I)
    assert programs.same("--", "app.py", "x").returncode == 0


def test_compiled_script(programs):
    import py_compile

    source = programs.write("app.py", WHO_AM_I)
    py_compile.compile(str(source), cfile=str(programs.folder / "app.pyc"))
    source.unlink()
    assert programs.same("app.pyc").returncode == 0


def test_folder_with_main(programs):
    programs.write("folder/__main__.py", "import beside\n" + WHO_AM_I)
    programs.write("folder/beside.py", "print('beside')")
    assert programs.same("folder", "a").stdout.startswith("beside\n")


def test_zip_file_with_main(programs):
    with zipfile.ZipFile(programs.folder / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "import beside; beside.fail()")
        archive.writestr("beside.py", "def fail():\n    raise LookupError('from the archive')\n")
    assert "LookupError: from the archive" in programs.same("app.zip").stderr


@pytest.mark.parametrize("words", [("-m", "package.inner"), ("-m", "package"), ("-mpackage.inner",)])
def test_module_sees_itself(programs, words):
    programs.write("package/__init__.py", "import sys\nprint(sys.argv, sys.path)\n")
    programs.write("package/__main__.py", WHO_AM_I)
    programs.write("package/inner.py", "from . import __name__ as parent\nprint(parent)\n" + WHO_AM_I)
    assert programs.same(*words, "a", "-m", "--b").returncode == 0


@pytest.mark.parametrize("where", ["package/__init__.py", "package/__main__.py"])
def test_module_that_fails(programs, where):
    programs.write("package/__init__.py", "")
    programs.write("package/__main__.py", "")
    programs.write(where, "def fail():\n    raise ValueError('no')\nfail()\n")
    assert "ValueError: no" in programs.same("-m", "package").stderr


def test_module_that_exits_with_words_is_not_a_missing_module(programs):
    programs.write("app.py", "import sys\nsys.exit('its own words')")
    ran = programs.same("-m", "app")
    assert (ran.stderr, ran.returncode) == ("its own words\n", 1)


CODE = ["import sys; print(sys.argv)", "-1", "1/0", "def f(:", "x = 1\nraise SystemExit(x + 3)"]


@pytest.mark.parametrize("code", CODE)
def test_code(programs, code):
    programs.same("-c", code, "a", "-c", "--b")


def test_code_sees_itself(programs):
    programs.same("-c", WHO_AM_I, "a", input="typed")
    programs.same("-cprint(__name__)", "a")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="python -c takes indented code from 3.14 on")
def test_indented_code(programs):
    assert programs.same("-c", textwrap.indent(WHO_AM_I, "  ")).returncode == 0


def test_standard_input(programs):
    programs.same("-", "a", input=WHO_AM_I)
    programs.same("-", input="def f():\n    1/0\nf()\n")


FAILURES = {
    "raises": "def f():\n    g()\ndef g():\n    raise ValueError('why')\nf()",
    "chained": "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e",
    "in its handling": "try:\n    1/0\nexcept ZeroDivisionError:\n    [][1]",
    "group": "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
    "notes": "e = ValueError(1)\ne.add_note('noted')\nraise e",
    "syntax": "x = 1\nif x\n    pass",
    "indentation": "if 1:\npass",
    "exit 3": "import sys\nsys.exit(3)",
    "exit None": "raise SystemExit",
    "exit words": "import sys\nsys.exit('gone')",
    "exit a tuple": "import sys\nsys.exit((1, 2))",
    "BaseException": "class Own(BaseException):\n    pass\nraise Own('mine')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "own excepthook": (
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, a[2].tb_next)\n1/0"
    ),
    "last exception": (
        "import atexit, sys, traceback\natexit.register(lambda: (traceback.print_last(), "
        "print(sys.excepthook is sys.__excepthook__)))\n1/0"
    ),
    "recursion": "def f(): f()\ntry:\n    f()\nexcept RecursionError as e:\n    print(e)",
}


@pytest.mark.parametrize("name", FAILURES)
def test_end_of_a_script(programs, name):
    programs.write("app.py", FAILURES[name])
    programs.same("app.py")


null = pytest.param(
    b"x = 1\x00\n", marks=pytest.mark.skipif(sys.version_info < (3, 11, 4), reason="Python ignores what follows a null")
)


@pytest.mark.parametrize("source", [b"# coding: no-such-coding\n", b"x = '\xff'\n", null])
def test_script_that_is_no_text(programs, source):
    # Python words these differently for a file than for the same bytes in memory.
    (programs.folder / "app.py").write_bytes(source)
    ran = programs.clearloop("app.py")
    assert ran.returncode == programs.python("app.py").returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("SyntaxError: ") and "Traceback" not in ran.stderr


def test_ending_by_ctrl_c_is_death_by_sigint(programs):
    programs.write("app.py", "raise KeyboardInterrupt")
    assert programs.same("app.py").returncode == -2


def test_source_with_coding_cookie_and_mark(programs):
    (programs.folder / "app.py").write_bytes("# coding: latin-1\nprint('é')\n".encode("latin-1"))
    assert programs.same("app.py").stdout == "é\n"
    (programs.folder / "app.py").write_bytes(b"\xef\xbb\xbfprint('marked')\n")
    assert programs.same("app.py").stdout == "marked\n"


def test_future_imports_of_the_command_do_not_reach_the_program(programs):
    programs.write("app.py", "def f(a: 1 + 1): pass\nprint(f.__annotations__)")
    assert programs.same("app.py").stdout == "{'a': 2}\n"


def test_warnings_are_shown_as_in_main(programs):
    programs.write("app.py", "import warnings\nwarnings.warn('old', DeprecationWarning)")
    assert "app.py:2: DeprecationWarning: old" in programs.same("app.py").stderr


def test_the_installed_script_is_no_different(programs):
    programs.write("app.py", "import sys\nprint(sys.argv, sys.path)\n1/0")
    script = programs.write(
        "bin/clearloop",
        """
        import sys
        from clearloop.cli.main import main
        if __name__ == "__main__":
            sys.exit(main())
        """,
    )
    programs.clearloop_words = [sys.executable, str(script), "run"]
    assert "app.py', 'a'] [" in programs.same("app.py", "a").stdout


def test_flags_of_the_interpreter_hold(programs):
    programs.write("app.py", "import sys\nprint(sys.flags, __debug__, sys.path)\nassert False\n")
    assert programs.same("app.py", flags=("-O", "-P", "-W", "error")).returncode == 0


def test_threads_and_exit_handlers(programs):
    programs.write(
        "app.py",
        """
        import atexit, threading

        def late():
            main_done.wait()
            import __main__
            print("thread after main", __main__.value)

        value = 42
        threading.Thread(target=late).start()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        atexit.register(lambda: print("atexit", value))
        print("main ends", threading.current_thread() is threading.main_thread())
        """,
    )
    assert programs.same("app.py").stdout.splitlines()[-1] == "atexit 42"


def test_pickle_and_classes_of_main(programs):
    programs.write(
        "app.py",
        """
        import pickle
        class Thing:
            pass
        print(Thing, pickle.dumps(Thing()), type(pickle.loads(pickle.dumps(Thing()))) is Thing)
        """,
    )
    assert programs.same("app.py").returncode == 0


@pytest.mark.parametrize("words", [("app.py",), ("-m", "app")])
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_multiprocessing(programs, method, words):
    programs.write(
        "app.py",
        f"""
        import multiprocessing, sys

        def job(n):
            return n * n, __name__, sys.argv

        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(1) as pool:
                print(pool.map(job, [1, 2, 3]))
        """,
    )
    ran = programs.same(*words, flags=("-W", "ignore"))
    assert ran.returncode == 0 and "9" in ran.stdout
