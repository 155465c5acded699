"""`clearloop top`, driven key by key by Textual's own pilot, looking at a real process."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

import clearloop
from clearloop.show import top_text as words
from clearloop.show.top_feed import ordered, percentiles

textual = pytest.importorskip("textual", reason="the extra clearloop[top] is not installed")

PROGRAM = """
    import asyncio, sys, threading, time
    import clearloop

    HOSTILE = "[red]x[/red] [link=file:///etc/passwd]y \\x1b[31m\\x1b]0;owned\\x07"

    async def busy():
        while True:
            end = time.perf_counter() + 0.005
            while time.perf_counter() < end:
                pass
            await clearloop.sleep(0.005)

    async def idle():
        await inner()

    async def inner():
        await asyncio.sleep(10_000)  # the innermost line

    async def holds(lock):
        async with lock:
            await asyncio.sleep(10_000)

    async def commands():
        loop = asyncio.get_running_loop()
        while True:
            word = await loop.run_in_executor(None, sys.stdin.readline)
            if word == "block\\n":
                print("blocks", flush=True)
                sys.stdin.readline()  # blocks here
                print("free", flush=True)
            elif not word.strip():
                return

    async def main():
        lock = clearloop.Lock()
        tasks = [
            asyncio.create_task(busy(), name="busy one"),
            asyncio.create_task(idle(), name="idle one"),
            asyncio.create_task(idle(), name=HOSTILE),
            asyncio.create_task(holds(lock), name="holder"),
        ]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(holds(lock), name="second in line"))
        victim = asyncio.create_task(idle(), name="victim")
        victim.add_done_callback(lambda task: print("cancelled", task.cancelled(), flush=True))
        print("ready", flush=True)
        await commands()

    async def other():
        await asyncio.create_task(idle(), name="in the other loop")

    if "two" in sys.argv:
        threading.Thread(target=lambda: clearloop.run(other()), daemon=True).start()
    clearloop.run(main())
