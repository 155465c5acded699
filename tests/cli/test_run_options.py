"""Where the options of `clearloop run` end and the program begins."""

import pytest

from clearloop.cli.parser import Parser
from clearloop.cli.run import _split


@pytest.fixture
def with_value():
    parser = Parser()
    parser.add_argument("--report", metavar="FILE")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("-o", "--output")
    return parser.options_with_value()


SPLITS = {
    "app.py --strict": ([], ["app.py", "--strict"]),
    "--strict app.py --report x": (["--strict"], ["app.py", "--report", "x"]),
    "--report x app.py": (["--report", "x"], ["app.py"]),
    "--report=x app.py": (["--report=x"], ["app.py"]),
    "-o x -m module -m": (["-o", "x"], ["-m", "module", "-m"]),
    "--strict -mmodule": (["--strict"], ["-mmodule"]),
    "-c code --": ([], ["-c", "code", "--"]),
    "--strict -": (["--strict"], ["-"]),
    "--strict -- --report": (["--strict"], ["./--report"]),
    "--report": (["--report"], []),
}


@pytest.mark.parametrize("line", SPLITS)
def test_split(line, with_value):
    assert _split(line.split(), with_value) == SPLITS[line]
