"""What one look at a loop's thread has seen: the line, the task or callback, the stack."""


class Sight:
    def __init__(self, where, stack, task, callback, source=None, lasti=0):
        self.where = where
        self.source, self.lasti = source, lasti  # the code object and the instruction that `where` tells of
        self.stack = stack
        self.task = task
        self.callback = callback
        self.place = (where.file, where.line, where.function) if where is not None else (None, None, callback)

    def told(self):
        """As the live view gives it (docs/live.md, `at`)."""
        where = self.where
        return {
            "task": self.task,
            "callback": self.callback,
            **{name: getattr(where, name, None) for name in ("file", "line", "function", "code", "call")},
        }
