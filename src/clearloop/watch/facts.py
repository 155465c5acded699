"""The numbers that the watchdog has of a stretch, by name; all times in nanoseconds."""


class Facts:
    """See stretch_facts() in system/stretch.pxd, which makes the tuple."""

    def __init__(self, values, kind=None):
        (
            self.now,
            step_since,
            step_began,
            turn_since,
            turn_began,
            cpu,
            step_cpu,
            turn_cpu,
            self.late,
            self.delay,
            self.delay_over,
            self.in_gil,
            self.in_gc,
            self.in_fault,
            self.doing,
            self.call,
            steps,
            slow,
            self.threshold,
            in_call,
        ) = values
        # None where the system does not say what a thread does
        self.in_call = in_call if self.doing else None
        # a turn of many steps (2) began with the turn, a step (1) with itself
        whole = (kind or slow) == 2
        self.began = turn_began if whole else step_began
        self.seconds = (self.now - self.began) / 1e9
        # what is judged is what was measured: from the first look on
        self.wall = self.now - (turn_since if whole else step_since)
        self.cpu = max(0, cpu - (turn_cpu if whole else step_cpu))
        self.steps = max(1, steps) if whole else 1