"""


class Child:
    """The process, and a way to talk to it."""

    def __init__(self, process, file):
        self.process, self.file, self.pid = process, file, process.pid

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().strip()

    def line_of(self, comment):
        return next(n for n, text in enumerate(self.file.read_text().splitlines(), 1) if text.endswith(comment))


@contextmanager
def child(folder, *arguments):
    file = folder / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    home = str(Path(clearloop.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, file, *arguments],
        env={**os.environ, "PYTHONPATH": home, "CLEARLOOP_LIVE": "1", "XDG_RUNTIME_DIR": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield Child(process, file)
    finally:
        process.kill()
        process.communicate()


def look(process, steps, size=(100, 30), **settings):
    """Run `steps(app, pilot)` with the view of a process, which has its first answer by then."""
    from clearloop.show.top import Top

    async def run():
        app = Top(process.pid, 0.1, **settings)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.snapshot is not None and app.table.row_count > 0)
            await steps(app, pilot)

    asyncio.run(run())


async def until(pilot, condition):
    for _ in range(1200):
        if condition():
            return
        await pilot.pause(0.025)
    raise AssertionError("it did not come to that")


def names(app):
    return [app.table.get_row_at(row)[0].plain for row in range(app.table.row_count)]


def said(app, name):
    return str(app.screen.query_one(name).render())


async def choose(app, pilot, name):
    """Put the cursor on a task; answers that come in between move rows."""
    await pilot.press("space")
    app.table.move_cursor(row=names(app).index(name))
    await until(pilot, lambda: app.task_chosen() is not None and app.task_chosen()["name"].startswith(name[:5]))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    return tmp_path


# -- what is shown --


def test_numbers_tasks_and_hostile_names(folder):
    async def steps(app, pilot):
        await until(pilot, lambda: "busy one" in names(app)[:1])  # by busy time
        hostile = [name for name in names(app) if name.startswith("[red]x[/red] [link=file:///etc/passwd]y")]
        assert len(hostile) == 1 and "\\x1b[31m" in hostile[0] and "\x1b" not in hostile[0]
        picture = app.export_screenshot()
        assert "\x1b" not in picture and "etc/passwd" not in [part[:10] for part in picture.split('href="')[1:]]
        assert "live" in said(app, "#head") and str(app.feed.pid) in said(app, "#head")
        assert "%" in said(app, "#loop") and "tasks 7" in said(app, "#loop")
        assert "p99" in said(app, "#lag")
        row = next(app.table.get_row_at(n) for n, name in enumerate(names(app)) if name == "second in line")
        assert "a Lock that task holder holds" in row[-1].plain
        await until(pilot, lambda: (app.loop_shown() or {}).get("steps_per_second", 0) > 0)

    with child(folder) as process:
        look(process, steps, size=(140, 30))


def test_it_fits_an_old_terminal(folder):
    async def steps(app, pilot):
        assert app.table.size.height >= 10
        assert sum(column.get_render_width(app.table) for column in app.table.columns.values()) <= 80

    with child(folder) as process:
        look(process, steps, size=(80, 24))


def test_it_follows_its_terminal(folder):
    def width(app):
        return sum(column.get_render_width(app.table) for column in app.table.columns.values())

    async def steps(app, pilot):
        process.say("block")
        assert process.hear() == "blocks"
        await until(pilot, lambda: app.part("#held").display)
        for size in ((160, 40), (70, 12), (120, 30)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: size[0] - 8 <= width(app) <= size[0])
            await until(pilot, lambda: app.part("#held").size.height > 0 and app.table.size.height >= 3)
        await until(pilot, lambda: (app.loop_shown()["held_seconds"] or 0) > 0.3)  # long enough to be a stall
        process.say("go on")
        assert process.hear() == "free"
        await until(pilot, lambda: said(app, "#stalls").startswith("stalls by place\n"))
        await pilot.resize_terminal(80, 12)
        await until(pilot, lambda: "program.py" in said(app, "#stalls").splitlines()[0])
        await pilot.press("space")  # no answer may come in between
        app.snapshot["stalls"] *= 7
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: said(app, "#stalls").startswith("stalls by place, the worst 3 of 7\n"))

    with child(folder) as process:
        look(process, steps)


def test_ctrl_c_leaves(folder):
    async def steps(app, pilot):
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.is_running)

    with child(folder) as process:
        look(process, steps)


def test_sorting_by_keys_and_mouse(folder):
    async def steps(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: names(app) == sorted(names(app), key=str.casefold))
        await pilot.press("r")
        await until(pilot, lambda: names(app) == sorted(names(app), key=str.casefold, reverse=True))
        await pilot.press("s")
        await until(pilot, lambda: names(app)[0] == "busy one")
        assert "steps▼" in [column.label.plain for column in app.table.columns.values()]
        place = app.table.region
        await pilot.click(offset=(place.x + 1, place.y))  # the title of the first column
        await until(pilot, lambda: app.key == "name")
        for key, column in (("b", "busy"), ("h", "held"), ("w", "waiting"), ("a", "age")):
            await pilot.press(key)
            assert app.key == f"{column}_seconds"

    with child(folder) as process:
        look(process, steps)


def test_filter(folder):
    async def steps(app, pilot):
        await pilot.press("slash", *"IDLE", "enter")
        idle = {"idle one", "victim"}  # by the name of the coroutine, and so is the hostile one
        await until(pilot, lambda: {name for name in names(app) if "[red]" not in name} == idle)
        await pilot.press("slash", "space", "o", "n", "e", "enter")
        await until(pilot, lambda: names(app) == ["idle one"])
        assert "filter: IDLE one" in said(app, "#note")
        await pilot.press("escape")
        await until(pilot, lambda: len(names(app)) == 7)

    with child(folder) as process:
        look(process, steps)


def test_pause(folder):
    async def steps(app, pilot):
        await pilot.press("space")
        assert "PAUSED" in said(app, "#head")
        seen = app.snapshot
        history = app.feed.history[app.number]
        before = len(history)
        await until(pilot, lambda: len(history) > before + 3)  # it is asked all the same
        assert app.snapshot is seen
        await pilot.press("space")
        await until(pilot, lambda: app.snapshot is not seen)

    with child(folder) as process:
        look(process, steps)


def test_a_task_in_detail(folder):
    async def steps(app, pilot):
        await choose(app, pilot, "idle one")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query("#detail") and "inner" in said(app, "#detail"))
        text = said(app, "#detail")
        assert f"program.py:{process.line_of('# the innermost line')}" in text
        assert "await asyncio.sleep(10_000)" in text
        assert text.index("idle") < text.index("inner")
        await pilot.press("escape", "space")
        await until(pilot, lambda: names(app)[0] == "busy one")
        await choose(app, pilot, "busy one")
        await pilot.press("enter", "space")
        await until(pilot, lambda: app.screen.query("#detail") and "up to" in said(app, "#detail"))
        assert "####" in said(app, "#detail")
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.query("#detail"))

    with child(folder) as process:
        look(process, steps)


def test_the_line_that_blocks(folder):
    async def steps(app, pilot):
        assert not app.part("#held").display
        process.say("block")
        assert process.hear() == "blocks"
        await until(pilot, lambda: app.part("#held").display and "program.py" in said(app, "#held"))
        assert "BLOCKED for" in said(app, "#held")
        assert f"program.py:{process.line_of('# blocks here')} in commands" in said(app, "#held")
        process.say("go on")
        assert process.hear() == "free"
        await until(pilot, lambda: not app.part("#held").display)
        await until(pilot, lambda: "program.py" in said(app, "#stalls"))
        await until(pilot, lambda: any(task["held_seconds"] for task in app.snapshot["tasks"]))

    with child(folder) as process:
        look(process, steps)


def test_several_loops(folder):
    async def steps(app, pilot):
        await until(pilot, lambda: len(app.snapshot["loops"]) == 2)
        await until(pilot, lambda: "loop" in said(app, "#head") and "of 2" in said(app, "#head"))
        seen = set()
        for _ in range(2):
            seen.update(names(app))
            await pilot.press("tab")
        assert {"in the other loop", "idle one"} <= seen

    with child(folder, "two") as process:
        look(process, steps)


# -- what is done --


def test_cancelling_a_task_after_asking(folder):
    async def steps(app, pilot):
        await choose(app, pilot, "victim")
        await pilot.press("k")
        await until(pilot, lambda: app.screen.query("#question"))
        assert "Cancel task victim?" in said(app, "#question")
        await pilot.press("n")
        await until(pilot, lambda: not app.screen.query("#question"))
        assert "victim" in names(app)
        await pilot.press("k")
        await until(pilot, lambda: app.screen.query("#question"))
        await pilot.press("y", "space")
        await until(pilot, lambda: "victim" not in names(app))
        assert process.hear() == "cancelled True"

    with child(folder) as process:
        look(process, steps)


def test_dumping(folder):
    async def steps(app, pilot):
        await pilot.press("d")
        await until(pilot, lambda: app.screen.query("#answer"))
        await pilot.press("enter")
        path = folder / f"{process.pid}.clearloop"
        await until(pilot, lambda: path.exists() and path.stat().st_size > 0)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_bytes()[:7] == b"CLEARLP"

    pytest.importorskip("clearloop.watch.dumping", reason="no dumps yet")
    with child(folder) as process:
        look(process, steps, folder=str(folder))


def test_a_process_that_ends(folder):
    async def steps(app, pilot):
        shown = names(app)
        process.process.kill()
        process.process.wait()
        await until(pilot, lambda: "GONE" in said(app, "#head"))
        assert f"process {process.pid} has ended" in said(app, "#head")
        assert names(app) == shown  # what was seen last stays
        await pilot.press("q")

    with child(folder) as process:
        look(process, steps)


# -- the command --


def command(*words, before=""):
    home = str(Path(clearloop.__file__).parents[1])
    code = f"import sys\n{before}\nfrom clearloop.cli.main import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, "top", *words],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_json(folder):
    with child(folder) as process:
        found = command("--json", "--interval", "0.2", str(process.pid))
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert data["pid"] == process.pid and len(data["tasks"]) == 7
    busy = next(task for task in data["tasks"] if task["name"] == "busy one")
    assert busy["busy_seconds"] > 0 and busy["steps"] > 0


def test_what_cannot_be_shown(folder):
    found = command(str(2**22 + 1))
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("clearloop top: ") and found.stderr.count("\n") == 1
    with child(folder) as process:
        found = command(str(process.pid), before="sys.modules['textual'] = None")
        assert found.returncode == 2 and "pip install 'clearloop[top]'" in found.stderr
        found = command(str(process.pid))
        assert found.returncode == 2 and "--json" in found.stderr
    assert command("--interval", "0", "1").returncode == 2


# -- its parts --


def test_lags_of_an_interval():
    assert percentiles([]) is None and percentiles([0, 0]) is None
    assert percentiles([100]) == {"50": 1e-6, "90": 1e-6, "99": 1e-6, "100": 1e-6}
    counts = [0] * 30
    counts[0], counts[29] = 90, 10
    found = percentiles(counts)
    assert found["50"] == found["90"] == 1e-6 and found["99"] == found["100"] > 1e-4


def test_what_is_not_known_comes_last():
    tasks = [{"id": n, "name": f"t{n}", "coroutine": "c", "steps": steps} for n, steps in enumerate((None, 3, 7))]
    assert [task["id"] for task in ordered(tasks, "steps", True)] == [2, 1, 0]
    assert [task["id"] for task in ordered(tasks, "steps", False)] == [1, 2, 0]
    assert [task["id"] for task in ordered(tasks, "name", False, "T1")] == [1]


def test_words():
    assert words.gauge(0.5, 4) == "[##--]  50 %" and words.gauge(None, 4).startswith("[····]")
    assert words.curve([0, 1, 2], 4) == "  ▅█" and words.curve([], 3) == "   "
    assert [words.seconds(value) for value in (None, 0, 2e-6, 0.0125, 1.5, 300)] == [
        "–", "0", "2 µs", "12.5 ms", "1.50 s", "5 min",
    ]  # fmt: skip
    assert words.histogram([0, 0], 10) == []
    assert words.histogram([0] * 10 + [4, 0, 1], 4)[0].endswith("#### 4")
    nasty = {"state": "waiting", "waits": {"kind": "task", "name": "a\x1b[2J\nb"}}
    assert words.waits(nasty) == "task a\\x1b[2J b"
    for odd in (None, {}, {"kind": "lock"}, {"kind": "new\n"}, {"kind": "job"}, {"kind": "socket"}):
        assert "\n" not in words.waits({"state": "waiting", "waits": odd})
