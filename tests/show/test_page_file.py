"""The timeline page as a file: what stands in it, how large it is, and that nothing in it is the program's markup."""

import base64
import json
import os
import re
import stat
import sys
import zlib
from array import array
from itertools import accumulate
from pathlib import Path

import pytest
from dump_maker import many
from page_models import HOSTILE, hostile, server, ten_blocked

import clearloop.show
from clearloop.show import page
from clearloop.show.dump import read
from clearloop.show.model import build

FOLDER = Path(clearloop.show.__file__).parent / "timeline"
PACKED = re.compile(rb'<script type="text/plain" class="packed">([^<]*)</script>')


def unpacked(text):
    """The JSON of a page and its columns, read as the format says."""
    raw = zlib.decompress(b"".join(map(base64.b64decode, PACKED.findall(text))), 31)
    length = int.from_bytes(raw[-4:], "little")
    facts = json.loads(raw[-4 - length : -4])
    at, columns = 0, {}
    for name, count, code, size, how, mask in facts["columns"]:
        whole = bytearray(count * size)
        for weight in range(size):
            if mask >> weight & 1:
                whole[weight::size] = raw[at : at + count]
                at += count
        column = array(code, bytes(whole))
        columns[name] = array(code, accumulate(column)) if how == "-" else column
    assert at == len(raw) - 4 - length
    return facts, columns


def moments(columns, table):
    begins, ends, last = [], [], 0
    for apart, lasts in zip(columns[table + ".apart"], columns[table + ".lasts"], strict=True):
        begins.append(last + apart)
        ends.append(last := begins[-1] + lasts)
    return begins, ends


@pytest.mark.parametrize(
    "model", [ten_blocked(), server(30, 3000, gap=True, overwritten=5)], ids=["ten jobs", "server"]
)
def test_the_page_holds_every_column_of_the_model(model, tmp_path):
    page.write(model, tmp_path / "page.html")
    facts, columns = unpacked((tmp_path / "page.html").read_bytes())
    loop = model.loops[0]
    assert facts["strings"] == model.strings
    assert facts["places"] == [list(place) for place in model.places]
    assert moments(columns, "0.spans") == (list(loop.spans.begin), list(loop.spans.end))
    for name in ("kind", "label", "place", "by"):
        assert columns[f"0.spans.{name}"] == getattr(loop.spans, name)
    for name in (
        "id",
        "parent",
        "depth",
        "name",
        "coro",
        "created",
        "ended",
        "outcome",
        "busy",
        "waiting",
        "held",
        "steps",
    ):
        assert columns[f"0.tasks.{name}"] == getattr(loop.tasks, name)
    for name in ("id", "worker", "task", "function", "executor", "submitted", "begin", "end", "outcome"):
        assert columns[f"0.jobs.{name}"] == getattr(loop.jobs, name)
    assert columns["0.first"] == loop.first
    assert columns["0.strip.lag"] == loop.strip.lag
    assert columns["0.strip.utilisation"] == loop.strip.utilisation
    assert columns["0.gaps.steps"] == loop.gaps.steps
    assert [stall["span"] for stall in facts["loops"][0]["stalls"]] == [stall.span for stall in loop.stalls]
    assert facts["loops"][0]["overwritten"] == loop.overwritten


