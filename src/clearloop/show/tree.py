"""The tasks of a process as a tree, in text: below each task those that it waits for, else those that it has created.

Of many that stand at the same line and wait for the same kind of thing one is shown, with their number.  A circle of
tasks that wait for each other ends where it closes, and says so.
"""

from clearloop.show.phrases import doing, duration, loop_now, place, share, task_name, until
from clearloop.watch.plain_text import one_line

FOLD_FROM = 4
DEEPEST = 60  # levels; what lies deeper is counted
MOST_LINES = 12  # of one task's chain of awaits


def lines(answer, every=False):
    """The lines of text for an answer to `tasks`; `every`: each task by itself."""
    tasks = {task["id"]: task for task in answer["tasks"]}
    below = _children(tasks)
    for loop in answer["loops"]:
        of_loop = [task["id"] for task in tasks.values() if task["loop"] == loop["number"]]
        busy = share(loop["utilisation"])
        yield f"loop {loop['number']}: {plural(loop['tasks'], 'task')}, busy {busy}, {loop_now(loop)}"
        yield from _Drawing(tasks, below, answer["places"], every).draw(of_loop)
    missing = answer["total"] - len(tasks)
    if missing > 0:
        yield f"and {plural(missing, 'more task')}, not shown"


def plural(count, what):
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s".replace(",", " ")


def _children(tasks):
    """{task: those below it}: what it waits for; and what it has created and nobody waits for."""
    below = {}
    for number, task in tasks.items():
        below[number] = [other for other in dict.fromkeys(task["awaits"]) if other in tasks]
    awaited = {other for others in below.values() for other in others}
    for number, task in tasks.items():
        parent = task.get("parent")
        if number not in awaited and parent in tasks and not _leads_to(number, parent, below):
            below[parent].append(number)
    return below


def _leads_to(number, wanted, below):
    """Whether `wanted` is below `number`: then it must not be put below it the other way round."""
    seen, left = set(), [number]
    while left:
        here = left.pop()
        if here == wanted:
            return True
        if here not in seen:
            seen.add(here)
            left.extend(below[here])
    return False


class _Drawing:
    def __init__(self, tasks, below, places, every):
        self.tasks, self.below, self.places, self.every = tasks, below, places, every
        self.seen = set()
        self.likenesses = {}

    def draw(self, numbers):
        under = {other for number in numbers for other in self.below[number]}
        roots = [number for number in numbers if number not in under]
        yield from self.level(roots, "", (), top=True)
        while True:  # circles have no root
            left = next((number for number in numbers if number not in self.seen), None)
            if left is None:
                return
            yield from self.level([left], "", (), top=True)

    def level(self, numbers, indent, above, top=False):
        """The tasks of one level and all below them; a stack of our own, since chains may be deep."""
        left = [(indent, above, top, self.folded(numbers), 0)]
        while left:
            indent, above, top, groups, at = left.pop()
            if at == len(groups):
                continue
            left.append((indent, above, top, groups, at + 1))
            last = at == len(groups) - 1
            group = groups[at]
            number = group[0]
            branch = "" if top else "└─ " if last else "├─ "
            inner = indent + ("" if top else "   " if last else "│  ")
            if number in above:
                yield f"{indent}{branch}{self.title(group)}: a circle, it waits for itself"
                continue
            if number in self.seen:
                yield f"{indent}{branch}{task_name(self.tasks[number])}, as above"
                continue
            self.seen.update(group)
            yield f"{indent}{branch}{self.title(group)}"
            children = self.below[number]
            bar = "│  " if children else "   "
            for text in self.chain(self.tasks[number]):
                yield f"{inner}{bar}{text}"
            if len(group) > 1:
                for other in group[1:]:
                    self.cover(other)
            if children and len(above) >= DEEPEST:
                yield f"{inner}└─ and deeper: {plural(self.cover(number), 'task')}"
            elif children:
                left.append((inner, (*above, number), False, self.folded(children), 0))

    def cover(self, number):
        """What is below a task counts as shown; return how many that were."""
        count, left = 0, [number]
        while left:
            for other in self.below[left.pop()]:
                if other not in self.seen:
                    self.seen.add(other)
                    count += 1
                    left.append(other)
        return count

    def folded(self, numbers):
        """Lists of tasks that look alike, in the order of their first."""
        if self.every:
            return [[number] for number in numbers]
        groups = {}
        for number in numbers:
            groups.setdefault(self.likeness(number), []).append(number)
        found = []
        for group in groups.values():
            if len(group) >= FOLD_FROM:
                found.append(group)
            else:
                found.extend([number] for number in group)
        return found

    def likeness(self, number, depth=3):
        """What tasks have in common that need not be shown one by one."""
        known = self.likenesses.get((number, depth))
        if known is None:
            task = self.tasks[number]
            waits = task.get("waits") or {}
            holder = waits.get("holder") or {}
            children = self.below[number]
            if not children:
                inside = ()
            elif depth == 0 or len(children) > 100:
                inside = (number,)  # like nobody else
            else:
                inside = frozenset(self.likeness(child, depth - 1) for child in children)
            known = (
                task["coroutine"],
                task["state"],
                tuple(task["stack"]),
                waits.get("kind"),
                waits.get("object"),
                holder.get("task"),
                inside,
            )
            self.likenesses[number, depth] = known
        return known

    def title(self, group):
        task = self.tasks[group[0]]
        coroutine = one_line(task["coroutine"] or "?", 100)
        if len(group) > 1:
            return f"{len(group)} × {coroutine}, such as {task_name(task)}: {doing(task)}{limits(task)}"
        return f"{task_name(task)} ({coroutine}): {doing(task)}{limits(task)}{age(task)}"

    def chain(self, task):
        stack = task["stack"]
        half = MOST_LINES // 2
        shown = stack if len(stack) <= MOST_LINES else [*stack[:half], None, *stack[-half:]]
        for number in shown:
            yield f"… {len(stack) - MOST_LINES} more" if number is None else place(self.places[number])


def limits(task):
    nearest = [seconds for seconds in task.get("timeouts") or () if seconds is not None]
    if not nearest:
        return ""
    return f", timeout in {duration(min(nearest))}" if min(nearest) > 0 else f", timeout {until(min(nearest))}"


def age(task):
    seconds = task.get("age_seconds")
    return f", {duration(seconds)} old" if seconds is not None and seconds >= 0.001 else ""
