"""The table of advice: rows for what people call, the right row for a stall, and nothing in it that does not exist."""

import asyncio
import importlib
import re
import sysconfig
import tomllib
from pathlib import Path

import pytest

import clearloop
from clearloop.watch import advice, settings
from clearloop.watch.stall import Frame

from .stalls import make_stall

TABLE = tomllib.loads(advice.TABLE.read_text())
LIBRARY = Path(sysconfig.get_path("purelib"))
STDLIB = Path(sysconfig.get_path("stdlib"))

# What issue after issue is filed about.
NAMED = """
    time.sleep requests urllib.request psycopg2 pika pymysql redis sqlite3 boto3 smtplib ftplib paramiko socket
    subprocess builtins.open builtins.input threading.Lock queue.Queue concurrent.futures.Future.result
""".split()


@pytest.fixture(autouse=True)
def own_rows(monkeypatch):
    monkeypatch.setattr(advice, "_own", {})
    monkeypatch.setattr(settings, "advice", None)


def find(name):
    """The object with a dotted name; AttributeError or ImportError when there is none."""
    if name == "_thread.lock":  # its own name; the module has it by that from 3.13 only
        name = "_thread.LockType"
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


@pytest.mark.parametrize("name", TABLE["python"])
def test_every_row_of_the_standard_library_exists(name):
    assert find(name) is not None


@pytest.mark.parametrize("name", [*TABLE["python"], *TABLE["packages"]])
def test_what_the_advice_names_exists(name):
    """asyncio's, the loop's and clearloop's names in the text."""
    text = {**TABLE["python"], **TABLE["packages"]}[name]
    modules = r"asyncio|concurrent\.futures|logging\.handlers|xml\.etree\.ElementTree"
    for found in re.findall(rf"\b(?:{modules})(?:\.\w+)+", text):
        assert find(found) is not None, found
    for method in re.findall(r"\bloop\.(\w+)", text):
        assert callable(getattr(asyncio.AbstractEventLoop, method)), method
    for function in re.findall(r"\bclearloop\.(\w+)", text):
        assert function == "run_sync" or getattr(clearloop, function), function
    assert text.strip() == text and text


@pytest.mark.parametrize("name", NAMED)
def test_the_usual_suspects_have_a_row(name):
    assert advice.table()[name]


def test_the_table_is_in_the_package():
    assert advice.TABLE.is_file() and advice.TABLE.parent == Path(clearloop.__file__).parent / "watch"


CALLS = [
    ("time.sleep", "time.sleep(1)", "await asyncio.sleep(1)"),
    ("time.sleep", "sleep(delay * 2)", "await asyncio.sleep(delay * 2)"),
    ("time.sleep", None, "await asyncio.sleep(…)"),
    ("time.sleep", "not a call", "await asyncio.sleep(…)"),
    ("requests.get", "requests.get(url)", "aiohttp or httpx.AsyncClient"),
    ("requests.api.get", "get(url)", "aiohttp or httpx.AsyncClient"),
    ("concurrent.futures._base.Future.result", "job.result()", "await asyncio.wrap_future(job)"),
    (
        "concurrent.futures._base.Future.result",
        "pool.submit(crunch, data).result()",
        "await asyncio.wrap_future(pool.submit(crunch, data))",
    ),
    (
        "concurrent.futures.process.ProcessPoolExecutor.submit",
        "pool.submit(crunch, data)",
        "await clearloop.run_sync(crunch, data, executor=pool), which starts its processes off the loop",
    ),
    (
        "concurrent.futures.thread.ThreadPoolExecutor.submit",
        "pool.submit(fetch, url)",
        "await loop.run_in_executor(pool, fetch, url)",
    ),
    (
        "concurrent.futures.process._chain_from_iterable_of_lists",
        "pool.map(crunch, items)",
        "await asyncio.gather(*(loop.run_in_executor(executor, function, x) for x in items))",
    ),
    ("_socket.socket.recv", "s.recv(4096)", "await loop.sock_recv(s, 4096), or asyncio.open_connection"),
    ("_io.open", "open(path)", "await clearloop.run_sync(function) around the file's whole use, or aiofiles"),
    ("builtins.input", "input('name? ')", "await clearloop.run_sync(input, 'name? ')"),
    ("builtins.input", "input()", "await clearloop.run_sync(input)"),
    ("posix.read", "os.read(fd, 10)", None),
    ("pathlib._local.Path.read_text", "path.read_text()", "await clearloop.run_sync(path.read_text), or anyio.Path"),
    ("_thread.RLock.acquire", "lock.acquire()", "asyncio.Lock between tasks"),
    ("sqlite3.Connection.execute", "db.execute(sql)", None),
]


@pytest.mark.parametrize("call, code, expected", CALLS)
def test_by_the_name_of_the_call(call, code, expected):
    found = advice.advice_for(make_stall(call=call, code=code))
    assert found == expected if expected is not None else found not in advice.ELSE.values()


def test_long_arguments_are_left_out():
    code = f"time.sleep({' + '.join(['seconds'] * 50)})"
    assert advice.advice_for(make_stall(code=code)) == "await asyncio.sleep(…)"


