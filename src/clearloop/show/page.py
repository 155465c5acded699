"""The timeline page: one self-contained HTML file, written in a stream.

Records come by the million, and the page is to open from a disk, without a network, also in a year.  So the columns go
into it as they are, packed: differences instead of moments, the bytes of a column side by side by their weight (the
high ones are nearly all zero, so deflate makes nothing of them), one deflate stream over all, base64 in blocks that the
browser inflates by itself.  No Python object is made per record; what costs is `map` and slices.

Nothing of the program stands in the page as markup: names, lines and paths are inside the packed stream, and the page's
own code puts them into text nodes only.  A content security policy allows the one script and the one style sheet that
stand in the file (by their hashes) and nothing else, so the page cannot fetch anything either.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib import resources
from operator import sub
from typing import Any, BinaryIO

from clearloop.show.model import LoopModel, Model

# In the order in which they stand in the page: one scope, each knows those above it.
SCRIPTS = (
    "words.js",
    "data.js",
    "index.js",
    "rows.js",
    "view.js",
    "density.js",
    "colours.js",
    "paint.js",
    "arrows.js",
    "names.js",
    "details.js",
    "tables.js",
    "input.js",
    "search.js",
    "main.js",
)
BLOCK = 3 << 18  # bytes of the packed stream in a <script> block: a multiple of 3, 1 MiB as base64
LEVEL = 5  # of deflate: a million records in 1.4 s; 9 takes six times as long for 6 % less

# Characters that are not there to be seen: control characters, those that reorder or hide text, half surrogates.
_unseen = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def write(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the page of a model to `path`: whole, or not at all.

    Raises OSError when the file cannot be written; what stood there before is then still there.
    """
    path = os.path.realpath(os.fspath(path))  # a link stays one
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout, a named pipe
        with open(path, "wb") as file:
            write_to(model, file)
        return
    # Whoever may read the program's files may not be who may read this one's folder: 0600, as the dump is.
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            write_to(model, file)
        os.replace(partial, path)
    except BaseException:
        try:
            os.unlink(partial)
        except OSError:
            pass
        raise


def write_to(model: Model, file: BinaryIO) -> None:
    """Write the page to an open binary file."""
    folder = resources.files("clearloop.show") / "timeline"
    style = (folder / "page.css").read_text("utf-8")
    script = "\n".join((folder / name).read_text("utf-8") for name in SCRIPTS)
    before, after = (folder / "page.html").read_text("utf-8").split("{{data}}")
    said = {
        "title": html.escape(f"{_seen(str(model.head.program or 'program'))} · clearloop timeline"),
        "policy": f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'",
        "style": style,
        "script": script,
    }
    file.write(_fill(before, said))
    for block in _blocks(_packed(_stream(model))):
        file.write(b'<script type="text/plain" class="packed">')
        file.write(block)
        file.write(b"</script>\n")
    file.write(_fill(after, said))


def _fill(template: str, said: dict[str, str]) -> bytes:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: said[match[1]], template).encode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _seen(text: str) -> str:
    """The text with what cannot be seen written out: no name hides, reorders or breaks the line it stands in."""
    return _unseen.sub(lambda match: ascii(match[0])[1:-1], text)


# ---- the stream: the columns, the JSON that lists them and says the rest, the length of the JSON


def _stream(model: Model) -> Iterator[bytes]:
    columns: list[list[Any]] = []
    for number, loop in enumerate(model.loops):
        for name, column, how in _loop_columns(f"{number}.", loop):
            mask = 0
            for weight, plane in _planes(column, how):
                mask |= 1 << weight
                yield plane
            columns.append([name, len(column), column.typecode, column.itemsize, how, mask])
            del column  # a list of differences is as large as what it was made from
    facts = {
        "version": 1,
        "head": _facts(model.head),
        "problems": [_seen(str(problem)) for problem in model.problems],
        "wall": model.wall_ns,
        "duration": model.duration,
        "strings": [_seen(text) for text in model.strings],
        "places": model.places,
        "loops": [_loop_facts(loop) for loop in model.loops],
        "columns": columns,
    }
    text = json.dumps(facts, ensure_ascii=True, separators=(",", ":")).encode()
    yield text
    yield len(text).to_bytes(4, "little")


def _facts(value: Any) -> Any:
    """Plain JSON of a dataclass (or what is in a report), its texts made visible."""
    if isinstance(value, str):
        return _seen(value)
    if isinstance(value, dict):
        return {_seen(str(key)): _facts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_facts(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # what JSON has no word for
    if value is None or isinstance(value, bool | int | float):
        return value
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: _facts(getattr(value, field.name)) for field in fields(value)}
    return _seen(str(value))


def _loop_facts(loop: LoopModel) -> dict[str, Any]:
    return {
        "number": loop.number,
        "thread": _seen(str(loop.thread)),
        "begin": loop.begin,
        "end": loop.end,
        "written": loop.written,
        "overwritten": loop.overwritten,
        "workers": _facts(loop.workers),
        "stalls": _facts(loop.stalls),
        "bucket": loop.strip.width,
    }


def _loop_columns(prefix: str, loop: LoopModel) -> Iterator[tuple[str, Any, str]]:
    """Name, column and how it is told: "" as it is, "-" as differences."""
    for table, rows in (("tasks", loop.tasks), ("jobs", loop.jobs)):
        for field in fields(rows):
            yield f"{prefix}{table}.{field.name}", getattr(rows, field.name), ""
    for table, stretches in (("runs", loop.runs), ("waits", loop.waits), ("gaps", loop.gaps)):
        yield from _moments(f"{prefix}{table}.", stretches.begin, stretches.end)
    yield f"{prefix}gaps.steps", loop.gaps.steps, ""
    spans = loop.spans
    yield from _moments(f"{prefix}spans.", spans.begin, spans.end)
    for name in ("kind", "label", "place", "by"):
        yield f"{prefix}spans.{name}", getattr(spans, name), ""
    yield f"{prefix}first", loop.first, "-"
    yield f"{prefix}strip.utilisation", loop.strip.utilisation, ""
    yield f"{prefix}strip.lag", loop.strip.lag, ""


def _moments(prefix: str, begin: array[int], end: array[int]) -> Iterator[tuple[str, Any, str]]:
    """Each begin as its distance to the end before (mostly 0), each end as a duration."""
    yield f"{prefix}apart", array("q", map(sub, begin, array("q", [0]) + end[:-1])), ""
    yield f"{prefix}lasts", array("q", map(sub, end, begin)), ""


def _planes(column: array[Any], how: str) -> Iterator[tuple[int, bytes]]:
    """The bytes of a column by their weight, lowest first, without those weights whose bytes are all zero."""
    if how == "-":
        column = array(column.typecode, map(sub, column, array(column.typecode, [0]) + column[:-1]))
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    whole, size = column.tobytes(), column.itemsize
    for weight in range(size):
        plane = whole[weight::size]
        if plane.strip(b"\0"):
            yield weight, plane


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)  # 31: as a gzip file, which browsers inflate
    for piece in pieces:
        yield deflate.compress(piece)
    yield deflate.flush()


def _blocks(packed: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in packed:
        held += piece
        while len(held) >= BLOCK:
            yield base64.b64encode(held[:BLOCK])
            del held[:BLOCK]
    yield base64.b64encode(held)
