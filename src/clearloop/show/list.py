"""The processes that answer, and how their loops are: a line for each loop."""

from clearloop.show.phrases import loop_now, share
from clearloop.watch.plain_text import one_line

HEAD = ("PID", "PROGRAM", "PYTHON", "LOOP", "TASKS", "BUSY", "NOW")


def rows(processes):
    """The lines of text for answers to `hello`; one that could not be had is {"pid", "error"}."""
    table = [HEAD]
    for process in processes:
        if "error" in process:
            table.append((str(process["pid"]), "?", "", "", "", "", one_line(process["error"], 300)))
            continue
        first = (str(process["pid"]), one_line(process["program"], 60), one_line(process["python"], 20))
        for loop in process["loops"] or [None]:
            if loop is None:
                table.append((*first, "-", "-", "-", "no loop"))
            else:
                table.append(
                    (*first, str(loop["number"]), str(loop["tasks"]), share(loop["utilisation"]), loop_now(loop))
                )
            first = ("", "", "")
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD) - 1)]
    for row in table:
        cells = [
            cell.rjust(width) if place in (0, 3, 4, 5) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        yield "  ".join([*cells, row[-1]]).rstrip()
