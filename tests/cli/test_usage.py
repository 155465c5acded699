"""A wrong call of the command gives one line that says what is wrong, and exit status 2."""

import subprocess
import sys

import pytest

import clearloop

WRONG = {
    (): "clearloop: no command given; 'clearloop --help' lists them",
    ("fly",): "clearloop: unknown command 'fly'; 'clearloop --help' lists them",
    ("--fly",): "clearloop: unknown option '--fly'; 'clearloop --help' lists them",
    ("run",): "clearloop run: no program given: name a script, -m MODULE or -c CODE",
    ("run", "--"): "clearloop run: no program given: name a script, -m MODULE or -c CODE",
    ("run", "--fly", "app.py"): "clearloop run: unrecognized arguments: --fly",
    ("run", "-m"): "clearloop run: -m needs a module after it",
    ("run", "-c"): "clearloop run: -c needs the code after it",
    ("run", "none.py"): "clearloop run: can't open file 'none.py': No such file or directory",
    ("run", "-m", "no_such_module"): "clearloop run: No module named no_such_module",
    ("run", "-m", "logging"): (
        "clearloop run: No module named logging.__main__; "
        "'logging' is a package and cannot be directly executed"
    ),
    ("run", "empty"): "clearloop run: can't find '__main__' module in '{folder}/empty'",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_call(programs, words):
    (programs.folder / "empty").mkdir()
    programs.clearloop_words = programs.clearloop_words[:-1]
    ran = programs.clearloop(*words)
    expected = WRONG[words].format(folder=programs.folder)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", expected + "\n", 2)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("run", "--help"), ("run", "-h")])
def test_help(programs, words):
    programs.clearloop_words = programs.clearloop_words[:-1]
    ran = programs.clearloop(*words)
    assert ran.stdout.startswith("usage: clearloop ") and "run" in ran.stdout
    assert (ran.stderr, ran.returncode) == ("", 0)


def test_version(programs):
    programs.clearloop_words = programs.clearloop_words[:-1]
    ran = programs.clearloop("--version")
    assert (ran.stdout, ran.stderr, ran.returncode) == (f"clearloop {clearloop.__version__}\n", "", 0)


def test_options_after_the_program_are_the_programs(programs):
    programs.write("app.py", "import sys\nprint(sys.argv)")
    assert programs.clearloop("app.py", "--help", "--fly").stdout == "['app.py', '--help', '--fly']\n"


def test_a_file_whose_name_looks_like_an_option(programs):
    programs.write("-m.py", "print('ran')")
    assert programs.clearloop("--", "-m.py").stdout == "ran\n"


def test_asking_for_help_imports_neither_argparse_nor_asyncio(programs):
    code = (
        "import sys; from clearloop.cli.main import main; main(['--help']); "
        "print({'argparse', 'asyncio'} & set(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=programs.env, capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == "set()\n"
