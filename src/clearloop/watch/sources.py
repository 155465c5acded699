"""The lines that records name by code object and instruction, read from the files on disk.

Nothing of the program's runs for it: no loader that it brought along is asked, and a source that exists only there (in
a database, a template engine) stays unknown.
"""

import linecache
import os

from clearloop.watch.code import line_of

LONGEST = 200  # characters of a line


class Lines:
    """Finds the line of an instruction and its text; keeps what it has looked up."""

    def __init__(self):
        self._lines = {}  # code object -> the line of each of its instructions
        self._sources = {}  # file -> its lines

    def find(self, code, lasti):
        """(line, its text stripped or None) of the instruction at the byte offset `lasti`."""
        lines = self._lines.get(code)
        if lines is None:
            lines = self._lines[code] = [position[0] for position in code.co_positions()]
        place = lasti // 2
        line = lines[place] if 0 <= place < len(lines) else None
        if line is None:
            line = line_of(code, lasti)
        return line, self._text(code, line)

    def _text(self, code, line):
        source = self._sources.get(code.co_filename)
        if source is None:
            source = self._sources[code.co_filename] = _source(code)
        if not 0 < line <= len(source):
            return None
        text = source[line - 1].strip()
        if len(text) > LONGEST:
            text = text[: LONGEST - 1] + "…"
        return text or None


def _source(code):
    file = code.co_filename
    try:
        if file.startswith("<"):  # -c and the interactive prompt, where linecache keeps what was typed
            from_code = getattr(linecache, "_getlines_from_code", None)
            lines = from_code(code) if from_code is not None else None
            return lines or _cached(file)
        if os.path.isfile(file):
            return _cached(file) or linecache.getlines(file)
        return _cached(file)
    except Exception:  # a file that is no text, or too large, or gone meanwhile
        return []


def _cached(file):
    entry = linecache.cache.get(file)
    return entry[2] if entry is not None and len(entry) == 4 else []  # else only a loader is known, which is not asked
