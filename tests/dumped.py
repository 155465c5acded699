"""Dumps of real recordings, read back, for tests of those who write into them."""

from clearloop.show import dump as reading
from clearloop.show import records


class Dumped:
    """A dump and its records, by kind and by the names that they stand for."""

    def __init__(self, source):
        self.dump = reading.read(source)
        self.loops = {loop.number: [] for loop in self.dump.loops}
        for loop in self.dump.loops:
            for piece in loop.pieces:
                self.loops[loop.number] += [Record(*fields) for fields in records.RECORD.iter_unpack(piece)]
        self.records = [record for found in self.loops.values() for record in found]

    @property
    def problems(self):
        return self.dump.problems

    def of(self, kind):
        return [record for record in self.records if record.kind == kind]

    def name(self, number):
        """What a number of the table stands for: a qualified name."""
        return self.dump.codes[number].qualname if number else None

    def line(self, record):
        """(line, source) of a record's place."""
        return self.dump.lines[record.code, record.place]

    @property
    def live(self):
        """The unfinished tasks of all loops, by name."""
        return {task.name: task for loop in self.dump.loops for task in loop.tasks}

    def jobs(self):
        """{number: [records]} of each job, in the order in which they were written."""
        found = {}
        for record in self.of(records.JOB):
            found.setdefault(record.actor, []).append(record)
        return found

    def names(self):
        """{task number: its name as NAME records spell it}"""
        pieces = {}
        for record in self.of(records.NAME):
            if record.type == 0:
                pieces[record.actor] = b""
            pieces[record.actor] = pieces.get(record.actor, b"") + record.text
        return {task: text.decode() for task, text in pieces.items()}


class Record:
    """The fields of one record; `span` in nanoseconds, `how` without the bits that tell of the span."""

    def __init__(self, kind, how, type, actor, time, span, code, place, other):
        fields = kind, how, type, actor, time, span, code, place, other
        if kind == records.NAME:
            self.text = records.RECORD.pack(*fields)[records.NAME_OFFSET :][:how]
            how = 0
        self.kind, self.how, self.type, self.actor, self.time = kind, how & records.HOW, type, actor, time
        self.span = span << records.COARSE_SHIFT if how & records.COARSE else span
        self.code, self.place, self.other = code, place, other
