"""The timeline page in a real browser: what stands in it for eyes, for a screen reader, a mouse, keys and fingers."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_browser import browser, why_not  # noqa: F401
from page_models import MS, SECOND, Maker, hostile, server, ten_blocked, ten_free

import clearloop
from clearloop.show import page
from clearloop.show.model import AWAIT, HELD, READY, RUN

pytestmark = [pytest.mark.skipif(why_not() is not None, reason=why_not() or ""), pytest.mark.timeout(300)]


@pytest.fixture
def opened(browser, tmp_path):  # noqa: F811
    """Opens a model's page from the disk; at the end nobody may have complained, or asked for anything else."""

    def opens(model, dark=False):
        path = tmp_path / "page.html"
        page.write(model, path)
        browser.scheme("dark" if dark else "light")
        browser.open(path)
        return browser

    yield opens
    assert browser.said() == []
    asked = [url for url in browser.requested() if not url.startswith("data:")]
    assert asked and set(asked) == {f"file://{tmp_path}/page.html"}


def red(colour):
    return colour[0] > 150 and colour[0] > colour[1] + 60 and colour[0] > colour[2] + 60


def held(lanes):
    return [lane for lane in lanes if re.search(r", held \d", lane)]


# -- what is to be seen


def test_nine_of_ten_blocked_jobs_are_red_from_the_first_sleep_on(opened):
    page = opened(ten_blocked())
    lanes = page.lanes()
    assert len(held(lanes)) == 9
    assert "job 1: ran 1.00 s in 1 step, returned" in lanes
    assert "job 2: ran 1.00 s in 1 step, held 1.00 s by job 1 at ten_jobs_blocked.py:9 time.sleep(1), returned" in lanes
    assert any("held 9.00 s by job 1 at ten_jobs_blocked.py:9 time.sleep(1) and 8 more steps" in lane for lane in lanes)
    for number in range(1, 11):
        for moment in range(10):
            x, y = page.where(f"job {number}", moment * SECOND + SECOND // 4 + 40 * MS)
            row = [red(page.colour(x + dx, y - 7)) for dx in (-1, 0, 1)]
            assert any(row) == (moment < number - 1), (number, moment, row)


def test_none_of_the_free_ones_is(opened):
    page = opened(ten_free())
    lanes = page.lanes()
    assert held(lanes) == []
    assert len([lane for lane in lanes if lane.startswith("worker asyncio_")]) == 10
    assert "Nothing held the loop" in page.find("#details").text
    width, height = page.run("const c = document.getElementById('chart'); return [c.width, c.height]")
    reds = page.run(
        """const c = document.getElementById("chart");
        const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i] > 190 && data[i + 1] < 90 && data[i + 2] < 80) count++;
        return count"""
    )
    assert width * height > 100_000 and reds == 0


def test_the_worst_stall_leads_to_its_line(opened):
    page = opened(ten_blocked())
    page.click("#table tbody tr")
    said = page.find("#details").text
    assert "job 1 ran" in said and "1.00 s" in said
    assert "/srv/app/ten_jobs_blocked.py:9 in job" in said
    assert page.find("#details code").text == "time.sleep(1)"
    assert "instead: await asyncio.sleep(1)" in said
    assert "Held 9 tasks meanwhile" in said and "job 10 1.00 s" in said
    assert page.find("#said").get_attribute("textContent") == "job 1 ran 1.00 s at ten_jobs_blocked.py:9 time.sleep(1)"
    assert next(lane for role, lane, about in page.tree() if role == "treeitem" and about.get("selected")).startswith(
        "job 1:"
    )


def turn_of_short_steps():
    make = Maker()
    line = make.place(7, "count += 1", "work")
    tasks = [make.task(f"job {number + 1}", "work") for number in range(200)]
    for number, task in enumerate(tasks):
        make.span(task, READY, 0, number * MS)
        run = make.span(task, RUN, number * MS, (number + 1) * MS, place=line)
    make.stall(run, "compute", steps=200, delayed_count=0, delayed=[])
    stall = make.loop.stalls[0]
    stall.begin, stall.end = 0, 200 * MS
    return make.model()


def test_who_waited_for_a_turn_of_short_steps(opened):
    page = opened(turn_of_short_steps())
    cells = [cell.text for cell in page.all("#table tbody tr td")]
    assert cells[0] == "200 ms" and cells[3] == "199"  # all but the first
    page.click("#table tbody tr")
    said = page.find("#details").text
    assert "Stall: compute" in said and "200, one after the other in one turn of the loop" in said
    assert "199 tasks waited" in said and "job 200 199 ms" in said and "and 187 more" in said


def test_a_stall_that_goes_on_is_in_the_table(opened):
    make = Maker()
    line = make.place(9, "time.sleep(1)", "job")
    one, other = make.task("one", "job"), make.task("other", "job")
    run = make.span(one, RUN, 0, SECOND, place=line)
    make.span(other, HELD, 0, SECOND, by=run)
    make.stall(run, "still going on", ongoing=True)
    page = opened(make.model())
    cells = [cell.text for cell in page.all("#table tbody tr td")]
    assert cells[:2] == ["1.00 s", "one"] and cells[3:5] == ["1", "still going on"]
    page.click("#table tbody tr")
    assert "still going on" in page.find("#details").text


def test_a_click_on_red_says_who_held_it(opened):
    page = opened(ten_blocked())
    x, y = page.where("job 4", 1.5 * SECOND)
    page.drag((x, y), (x, y))
    said = page.find("#details").text
    assert "job 4 could have run, but the loop was held" in said and "3.00 s" in said
    assert re.search(r"Held by\s+job 1 1.00 s.*job 2 1.00 s.*job 3 1.00 s", said, re.S)
    page.click("#details .people button", "job 2")
    assert "job 2 ran" in page.find("#details").text


def test_what_is_awaited_and_who_woke_it(opened):
    make = Maker()
    line = make.place(12, "await queue.get()", "consumer")
    one, other = make.task("consumer", "consumer"), make.task("producer", "producer")
    make.span(one, RUN, 0, MS)
    make.span(one, AWAIT, MS, 5 * MS, "Queue.get", line)
    woke = make.span(other, RUN, 4 * MS, 5 * MS, place=make.place(30, "queue.put_nowait(1)", "producer"))
    make.span(one, RUN, 5 * MS, 6 * MS, by=woke)
    page = opened(make.model())
    x, y = page.where("consumer", 3 * MS)
    page.point("mouseMoved", x, y)
    assert page.find("#tip").text.split("\n") == [
        "consumer",
        "awaited Queue.get for 4.00 ms at app.py:12",
        "await queue.get()",
    ]
    page.drag((x, y), (x, y))
    said = page.find("#details").text
    assert "consumer awaited Queue.get" in said and "await queue.get()" in said and "app.py:12 in consumer" in said
    page.click("#details dd button", "producer")
    assert "producer ran" in page.find("#details").text


def test_what_was_not_recorded_is_said(opened):
    page = opened(server(20, 2000, gap=True, overwritten=123_456))
    said = page.find("#notes").text
    assert "123\u202f456 earlier records of" in said and "overwritten" in said
    assert "12\u202f345 steps in 1 stretch (10.0 ms) were not recorded" in said


def test_each_loop_has_its_section(opened):
    make = Maker()
    make.span(make.task("of the first"), RUN, 0, MS)
    make.add_loop("worker thread")
    make.span(make.task("of the second"), RUN, MS, 3 * MS)
    page = opened(make.model())
    lanes = page.lanes()
    assert [lane.split(":")[0] for lane in lanes] == [
        "loop 0, thread MainThread",
        "of the first",
        "loop 1, thread worker thread",
        "of the second",
    ]
    assert "2 loops" in page.find("#facts").text


def test_not_by_colour_alone(opened):
    """What is held and what awaits are patterns: more than one colour within a span, in rows and columns."""
    page = opened(ten_blocked())
    for lane, moment in (("job 9", 6 * SECOND), ("Task-1", 6 * SECOND)):
        x, y = page.where(lane, moment)
        assert len({tuple(page.colour(x + dx, y)) for dx in range(12)}) > 1
    assert "could have run, but the loop was held" in page.find("#legend").text


def test_dark_and_light(opened):
    page = opened(ten_blocked(), dark=True)
    dark = page.colour(*page.where("job 1", 9 * SECOND))
    assert max(dark) < 70
    page.keys("t")
    assert page.run("return document.documentElement.dataset.theme") == "light"
    assert min(page.colour(*page.where("job 1", 9 * SECOND))) > 180
    page.click("#theme")
    assert page.colour(*page.where("job 1", 9 * SECOND)) == dark
    page.scheme("light")  # the button's word stays
    page.settled()
    assert page.colour(*page.where("job 1", 9 * SECOND)) == dark


# -- from a program to the page, by the command


@pytest.fixture
def recorded(tmp_path, browser):  # noqa: F811
    """Runs an example with `clearloop run --timeline` and opens the page."""

    def runs(example):
        path = tmp_path / "page.html"
        home = Path(clearloop.__file__).parents[1]
        program = Path(__file__).parents[2] / "examples" / example
        subprocess.run(
            [sys.executable, "-m", "clearloop", "run", "--timeline", str(path), str(program)],
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
        browser.open(path)
        return browser

    return runs


LONG = 150  # ms; a job is 200. A machine that is busy holds everybody for a moment


def held_long(lanes):
    units = {"ms": 1, "s": 1000}
    found = [(lane, re.search(r", held ([\d.]+) (ms|s) by", lane)) for lane in lanes]
    return [lane.split(":")[0] for lane, time in found if time and float(time[1]) * units[time[2]] > LONG]


def test_ten_blocked_jobs_from_the_program_to_the_line(recorded):
    page = recorded("ten_jobs_blocked.py")
    assert held_long(page.lanes()) == [f"job {number}" for number in range(2, 11)]
    page.click("#table tbody tr")
    assert "ten_jobs_blocked.py:9 in job" in page.find("#details").text
    assert page.find("#details pre").text == "time.sleep(0.2)"
    assert "blocking" in page.find("#details").text
    assert page.said() == []


def test_ten_free_jobs_from_the_program_to_the_lanes(recorded):
    page = recorded("ten_jobs_free.py")
    lanes = page.lanes()
    assert held_long(lanes) == []
    assert len([lane for lane in lanes if re.match(r"job \d+: ran .* awaited ", lane)]) == 10
    jobs = [int(found[1]) for lane in lanes if (found := re.match(r"worker .*: (\d+) jobs?,", lane))]
    assert sum(jobs) == 11  # and the one that comes first
    assert page.said() == []


# -- tables and search


def cells(page, column):
    return [row.text for row in page.all(f"#table tbody td:nth-child({column})")]


def test_tables_sort_both_ways(opened):
    page = opened(ten_blocked())
    page.click("#tab-tasks")
    assert cells(page, 1)[:3] == ["job 10", "job 9", "job 8"]  # the longest held first
    page.click("#table th button", "Held ↓")
    assert cells(page, 5)[:3] == ["–", "–", "1.00 s"]
    assert page.find("#table th[aria-sort='ascending']").text == "Held ↑"
    page.click("#table th button", "Task")
    assert cells(page, 1)[:3] == ["Task-1", "job 1", "job 10"]
    page.click("#table tbody tr:nth-child(3)")
    assert "job 10 could have run" in page.find("#details").text


def test_a_long_table_comes_in_parts(opened):
    page = opened(server(250, 4000))
    page.click("#tab-tasks")
    assert len(page.all("#table tbody tr")) == 100
    assert page.find("#table table").get_attribute("aria-rowcount") == "250"
    page.click("#table .more")
    assert len(page.all("#table tbody tr")) == 250 and not page.all("#table .more")


def test_search_by_name(opened):
    page = opened(server(100, 5000))
    page.keys("/")
    page.find("#search").send_keys("FETCH 9")
    page.until("return document.getElementById('found').textContent", "matches")
    assert page.find("#found").text == "3 tasks"
    page.settled()
    assert [lane.split(":")[0] for lane in page.lanes()][1:] == ["fetch 9", "fetch 93", "fetch 97"]
    page.find("#search").send_keys("\ue007\ue007")  # Enter, twice: the second of them
    page.settled()
    assert page.find("#said").get_attribute("textContent").startswith("fetch 93: ran ")
    page.press("\ue00c")  # Escape
    assert len(page.lanes()) > 50


def test_search_finds_what_is_folded(opened):
    page = opened(server(400, 5000))
    page.find("#search").send_keys("tick 399")
    page.until("return document.getElementById('found').textContent", "matches")
    page.settled()
    assert [lane.split(":")[0] for lane in page.lanes()][1:] == ["tick 399"]


# -- lanes by the hundred and the ten thousand


def test_a_hundred_tasks_at_a_glance(opened):
    page = opened(server(100, 10_000))
    lanes = page.lanes()
    assert len([lane for lane in lanes if re.match(r"(handle|fetch|consume|tick) \d+: ", lane)]) == 100


def test_ten_thousand_tasks_are_folded_by_coroutine(opened):
    page = opened(server(10_000, 60_000))
    tree = [(name, about) for role, name, about in page.tree() if role == "treeitem"]
    groups = [name for name, about in tree if about.get("expanded") is False]
    assert [name.split(":")[0] for name in groups] == [
        f"{name}, 2500 tasks" for name in ("handle", "fetch", "consume", "tick")
    ]
    page.click("#names .group .fold")
    tree = [(name, about) for role, name, about in page.tree() if role == "treeitem"]
    inside = [about for name, about in tree if about.get("level") == 3]
    assert 10 < len(inside) < 200  # what is in sight, no more
    assert page.run("return clearloopTimeline.app.rows.length") > 2500
    assert page.find("#names .task").get_attribute("aria-setsize") == str(
        page.run("return clearloopTimeline.app.rows.length")
    )
    page.click("#names .group .fold")
    assert not [about for role, _, about in page.tree() if role == "treeitem" and about.get("level") == 3]
    # a row of the table leads into a folded group
    page.click("#tab-tasks")
    page.click("#table tbody tr")
    assert len([about for role, _, about in page.tree() if role == "treeitem" and about.get("level") == 3]) > 10
    page.click("#group")
    assert page.run("return clearloopTimeline.app.rows.length") > 10_000


# -- mouse, keys, fingers


def test_wheel_and_drag(opened):
    page = opened(ten_blocked())
    begin, end = page.view()
    x, y = page.where("job 5", 3 * SECOND)
    page.point("mouseWheel", x, y, deltaX=0, deltaY=-400)
    a, b = page.view()
    assert b - a < 0.6 * (end - begin) and abs(page.where("job 5", 3 * SECOND)[0] - x) < 1
    page.drag((x, y), (x - 200, y))
    c, d = page.view()
    assert d - c == pytest.approx(b - a) and c > a
    assert abs(page.where("job 5", 3 * SECOND)[0] - (x - 200)) < 2
    page.point("mouseWheel", x, y, deltaX=0, deltaY=100, modifiers=8)  # Shift: in time
    assert page.view()[0] > c and page.view()[1] - page.view()[0] == pytest.approx(d - c)
    page.click("#whole")
    assert page.view() == [begin, end]
    page.drag((x, y), (x + 100, y), modifiers=8)  # Shift: a frame
    assert page.view()[0] == pytest.approx(3 * SECOND, rel=0.01)


def test_keyboard(opened):
    page = opened(ten_blocked())
    begin, end = page.view()
    page.keys("+", "+")
    a, b = page.view()
    assert b - a == pytest.approx((end - begin) / 2.25)
    page.keys("\ue014")  # right
    assert page.view()[0] == pytest.approx(a + (b - a) / 8)
    page.keys("\ue012", "-")  # left
    assert page.view()[1] - page.view()[0] == pytest.approx((end - begin) / 1.5)
    page.keys("\ue011")  # Home
    assert page.view() == [begin, end]
    page.keys(*["\ue015"] * 4)  # down: past the strip and main
    said = page.find("#said").get_attribute("textContent")
    assert said.startswith("job 2: ran 1.00 s in 1 step, held 1.00 s by job 1")
    page.keys("n")
    assert page.find("#said").get_attribute("textContent").startswith("job 2 held 1.00 s by job 1")
    page.keys("n")
    assert page.find("#said").get_attribute("textContent") == "job 2 ran 1.00 s at ten_jobs_blocked.py:9 time.sleep(1)"
    page.keys("n")
    assert page.find("#said").get_attribute("textContent") == "no later span in this lane"
    page.keys("p")
    assert page.find("#said").get_attribute("textContent").startswith("job 2 held")
    page.keys("\ue007")  # Enter: to it
    assert page.view()[1] < 1.3 * SECOND
    page.press("\ue00c")
    assert "10 stalls" in page.find("#details").text


def test_the_tree_of_lanes_by_keys(opened):
    page = opened(ten_blocked())
    page.keys("\ue011", "\ue015", into="#names")  # Home, down
    assert page.find("#names").get_attribute("aria-activedescendant") == page.find("#names .task").get_attribute("id")
    page.press("\ue012")  # left: folds main
    assert len(page.lanes()) == 2
    page.press("\ue014")
    assert len(page.lanes()) == 12
    page.press("\ue010")  # End
    assert page.find("#said").get_attribute("textContent").startswith("job 10: ")
    page.press("\ue012")  # to the parent
    assert page.find("#said").get_attribute("textContent").startswith("Task-1: ")


def test_tab_reaches_everything(opened):
    page = opened(ten_blocked())
    page.run("document.getElementById('search').focus()")
    reached = []
    for _ in range(30):
        page.press("\ue004")
        reached.append(page.run("const e = document.activeElement; return e.id || e.closest('[id]')?.id || ''"))
    for name in ("in", "out", "whole", "group", "theme", "names", "chart", "tab-stalls", "table"):
        assert name in reached, reached


def test_fingers(opened):
    page = opened(ten_blocked())
    begin, end = page.view()
    x, y = page.where("job 5", 5 * SECOND)
    page.touch("touchStart", (x - 40, y), (x + 40, y))
    for apart in (60, 90, 120, 160):
        page.touch("touchMove", (x - apart, y), (x + apart, y))
    page.touch("touchEnd")
    a, b = page.view()
    assert 0.15 < (b - a) / (end - begin) < 0.45
    assert abs(page.where("job 5", 5 * SECOND)[0] - x) < 30
    page.touch("touchStart", (x, y))
    for moved in (30, 60, 100):
        page.touch("touchMove", (x - moved, y))
    page.touch("touchEnd")
    assert page.view()[0] > a and page.view()[1] - page.view()[0] == pytest.approx(b - a)
    page.click("#whole")
    x, y = page.where("job 5", 2 * SECOND)
    page.touch("touchStart", (x, y))
    page.touch("touchEnd")
    assert "job 5 could have run" in page.find("#details").text


# -- hostile, large


def test_hostile_names_are_text(opened):
    page = opened(hostile())
    assert page.run("return document.querySelectorAll('script:not(.packed), img, b script, i.x').length") == 1
    lanes = [lane.split(": ran")[0] for lane in page.lanes()]
    assert "<script>alert(1)</script>" in lanes and "</script><img src=x onerror=alert(1)>" in lanes
    assert r"\u202egnp.exe\u202c" in lanes and r"a\x00b\x1b[31m\nc" in lanes and r"\ud800" in lanes
    assert page.driver.title.startswith("<b>&{{script}}</title><script>bad()</script>.py")
    page.click("#table tbody tr")
    assert "<script>alert(1)</script> ran" in page.find("#details").text
    assert "instead: <script>bad()</script>" in page.find("#details").text
    page.click("#tab-tasks")
    assert "</script><img src=x onerror=alert(1)>" in cells(page, 1)
    assert "<script>bad()</script> is no chunk" in page.find("#notes").text


FRAMES = """
const done = arguments[0], { app, zoom, pan, whole, setView } = clearloopTimeline, seen = [], [first, last] = whole();
let frame = 0, before = performance.now();
function next(now) {
  if (frame) seen.push([app.stats.items, app.stats.ms, now - before]);
  before = now;
  const wide = (last - first) * 0.9 ** frame, middle = (first + last) / 2;
  if (frame < 50) setView(middle - wide / 2, middle + wide / 2);
  else if (frame < 100) pan((app.view.end - app.view.begin) / 15);
  else if (frame < 150) zoom(1.12);
  else return done(seen);
  frame++;
  requestAnimationFrame(next);
}
requestAnimationFrame(next);
"""


@pytest.mark.parametrize("tasks, spans", [(100, 200_000), (10_000, 200_000), (40, 2_000_000)])
def test_a_frame_is_bounded_by_pixels_not_by_records(opened, capsys, tasks, spans):
    if spans > 1_000_000:
        model = server(tasks, spans // 40)
        repeated(model, 40)
    else:
        model = server(tasks, spans)
    page = opened(model)
    frames = page.driver.execute_async_script(FRAMES)
    assert len(frames) >= 149
    items, paint, apart = (sorted(column) for column in zip(*frames, strict=True))
    with capsys.disabled():
        print(
            f"\n  {len(model.loops[0].spans):,} spans of {tasks:,} tasks: "
            f"drawn in {paint[len(paint) // 2]:.1f} ms (median), "
            f"{paint[-8]:.1f} ms (95 %),\n  "
            f"frames {apart[len(apart) // 2]:.1f} ms apart, at most {items[-1]:,} items each",
            end="",
        )
    assert items[-1] < 3 * 24_000 + 8_000  # a column is three rectangles at most; strips, words and arrows


def repeated(model, times):
    """Makes the lanes longer: all that happens in them happens so many times, one after the other."""
    loop, spans = model.loops[0], model.loops[0].spans
    first, period = list(loop.first), loop.end
    loop.stalls.clear()
    columns = {name: getattr(spans, name) for name in spans.__slots__}
    made = {name: type(column)(column.typecode) for name, column in columns.items()}
    loop.first = type(loop.first)("i", [times * at for at in first])
    for a, b in itertools.pairwise(first):
        for turn in range(times):
            for name, column in columns.items():
                part = column[a:b]
                if name in ("begin", "end"):
                    part = type(part)("q", [at + turn * period for at in part])
                elif name == "by":
                    part = type(part)("i", [-1]) * len(part)
                made[name].extend(part)
    for name, column in made.items():
        setattr(spans, name, column)
    loop.end = model.duration = period * times
    assert len(spans) == times * first[-1] and HELD in spans.kind