def test_no_name_is_markup(tmp_path):
    page.write(hostile(), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    own = page.SCRIPTS and "".join((FOLDER / name).read_text("utf-8") for name in page.SCRIPTS)
    rest = text.replace(own, "")
    assert "alert(" not in rest and "bad()" not in rest.replace("&lt;script&gt;bad()&lt;/script&gt;", "")
    # one style, one script of its own, the packed blocks, and the template's elements
    assert len(re.findall("<script", text)) == len(PACKED.findall(text.encode())) + 1
    assert text.count("</script>") == text.count("<script")
    assert text.count("<title>") == text.count("</title>") == text.count("<style>") == 1


def test_what_cannot_be_seen_is_written_out(tmp_path):
    page.write(hostile(), tmp_path / "page.html")
    facts, _ = unpacked((tmp_path / "page.html").read_bytes())
    assert r"\u202egnp.exe\u202c" in facts["strings"]
    assert r"a\x00b\x1b[31m\nc" in facts["strings"]
    assert r"\ud800" in facts["strings"]
    assert "日本語 ✓" in facts["strings"]
    seen = {name for name in HOSTILE if page._seen(name) == name}
    assert {"<script>alert(1)</script>", "{{data}}", "&lt;b&gt;"} <= seen  # markup is no matter of the text


def test_the_page_allows_its_own_script_and_style_and_nothing_else(tmp_path):
    page.write(ten_blocked(), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert re.fullmatch(r"default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'", policy)
    assert not re.search(r"""(src|href)\s*=|https?://|@import|url\(""", text.replace('"text/plain"', ""))


def test_all_scripts_are_used():
    assert sorted(page.SCRIPTS) == sorted(path.name for path in FOLDER.glob("*.js"))
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8")
        assert "</script" not in text.replace("</script>\n</body>", "").replace("{{script}}</script>", "")
        assert "innerHTML" not in text and "insertAdjacent" not in text and "eval(" not in text


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("what was there")
    broken = ten_blocked()
    broken.loops[0].spans.end = None
    with pytest.raises(TypeError):
        page.write(broken, path)
    assert path.read_text() == "what was there"
    assert os.listdir(tmp_path) == ["page.html"]
    with pytest.raises(FileNotFoundError):
        page.write(ten_blocked(), tmp_path / "nowhere" / "page.html")


def test_a_link_stays_one(tmp_path):
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    page.write(ten_blocked(), tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink() and PACKED.search((tmp_path / "page.html").read_bytes())


def test_only_the_owner_reads_it(tmp_path):
    page.write(ten_blocked(), tmp_path / "page.html")
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600


def test_a_model_without_anything(tmp_path):
    model = ten_blocked()
    model.loops.clear()
    page.write(model, tmp_path / "page.html")
    facts, columns = unpacked((tmp_path / "page.html").read_bytes())
    assert facts["loops"] == [] and not columns


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_dump_of_a_million_records_becomes_a_page(tmp_path, capsys):
    """In a process of its own, whose largest memory is then that of this alone."""
    import subprocess

    many(1_000_000, tasks=500).write(tmp_path / "large.clearloop")
    program = """
import re, sys, time
from clearloop.show import page
from clearloop.show.dump import read
from clearloop.show.model import build
began = time.process_time()
page.write(build(read(sys.argv[1])), sys.argv[2])
# not ru_maxrss: that begins with what the process that started this one had
print(time.process_time() - began, re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "large.clearloop", tmp_path / "page.html"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, kib = ran.stdout.split()
    size = (tmp_path / "page.html").stat().st_size
    with capsys.disabled():
        print(f"\n  a page of 1,000,000 records: {float(seconds):.1f} s of CPU time, {int(kib) >> 10} MiB,", end=" ")
        print(f"{size / 2**20:.1f} MiB of file", end="")
    assert int(kib) < 300 << 10
    assert size < 30 << 20


def test_times_that_cannot_be_packed_well_still_fit(tmp_path):
    """Every duration at random, as no real program has it."""
    model = build(read(many(1000).bytes()))
    spans, count = model.loops[0].spans, 1_400_000
    noise = array("I", os.urandom(4 * count))
    model.loops[0].first = array("i", [0, *[count] * (len(model.loops[0].tasks) + 1)])
    ends = array("q", accumulate(value >> 11 for value in noise))  # up to 2 ms
    spans.end, spans.begin = ends, array("q", [0]) + ends[:-1]
    spans.lane, spans.kind = array("i", [0]) * count, array("B", [0, 1] * (count // 2))
    spans.label, spans.place, spans.by = (
        array("i", [3]) * count,
        array("i", [1, 2] * (count // 2)),
        array("i", (value >> 12 for value in noise)),
    )
    page.write(model, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 30 << 20
    _, columns = unpacked((tmp_path / "page.html").read_bytes())
    assert columns["0.spans.by"] == spans.by
