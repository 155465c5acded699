"""The model's texts and places, each kept once, and what a suspended task waits for, in words."""

from __future__ import annotations

import os

from clearloop.show.dump import Dump
from clearloop.show.model import NONE

# What a task awaits, by the type of the object.  Others are named by their type.
WORDS = {
    "SleepFuture": "sleep",
    "Switch": "sleep",
    "_GatheringFuture": "gather",
    "Gate": "wait",
    "Reading": "data from a stream",
    "Turn": "a socket",
    "Waiter": "its turn",  # of a lock, an event, a queue; their own function says more
    "LockCore": "Lock",
    "EventCore": "Event",
    "SemaphoreCore": "Semaphore",
    "QueueCore": "Queue",
    "Putters": "Queue.put",
    "Future": "a future",
    "_asyncio.Future": "a future",
}
# Tasks that await one of these wait for a job off the loop, whose id stands in the record.
CALLS = {"Call", "ForeignCall", "ProcessCall", "InterpreterCall", "LokyCall", "ClusterCall"}


class Texts:
    """Strings by index; 0 is the empty one."""

    def __init__(self) -> None:
        self.strings = [""]
        self._known = {"": 0}

    def index(self, text: str) -> int:
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self.append(text)
        return known

    def append(self, text: str) -> int:
        """For a text that comes only once: it is not looked for."""
        self.strings.append(text)
        return len(self.strings) - 1


class Places:
    """Lines of source by index: of (code id, offset of the instruction), and of stall reports."""

    def __init__(self, dump: Dump, texts: Texts) -> None:
        self.dump = dump
        self.texts = texts
        self.places: list[tuple[int, int, int, int]] = []
        self._known: dict[tuple[int, int, int, int], int] = {}
        self.by_code: dict[tuple[int, int], int] = {}

    def of(self, code: int, lasti: int) -> int:
        """The place of an instruction, or NONE when its code is not known."""
        place = self.by_code.get((code, lasti))
        if place is None:
            known = self.dump.codes.get(code)
            if known is None or known.kind != "code":
                place = NONE
            else:
                line, text = self.dump.lines.get((code, lasti), (known.line, ""))
                place = self.add(known.file, line, known.qualname, text)
            self.by_code[code, lasti] = place
        return place

    def add(self, file: str, line: int, function: str, text: str) -> int:
        index = self.texts.index
        row = index(file), line, index(function), index(text)
        place = self._known.get(row)
        if place is None:
            place = self._known[row] = len(self.places)
            self.places.append(row)
        return place


class Labels:
    """What a suspended task waits for.

    A name may stand in the records behind the one that refers to it.  So a label that names a task is a negative number
    until `resolve` is asked for the table.
    """

    def __init__(self, dump: Dump, texts: Texts) -> None:
        self.dump = dump
        self.texts = texts
        self.jobs: dict[int, int] = {}  # job id: string of its function
        self.tasks: list[int] = []  # ids that labels refer to
        self._task_labels: dict[int, int] = {}
        self._words: dict[tuple[int, int], int] = {}

    def awaiting(self, kind: int, other: int, code: int) -> int:
        """A string's index, or a number for `resolve`: of the type's id, the task's or job's, and that of the code of
        the function that waits."""
        if other:
            known = self.dump.codes.get(kind)
            if known is not None and known.qualname.rpartition(".")[2] in CALLS:
                function = self.jobs.get(other, 0)
                name = self.texts.strings[function]
                return self.texts.index(f"job of {name}()" if name else "a job")
            label = self._task_labels.get(other)
            if label is None:
                label = self._task_labels[other] = -2 - len(self.tasks)
                self.tasks.append(other)
            return label
        label = self._words.get((kind, code))
        if label is None:
            label = self._words[kind, code] = self.texts.index(self._in_words(kind, code))
        return label

    def _in_words(self, kind: int, code: int) -> str:
        known = self.dump.codes.get(kind)
        name = known.qualname if known is not None else ""
        frame = self.dump.codes.get(code)
        if frame is not None and frame.kind == "code" and _is_librarys(frame.file):
            # sleep, Queue.get, Lock: what the program called, better than how it is done inside
            return frame.qualname.removesuffix(".__aenter__").removesuffix(".acquire")
        return WORDS.get(name) or WORDS.get(name.rpartition(".")[2]) or name

    def resolve(self, names: dict[int, int]) -> list[int]:
        """A table from label to string, for any label, given the name (a string) of each task by id.

        Labels that name tasks are negative, and so count from the table's end.
        """
        texts = self.texts
        told = [names[task] if task in names else texts.index(f"task {task}") for task in self.tasks]
        return [*range(len(texts.strings)), *reversed(told), 0]


def _is_librarys(file: str) -> bool:
    return os.path.basename(os.path.dirname(file)) in ("clearloop", "asyncio")