def in_library(*paths):
    """A stall whose line called down through these files."""
    stack = [Frame("/srv/app/main.py", 7, "main"), Frame("/srv/app/db.py", 42, "fetch")]
    stack += [Frame(str(path), 1, function) for path, function in paths]
    return make_stall(call=None, code="client.fetch(url)", stack=stack)


def test_the_library_that_the_program_called_is_named_not_the_socket():
    stall = in_library(
        (LIBRARY / "requests" / "api.py", "get"),
        (LIBRARY / "urllib3" / "connectionpool.py", "urlopen"),
        (STDLIB / "http" / "client.py", "getresponse"),
        (STDLIB / "socket.py", "readinto"),
    )
    assert advice.advice_for(stall) == "aiohttp or httpx.AsyncClient"


def test_an_unknown_library_over_a_known_one():
    stall = in_library(
        (LIBRARY / "unheard_of" / "client.py", "fetch"),
        (LIBRARY / "psycopg2" / "__init__.py", "connect"),
    )
    assert advice.advice_for(stall) == "asyncpg, or psycopg.AsyncConnection"


def test_modules_of_files():
    assert advice.module_of_file(str(LIBRARY / "requests" / "__init__.py")) == "requests"
    assert advice.module_of_file(str(STDLIB / "urllib" / "request.py")) == "urllib.request"
    assert advice.module_of_file(str(STDLIB / "lib-dynload" / "_ssl.cpython-313.so")) == "_ssl"
    assert advice.module_of_file("<frozen importlib._bootstrap>") == "importlib._bootstrap"
    assert advice.module_of_file("/srv/app/requests/mine.py") is None


def test_a_function_of_the_programs_own_has_no_row():
    """A method named like a module is not that module."""
    assert advice.advice_for(make_stall(call="app.redis.get", code="redis.get()")) == advice.ELSE["blocking"]


@pytest.mark.parametrize("verdict", ["blocking", "compute"])
def test_else_the_verdict_decides(verdict):
    text = advice.advice_for(make_stall(verdict=verdict, call="app.work", code="work()"))
    assert text == advice.ELSE[verdict] and "run_sync" in text
    assert ("processes" in text) is (verdict == "compute")


@pytest.mark.parametrize("verdict", ["gc", "gil", "descheduled"])
def test_the_line_is_not_at_fault(verdict):
    assert advice.advice_for(make_stall(verdict=verdict)) == advice.ELSE.get(verdict)


@pytest.mark.parametrize(
    "code", ["open(path)", "input()", "time.sleep(1)", "await open(path)"], ids=lambda code: code.partition("(")[0]
)
def test_by_the_text_alone_when_nothing_else_is_known(code):
    """A call into C leaves no frame, and its name may not be known."""
    found = advice.advice_for(make_stall(call=None, code=code))
    assert found not in advice.ELSE.values()


# -- rows of one's own --


def slow_query():
    """Of a program's own library."""


class Client:
    def fetch(self):
        """So is this."""


def test_own_rows():
    clearloop.watch.advise("legacy.db", "await db.aio.query({args})")
    clearloop.watch.advise(slow_query, "await fast_query()")
    clearloop.watch.advise(Client.fetch, "await {object}.afetch({args})")
    assert advice.advice_for(make_stall(call="legacy.db.query", code="query(1, x=2)")) == "await db.aio.query(1, x=2)"
    assert advice.advice_for(make_stall(call=f"{__name__}.slow_query")) == "await fast_query()"
    call = f"{__name__}.Client.fetch"
    assert advice.advice_for(make_stall(call=call, code="self.client.fetch(3)")) == "await self.client.afetch(3)"


def test_own_rows_win():
    clearloop.watch.advise("time.sleep", "our own clock")
    assert advice.advice_for(make_stall()) == "our own clock"


DOTTED = [(len, "builtins.len"), (importlib, "importlib"), (str.join, "builtins.str.join")]


@pytest.mark.parametrize("value, name", DOTTED)
def test_what_has_a_dotted_name(value, name):
    clearloop.watch.advise(value, "no")
    assert advice._own[name] == "no"


def test_what_has_none():
    with pytest.raises(TypeError):
        clearloop.watch.advise(3, "no")
    with pytest.raises(TypeError):
        clearloop.watch.advise("time.sleep", None)


def test_a_file_of_rows(monkeypatch, tmp_path):
    path = tmp_path / "rows.toml"
    path.write_text('"legacy.db" = "await db"\n[python]\n"time.sleep" = "from the file"\n')
    monkeypatch.setattr(settings, "advice", str(path))
    assert advice.advice_for(make_stall(call="legacy.db.query")) == "await db"
    assert advice.advice_for(make_stall()) == "from the file"


@pytest.mark.parametrize("text", ["no toml", None])
def test_a_file_that_cannot_be_read_is_complained_of_once(said, monkeypatch, tmp_path, caplog, text):
    path = tmp_path / "rows.toml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(settings, "advice", str(path))
    for _ in range(2):
        assert advice.advice_for(make_stall()) == "await asyncio.sleep(1)"
    assert len(caplog.records) == 1
