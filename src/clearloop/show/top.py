"""The full-screen view of a running process, `clearloop top`: drawn by Textual, an extra.

A thread asks the process (top_feed.py) and hands each answer to the screen. Whatever a process says is text to be
shown, never markup: every widget here has markup switched off or is given rich Text.
"""

import os
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Input, Static

from clearloop.show import phrases
from clearloop.show import top_text as words
from clearloop.show.process import Process, Refused, Unreachable
from clearloop.show.top_feed import Feed, ordered
from clearloop.watch.plain_text import one_line

SHOWN = 500  # rows; further ones are found by the filter
PLACES = 3
LOW = 16  # lines: with fewer, what is about the loop takes less room, for the tasks' sake
# actions of the first page only
FIRST_PAGE = ("filter", "next_loop", "sort", "turn_round", "forget_filter", "dump")
LIBRARIES = ("/lib/python3", "/site-packages/", "/dist-packages/", "/clearloop/")

# key of the task, title, width, whether the largest comes first
COLUMNS = (
    ("name", "task", 28, False),
    ("busy_seconds", "busy", 9, True),
    ("held_seconds", "held", 9, True),
    ("waiting_seconds", "waiting", 9, True),
    ("steps", "steps", 8, True),
    ("age_seconds", "age", 9, True),
    ("waits", "  waits for", 40, False),
)


class Plain(Static):
    """Text that is shown as it is."""

    def __init__(self, text="", **settings):
        super().__init__(text, markup=False, **settings)

    def say(self, text):
        self.update(text if isinstance(text, Text) else Text(text, no_wrap=True, overflow="ellipsis"))


class Ask(ModalScreen):
    """A question: yes or no, or, with `default`, a line of text.  Gives True, the text, or None."""

    BINDINGS: ClassVar = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]

    def __init__(self, question, default=None):
        super().__init__()
        self.question, self.default = question, default

    def compose(self):
        with Vertical(id="ask"):
            yield Plain(Text(self.question), id="question")
            if self.default is not None:
                yield Input(self.default, id="answer")
                yield Plain("Enter: go on · Escape: leave it")
            else:
                yield Plain("y: yes · n: no")

    def action_answer(self, yes):
        self.dismiss(True if yes and self.default is None else None)

    def on_input_submitted(self, event):
        self.dismiss(event.value or None)


class Detail(Screen):
    """One task: what it waits for, its chain of awaits with their lines, the times of its steps."""

    BINDINGS: ClassVar = [
        Binding("escape,enter,left", "close", "back"),
        Binding("k", "app.cancel_task", "cancel it"),
        Binding("space", "app.pause", "pause"),
        Binding("q", "app.quit", "quit"),
    ]

    def compose(self):
        yield Plain(id="detail-title")
        with VerticalScroll():
            yield Plain("asking …", id="detail")
        yield Footer()

    def on_mount(self):
        self.query_one(VerticalScroll).focus()

    def show(self, task):
        if "ended" in task:
            self.query_one("#detail", Plain).say(Text(one_line(task["ended"])))
            return
        self.query_one("#detail-title", Plain).say(
            Text(f"task {one_line(task['name'], 100)} · {one_line(task['coroutine'], 80)}", style="bold")
        )
        lines = [
            f"state     {phrases.doing(task)}",
            f"steps     {words.count(task.get('steps'))}",
            f"busy      {words.seconds(task.get('busy_seconds'))}",
            f"held      {words.seconds(task.get('held_seconds'))}",
            f"waiting   {words.seconds(task.get('waiting_seconds'))}",
            f"age       {words.seconds(task.get('age_seconds'))}",
        ]
        if task.get("timeouts"):
            lines.append(f"timeouts  {', '.join(phrases.until(left) for left in task['timeouts'])}")
        lines += ["", "chain of awaits, outermost first"]
        for depth, entry in enumerate(task["stack"]):
            file, line, function, code = entry
            lines.append(f"  {'  ' * min(depth, 10)}{one_line(function or '?', 80)}")
            lines.append(f"  {'  ' * min(depth, 10)}  {phrases.path(file)}:{line}")
            if code:
                lines.append(f"  {'  ' * min(depth, 10)}  {one_line(code)}")
        if not task["stack"]:
            lines.append("  not known")
        lines += ["", "times of its steps, since this view was opened"]
        lines += [f"  {line}" for line in words.histogram(task.get("step_lengths") or [], 30)] or ["  none yet"]
        self.query_one("#detail", Plain).say(Text("\n".join(lines)))

    def action_close(self):
        self.app.feed.wanted = None
        self.dismiss()


