"""What program this process is: the path of its script or the name of its module, never its arguments."""

import sys

from clearloop.watch.plain_text import one_line


def name():
    """`app.py` as it was given, `-m package.module`, `-c`, or `python` for anything else."""
    namespace = getattr(sys.modules.get("__main__"), "__dict__", {})
    module = getattr(namespace.get("__spec__"), "name", None)
    if isinstance(module, str) and module:
        return f"-m {one_line(module.removesuffix('.__main__'))}"
    file = namespace.get("__file__")
    if isinstance(file, str) and file:
        return one_line(file, 1000)
    first = sys.argv[0] if sys.argv and isinstance(sys.argv[0], str) else ""
    return first if first == "-c" else "python"
