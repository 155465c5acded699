"""Counts how often each place has blocked the loop, so that the same line is not reported a thousand times.

The table is bounded: when MOST places are known, further ones are counted together.
"""

MOST = 1000
SHOWN_AT_EXIT = 20


class Place:
    """One line of the program, and what it has cost."""

    __slots__ = ("begun", "code", "count", "file", "function", "held_back", "line", "longest", "seconds")

    def __init__(self, file, line, function, code):
        self.file, self.line, self.function, self.code = file, line, function, code
        self.count = 0
        self.held_back = 0
        self.seconds = self.longest = 0.0
        self.begun = False  # its first report during a block is out

    def add(self, seconds):
        self.count += 1
        self.seconds += seconds
        self.longest = max(self.longest, seconds)


class Places:
    """All places that have blocked the loop."""

    def __init__(self):
        self.known = {}
        self.others = Place(None, None, None, "at other places")

    def of(self, stall):
        """The place of a stall; beyond the bound, the one that stands for all others."""
        # without a Python frame there is only what was called
        code = stall.code if stall.file is not None or stall.steps > 1 else stall.call or stall.callback
        key = stall.key if stall.file is not None else code
        place = self.known.get(key)
        if place is None:
            if len(self.known) >= MOST:
                return self.others
            place = self.known[key] = Place(*stall.key, code)
        return place

    def all(self):
        """Every place that was counted, the most costly first."""
        places = [place for place in (*self.known.values(), self.others) if place.count]
        return sorted(places, key=lambda place: place.seconds, reverse=True)


def is_milestone(count):
    """Whether the count is 10, 100, 1000 …"""
    while count >= 10 and count % 10 == 0:
        count //= 10
        if count == 1:
            return True
    return False
