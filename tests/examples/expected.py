"""What each example prints, line by line. `ERRORS` is what the one that warns says on stderr."""

OUTPUT = {
    "01_start_a_loop.py": """\
before
running on EventLoop
the result of main
after
""",
    "02_async_function.py": """\
nothing was printed yet; this is a coroutine
hello, Ada
its result is 3
""",
    "03_await.py": """\
first
  fetching tea
  fetched tea
second
  fetching milk
  fetched milk
have TEA and MILK
""",
    "04_never_awaited.py": """\
saving
not saved: the await was forgotten
saved
""",
    "05_in_the_background.py": """\
C: the job was started, but has not run yet
A: the job runs
B: the job's result
""",
    "06_in_which_order.py": """\
awaited in order
  A starts
  B starts
  C starts
  A ends
  B ends
  C ends
  A B C
awaited out of order: the same, but for the results
  A starts
  B starts
  C starts
  A ends
  B ends
  C ends
  C A B
mixed: B is a mere coroutine, which runs only when it is awaited
  A starts
  C starts
  A ends
  C ends
  B starts
  B ends
  A B C
""",
    "07_wait.py": """\
[1, 4, 9] and 0 pending
[16] and 1 pending
[True] and 0 pending
""",
    "08_gather.py": """\
quick ends
middling ends
slow ends
['slow', 'quick', 'middling']
""",
    "09_await_twice.py": """\
the job runs
task: 42
task, again: 42
the job runs
coroutine: 42
coroutine, again: RuntimeError: cannot reuse already awaited coroutine
""",
    "10_blocked.py": "".join(f"{n} starts\n{n} ends\n" for n in range(10)) + "one after the other\n",
    "11_unblocked.py": """\
results: 0 1 2 3 4 5 6 7 8 9
ten at once
the loop went on turning
""",
    "12_chat.py": """\
Ada reads | * Ada comes in
Ada reads | * Bob comes in
Bob reads | * Bob comes in
Ada reads | Ada: Is anybody here?
Bob reads | Ada: Is anybody here?
Ada reads | Bob: I am. Bye!
Bob reads | Bob: I am. Bye!
Ada reads | * Bob leaves
""",
    "13_thousand_pages.py": """\
asking for 1000 pages at once
answers: 1000 with status 200
the first: page 0
the last: page 999
in order: True
""",
    "ten_jobs_blocked.py": "ten jobs, one after the other\n",
    "ten_jobs_free.py": "ten jobs at once\n",
}

# What stderr says somewhere, beside times that are never the same.
REPORTS = {"ten_jobs_blocked.py": ": time.sleep(0.2)"}

ERRORS = {
    "04_never_awaited.py": """\
clearloop: never awaited: save(), created at {path}:12 in main, by task Task-1
           instead: await save(…), or asyncio.create_task(save(…)) to run it beside
{path}:12: RuntimeWarning: coroutine 'save' was never awaited
  save()
RuntimeWarning: Enable tracemalloc to get the object allocation traceback
""",
}
