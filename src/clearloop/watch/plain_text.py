"""Makes text of what the program may have made hostile: names, paths and values with a `__repr__` of their own.

What comes out is one line without control characters: it cannot move a terminal's cursor, colour what follows, or
break a log into lines that nobody wrote.  Nothing here raises.
"""

LONGEST = 200


def one_line(text: object, longest: int = LONGEST) -> str:
    """`text` on one line: whitespace joined, what is not printable escaped, the end cut off with an ellipsis."""
    try:
        text = str.__str__(text) if isinstance(text, str) else str(text)
        if len(text) > 4 * longest:
            text = text[: 4 * longest]
        text = " ".join(text.split())
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
        return text if len(text) <= longest else text[: longest - 1] + "…"
    except Exception as error:
        return f"<{type(error).__name__} in str()>"


def shown(value, longest=LONGEST):
    """`repr(value)` on one line, also when it raises or returns megabytes."""
    try:
        return one_line(repr(value), longest)
    except Exception as error:
        return f"<{one_line(type(value).__name__, 80)} object: {type(error).__name__} in repr()>"


def name_of_task(task):
    """The task's name, or None when there is no task."""
    if task is None:
        return None
    try:
        return one_line(task.get_name(), 100)
    except Exception:
        return f"<{one_line(type(task).__name__, 80)}>"