class Top(App):
    """`clearloop top`."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head, #loop, #lag, #note { height: 1; padding: 0 1; }
    #head, #loop, #lag, #stalls, #note, #detail-title { text-wrap: nowrap; text-overflow: ellipsis; }
    #head { text-style: bold; background: $surface; }
    #held { height: auto; max-height: 5; padding: 1 1; display: none; }
    #held { background: #b00020; color: white; text-style: bold; }
    #stalls { height: auto; max-height: 4; padding: 0 1; }
    #tasks { height: 1fr; }
    #filter { display: none; height: 3; }
    #detail-title { height: 1; padding: 0 1; background: $surface; }
    #detail { padding: 0 1; }
    Ask { align: center middle; }
    .low #held { padding: 0 1; max-height: 2; }
    .low #stalls { max-height: 1; }
    #ask { width: 70; max-width: 90%; height: auto; padding: 1 2; border: heavy $accent; background: $surface; }
    """
    BINDINGS: ClassVar = [
        Binding("space", "pause", "pause"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("enter", "details", "details", priority=False),
        Binding("d", "dump", "dump"),
        Binding("k", "cancel_task", "cancel"),
        Binding("tab", "next_loop", "loop", priority=True),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False),
        Binding("n", "sort('name')", "by name", show=False),
        Binding("b", "sort('busy_seconds')", "busy", show=False),
        Binding("h", "sort('held_seconds')", "held", show=False),
        Binding("w", "sort('waiting_seconds')", "waiting", show=False),
        Binding("s", "sort('steps')", "steps", show=False),
        Binding("a", "sort('age_seconds')", "age", show=False),
        Binding("r", "turn_round", "reverse", show=False),
        Binding("escape", "forget_filter", "no filter", show=False),
    ]

    def __init__(self, pid, interval=1.0, folder=None):
        super().__init__()
        self.feed = Feed(pid, interval)
        self.folder = folder
        self.snapshot = None
        self.paused = False
        self.trouble = None
        self.gone = False
        self.number = None  # of the loop that is shown
        self.key, self.falling = "busy_seconds", True
        self.wanted = ""
        self.touched = False  # somebody has moved the cursor

    def compose(self):
        yield Plain(id="head")
        yield Plain(id="loop")
        yield Plain(id="lag")
        yield Plain(id="held")
        yield Plain(id="stalls")
        yield DataTable(id="tasks", cursor_type="row", zebra_stripes=True, cell_padding=0)
        yield Plain(id="note")
        yield Input(placeholder="part of a name", id="filter", select_on_focus=False)
        yield Footer()

    def on_mount(self):
        self.table.focus()
        self._title_columns()
        self._draw_head()
        self.ask_process()

    @property
    def table(self):
        return self.screen_stack[0].query_one("#tasks", DataTable)

    def part(self, name):
        return self.screen_stack[0].query_one(name, Plain)

    # -- what comes from the process --

    @work(thread=True, exclusive=True, group="feed", exit_on_error=False)
    def ask_process(self):
        self.feed.run(
            lambda snapshot: self._hand_over(self.saw, snapshot),
            lambda loops: self._hand_over(self.glanced, loops),
            lambda text, gone: self._hand_over(self.failed, text, gone),
        )

    def _hand_over(self, function, *arguments):
        if not self.feed.stop.is_set() and self.is_running:
            try:
                self.call_from_thread(function, *arguments)
            except RuntimeError:  # it has just ended
                self.feed.stop.set()

    def on_unmount(self):
        self.feed.stop.set()

    def saw(self, snapshot):
        """A new answer."""
        self.trouble, self.gone = None, False
        if self.paused:
            self._draw_head()
            return
        self.snapshot = snapshot
        numbers = [entry["number"] for entry in snapshot["loops"]]
        if self.number not in numbers:
            busiest = max(snapshot["loops"], key=lambda entry: (entry["running"], entry["tasks"]), default=None)
            self.number = busiest["number"] if busiest is not None else None
        self.draw()
        if isinstance(self.screen, Detail) and snapshot["detail"] is not None:
            self.screen.show(snapshot["detail"])

    def glanced(self, loops):
        """Whether the loop is held, between two answers."""
        if not self.paused:
            self._draw_held(next((entry for entry in loops if entry["number"] == self.number), None))

    def failed(self, text, gone):
        """The process cannot be asked; what was seen last stays."""
        self.trouble, self.gone = text, gone
        self._draw_head()
        if gone:
            self._draw_held(None)
            self.notify(text, markup=False, severity="warning", timeout=10)

    # -- drawing --

    def loop_shown(self):
        loops = self.snapshot["loops"] if self.snapshot is not None else []
        return next((entry for entry in loops if entry["number"] == self.number), None)

    def draw(self):
        """Everything, from the last answer."""
        self._draw_head()
        entry = self.loop_shown()
        self._draw_held(entry)
        if entry is None:
            self.part("#loop").say("no loop runs in it" if self.snapshot is not None else "")
        else:
            self._draw_numbers(entry)
        if self.snapshot is not None:
            self._draw_stalls()
            self._draw_tasks()

    def _draw_head(self):
        snapshot = self.snapshot
        if self.trouble is not None:
            state = "GONE: " if self.gone else "NO ANSWER: "
            state += one_line(self.trouble)
        else:
            state = "PAUSED" if self.paused else "live"
        text = f"clearloop top · {self.feed.pid}"
        if snapshot is not None:
            name = snapshot["program"] or "?"
            name = phrases.path(name) if name.startswith("/") else one_line(name, 60)
            text += f" {name} · Python {one_line(snapshot['python'], 20)}"
            if len(snapshot["loops"]) > 1:
                numbers = [entry["number"] for entry in snapshot["loops"]]
                text += f" · loop {numbers.index(self.number) + 1} of {len(numbers)}" if self.number in numbers else ""
        self.part("#head").say(Text(f"{text} · {state}", no_wrap=True, overflow="ellipsis"))

    def _draw_numbers(self, entry):
        width = max(20, self.size.width)
        history = entry.get("history") or []
        per_second = entry.get("steps_per_second")
        rest = f"  tasks {words.count(entry['tasks'])}  ready {words.count(entry.get('ready'))}"
        rest += f"  timers {words.count(entry.get('timers'))}  jobs {words.count(entry.get('offloaded'))}"
        if per_second is not None:
            rest += f"  steps/s {words.count(round(per_second))}"
        self.part("#loop").say(f"busy {words.gauge(entry.get('utilisation'), 12)}{rest}")
        lag = entry.get("lag") or {}
        numbers = "  ".join(
            f"{name} {words.seconds(lag.get(key)):>7}"
            for key, name in (("50", "p50"), ("90", "p90"), ("99", "p99"), ("100", "max"))
        )
        left = max(8, min(60, width - len(numbers) - 9))
        self.part("#lag").say(f"lag  {numbers}  {words.curve([late for _, late in history], left)}")

    def _draw_held(self, entry):
        banner = self.part("#held")
        text = words.held(entry) if entry is not None else None
        banner.display = text is not None
        if text is not None:
            banner.say(Text(f"!! {text}"))

    def _draw_stalls(self):
        places = sorted(self.snapshot["stalls"], key=lambda one: -(one.get("seconds") or 0))
        lines = [
            f"{words.count(one.get('count')):>5} × {words.seconds(one.get('seconds')):>7}, longest "
            f"{words.seconds(one.get('longest_seconds')):>7}  {words.place(one)}"
            for one in places[:PLACES]
        ]
        if not places:
            lines = ["no stalls so far"]
        elif self.size.height >= LOW:
            rest = f", the worst {PLACES} of {words.count(len(places))}" if len(places) > PLACES else ""
            lines.insert(0, f"stalls by place{rest}")
        text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        self.part("#stalls").say(text)

    def _title_columns(self):
        table = self.table
        table.clear(columns=True)
        room = self.size.width - sum(width for _, _, width, _ in COLUMNS[1:-1]) - 2  # the scroll bar
        names = max(10, min(COLUMNS[0][2], room // 2))
        for key, title, width, falling in COLUMNS:
            if key == "name":
                width = names
            elif key == "waits":
                width = max(10, room - names)
            mark = ("▼" if self.falling else "▲") if key == self.key else ""
            table.add_column(Text(title + mark, justify="right" if falling else "left"), key=key, width=width)

    def _draw_tasks(self):
        table = self.table
        chosen = self.chosen()
        tasks = [task for task in self.snapshot["tasks"] if task["loop"] == self.number]
        found = ordered(tasks, self.key, self.falling, self.wanted)
        row, top = table.cursor_row, table.scroll_y
        table.clear()
        for task in found[:SHOWN]:
            table.add_row(*cells(task), key=str(task["id"]))
        if found:
            ids = [str(task["id"]) for task in found[:SHOWN]]
            if self.touched:  # the cursor stays with its task, else with the first row
                row = ids.index(chosen) if chosen in ids else min(row, len(ids) - 1)
                table.move_cursor(row=row, scroll=False)
                table.scroll_to(y=top, animate=False)
        notes = []
        if self.wanted:
            notes.append(
                f"filter: {one_line(self.wanted, 40)} ({words.count(len(found))} of {words.count(len(tasks))})"
            )
        if len(found) > SHOWN:
            notes.append(f"the first {SHOWN} of {words.count(len(found))}")
        notes.append("sort: n b h w s a, r reverses")
        self.part("#note").say(" · ".join(notes))

    def chosen(self):
        """The id of the task under the cursor, as text, or None."""
        table = self.table
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return None
        return table.coordinate_to_cell_key((table.cursor_row, 0)).row_key.value

    def task_chosen(self):
        if isinstance(self.screen, Detail):
            chosen = str(self.feed.wanted)
        else:
            chosen = self.chosen()
        tasks = self.snapshot["tasks"] if self.snapshot is not None else []
        return next((task for task in tasks if str(task["id"]) == chosen), None)

    # -- what the person does --

    def check_action(self, action, parameters):
        """Behind a question or a task's page the keys of the first page are off."""
        if len(self.screen_stack) > 1 and action in FIRST_PAGE:
            return False
        return not (action in ("cancel_task", "pause", "details", "quit") and isinstance(self.screen, Ask))

    def on_key(self, event):
        self.touched = self.touched or event.key in ("up", "down", "pageup", "pagedown", "home", "end")

    def on_mouse_down(self):
        self.touched = True

    def on_resize(self):
        self.call_after_refresh(self.fit)  # the size is still the old one here

    def fit(self):
        """Lay everything out for the terminal as it is now."""
        self.screen_stack[0].set_class(self.size.height < LOW, "low")
        self._title_columns()
        self.draw()

    def on_data_table_header_selected(self, event):
        self.action_sort(event.column_key.value)

    def on_data_table_row_selected(self, event):
        self.action_details()

    def action_sort(self, key):
        """By this column; once more turns it round."""
        if key == self.key:
            self.falling = not self.falling
        elif key in {column[0] for column in COLUMNS if column[0] != "waits"}:
            self.key = key
            self.falling = next(falling for name, _, _, falling in COLUMNS if name == key)
        self._title_columns()
        self.draw()

    def action_turn_round(self):
        self.action_sort(self.key)

    def action_pause(self):
        self.paused = not self.paused
        self._draw_head()

    def action_next_loop(self):
        numbers = [entry["number"] for entry in self.snapshot["loops"]] if self.snapshot is not None else []
        if numbers:
            place = numbers.index(self.number) if self.number in numbers else -1
            self.number = numbers[(place + 1) % len(numbers)]
            self.draw()

    def action_filter(self):
        box = self.screen_stack[0].query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_forget_filter(self):
        box = self.screen_stack[0].query_one("#filter", Input)
        box.value = self.wanted = ""
        box.display = False
        self.table.focus()
        self.draw()

    def on_input_changed(self, event):
        if event.input.id == "filter":
            self.wanted = event.value
            self.draw()

    def on_input_submitted(self, event):
        if event.input.id == "filter":
            event.input.display = False
            self.table.focus()

    def action_details(self):
        task = self.task_chosen()
        if task is None or isinstance(self.screen, Detail):
            return
        self.feed.wanted = task["id"]
        page = Detail()
        self.push_screen(page)
        page.call_after_refresh(page.show, task)

    def action_cancel_task(self):
        task = self.task_chosen()
        if task is None:
            return
        name = one_line(task["name"], 80)

        def answered(yes):
            if yes:
                self.cancel(task["id"], name)

        self.push_screen(Ask(f"Cancel task {name}?"), answered)

    @work(thread=True, group="cancel")
    def cancel(self, number, name):
        try:
            with Process(self.feed.pid) as process:
                answer = process.ask("cancel", task=number)
        except (Unreachable, Refused) as error:
            self._tell(f"{name} was not cancelled: {error}", "error")
            return
        held = answer.get("held_seconds")
        self._tell(f"{name} will be cancelled as soon as the loop goes on" if held else f"asked {name} to cancel")

    def action_dump(self):
        name = f"{self.feed.pid}.clearloop"
        if self.folder is not None:
            name = os.path.join(self.folder, name)

        def answered(path):
            if path:
                self.dump(path)

        self.push_screen(Ask("Write the recorder's dump to which file?", name), answered)

    @work(thread=True, group="dump")
    def dump(self, path):
        try:
            size = write_dump(self.feed.pid, os.path.expanduser(path))
        except (Unreachable, Refused, OSError) as error:
            self._tell(f"no dump: {error}", "error")
        else:
            self._tell(f"{path}: {words.count(size)} bytes; 'clearloop view' shows it")

    def _tell(self, text, severity="information"):
        self.call_from_thread(self.notify, one_line(text, 300), markup=False, severity=severity, timeout=8)


def cells(task):
    """A row of the table; each cell is text as it is."""
    numbers = [task.get(key) for key in ("busy_seconds", "held_seconds", "waiting_seconds")]
    return [
        Text(one_line(task["name"], 100), no_wrap=True, overflow="ellipsis"),
        *(Text(words.seconds(value), justify="right") for value in numbers),
        Text(words.count(task.get("steps")), justify="right"),
        Text(words.seconds(task.get("age_seconds")), justify="right"),
        Text(f"  {words.waits(task)}{at(task)}", no_wrap=True, overflow="ellipsis"),
    ]


def at(task):
    """The innermost line of the program's own, as far as its path tells."""
    stack = task.get("stack") or []
    if not stack:
        return ""
    own = [entry for entry in stack if not any(part in (entry[0] or "") for part in LIBRARIES)]
    file, line = (own or stack)[-1][:2]
    return f" · {phrases.path(file)}:{line}"


def write_dump(pid, path):
    """Write the dump of a process to a new file that only its user can read; returns its size.

    Raises Unreachable, Refused or OSError, FileExistsError among them; a file that was begun is removed then.
    """
    with Process(pid, 30.0) as process:
        blocks = process.dump()
        first = next(blocks, b"")
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(first)
                for block in blocks:
                    file.write(block)
                return file.tell()
        except BaseException:
            os.unlink(path)
            raise
