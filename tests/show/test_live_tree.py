"""Tasks as a tree: what stands below what, what is folded, where a circle ends."""

from clearloop.show import phrases, tree

PLACES = [["/somewhere/app.py", 3, "work", "await sleep(1)"]]


def task(number, awaits=(), parent=None, **more):
    return {
        "id": number,
        "loop": 1,
        "name": f"T{number}",
        "coroutine": "work",
        "state": "waiting",
        "stack": [0],
        "waits": {"kind": "sleep", "seconds_left": 3.0},
        "awaits": list(awaits),
        "parent": parent,
        "age_seconds": None,
        "timeouts": [],
        **more,
    }


def drawn(tasks, every=False):
    loop = {"number": 1, "tasks": len(tasks), "utilisation": 0.25, "running": True, "waiting": True}
    answer = {"tasks": tasks, "loops": [loop], "places": PLACES, "total": len(tasks)}
    found = list(tree.lines(answer, every))
    assert found[0].endswith("busy 25 %, waiting for something to do")
    return [line for line in found[1:] if "app.py:3 in work" not in line]


def test_below_a_task_stands_what_it_waits_for():
    lines = drawn([task(1, [2]), task(2, [3]), task(3)])
    assert [line.split(" ")[0] for line in lines] == ["T1", "└─", ""]
    assert lines[2] == "   └─ T3 (work): sleeps, 3.0 s left"


def test_else_what_it_has_created():
    lines = drawn([task(1), task(2, parent=1), task(3, parent=1)])
    assert [line[:5] for line in lines] == ["T1 (w", "├─ T2", "└─ T3"]


def test_a_task_that_waits_for_its_creator_is_no_circle():
    lines = drawn([task(1), task(2, [1], parent=1)])
    assert [line[:5] for line in lines] == ["T2 (w", "└─ T1"]


def test_a_circle_ends_where_it_closes():
    lines = drawn([task(1, [2]), task(2, [3]), task(3, [1])])
    assert len(lines) == 4
    assert lines[-1].strip().startswith("└─ T1 (work)")
    assert lines[-1].endswith("a circle, it waits for itself")


def test_what_two_wait_for_is_drawn_once():
    lines = drawn([task(1, [3]), task(2, [3]), task(3)])
    assert sum("T3 (work)" in line for line in lines) == 1
    assert sum(line.endswith("T3, as above") for line in lines) == 1


def test_those_alike_are_folded():
    tasks = [task(number, parent=1) for number in range(2, 2002)]
    lines = drawn([task(1), *tasks, task(3000, parent=1, coroutine="other")])
    assert [line.split(",")[0] for line in lines[1:]] == ["├─ 2000 × work", "└─ T3000 (other): sleeps"]
    assert len(drawn([task(1), *tasks], every=True)) == 2001


def test_whole_branches_alike_are_folded():
    tasks = [task(1)]
    for number in range(10, 60, 2):
        tasks += [task(number, [number + 1], parent=1, coroutine="outer"), task(number + 1)]
    lines = drawn(tasks)
    assert len(lines) == 3
    assert "25 × outer" in lines[1] and "T11 (work)" in lines[2]


def test_three_are_not_folded():
    assert len(drawn([task(1), *(task(number, parent=1) for number in (2, 3, 4))])) == 4


def test_a_chain_of_thousands():
    tasks = [task(number, [number + 1] if number < 5000 else []) for number in range(1, 5001)]
    lines = drawn(tasks)
    assert len(lines) == tree.DEEPEST + 2
    assert "and deeper: 4 939 tasks" in lines[-1]


def test_many_circles():
    tasks = [task(number, [number % 3000 + 1]) for number in range(1, 3001)]
    assert len(drawn(tasks)) < 100


def test_hostile_names_stay_on_their_line():
    name = "a\n\x1b[2J\x9b31m\u202eb\u2028c"
    lines = drawn([task(1, name=name, coroutine=name)])
    assert len(lines) == 1
    assert lines[0].isprintable()


def test_durations():
    assert [phrases.duration(seconds) for seconds in (0.0000123, 0.0123, 1.234, 123, 7210, 200_000, 900_000)] == [
        "12 µs",
        "12 ms",
        "1.2 s",
        "2 min 3 s",
        "2 h 0 min",
        "55 h 33 min",
        "10 d 10 h",
    ]


def test_libraries_are_shown_from_their_folder():
    assert phrases.path("/x/lib/python3.14/asyncio/tasks.py") == "asyncio/tasks.py"
    assert phrases.path("/x/lib/python3.14/site-packages/aiohttp/web.py") == "aiohttp/web.py"


def test_what_a_task_waits_for_in_words():
    assert phrases.waiting({"kind": "sleep", "seconds_left": -0.01}) == "sleeps, due"
    assert phrases.waiting({"kind": "sleep", "seconds_left": -1.5}) == "sleeps, due 1.5 s ago and held up"
    assert phrases.waiting({"kind": "sleep", "seconds_left": 2.0}) == "sleeps, 2.0 s left"
    assert phrases.waiting({"kind": "lock", "type": "Lock", "holder": None}) == "waits for a Lock, holder unknown"
    free = {"kind": "lock", "type": "Lock", "holder": None, "free": True}
    assert phrases.waiting(free) == "waits for a Lock, which is free: the next in line is about to take it"
    many = {"kind": "semaphore", "type": "Semaphore", "holders": [{"task": n, "name": f"T{n}"} for n in range(5)]}
    assert phrases.waiting(many) == "waits for a Semaphore that tasks T0, T1, T2 and others hold"
    job = {"kind": "job", "function": "work", "stage": "running", "worker": "w-1", "seconds": 3.0}
    assert phrases.waiting(job) == "waits for work in w-1, which runs for 3.0 s"
    assert phrases.waiting({**job, "seconds": None}) == "waits for work in w-1"
    unknown = {"kind": "job", "function": None, "stage": "running", "worker": None, "seconds": None}
    assert phrases.waiting(unknown) == "waits for a job in a worker"
    late = "waits for work, which has ended: the loop has not come to it yet"
    assert phrases.waiting({**job, "stage": "ended"}) == late
    assert phrases.waiting({**job, "stage": "queued"}) == "waits for work, which is queued for a worker for 3.0 s"
