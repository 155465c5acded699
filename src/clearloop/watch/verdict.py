"""The verdict: what held the loop, and whether the program is to blame.

The time of a stall has parts.  Each verdict but the last two says: without this part it would not have been a stall.

    descheduled  the thread was ready and the machine did not run it (the kernel's count of its run delay), or nobody
                 ran at all (the watchdog itself woke up late: SIGSTOP, a suspended machine), or memory had to come from
                 a disk first
    gil          the loop's thread waited for the GIL, which another thread held
    gc           the loop's thread collected garbage
    compute      it used the processor for more than half of what is left
    blocking     it waited for something else: a call that blocks
"""


def judge(facts):
    """The verdict on a stretch, for a watch.facts.Facts."""
    # The waits are estimates; what the thread computed is measured, and was neither of the two
    rest = max(facts.wall - machine(facts), facts.cpu)
    if rest < facts.threshold:
        return "descheduled"
    rest = max(rest - facts.in_gil, facts.cpu)
    if rest < facts.threshold:
        return "gil"
    if facts.in_call is not None:
        # The waits were seen a tick at a time, and what nobody saw is not blamed on anyone: only what the thread itself
        # computed, and the calls that it was found in, are its own
        rest = min(rest, facts.cpu + facts.in_call)
        if rest < facts.threshold // 2:
            return "gil" if facts.in_gil > machine(facts) else "descheduled"
    if 2 * facts.cpu >= rest and rest - collecting(facts) < facts.threshold:
        return "gc"
    return "compute" if 2 * facts.cpu >= rest else "blocking"


def machine(facts):
    """How long the machine did not run the thread."""
    delay = facts.delay
    if facts.delay_over > 0 and 10 * delay >= facts.delay_over:
        # it is read from the second look on: before, the machine was as busy as after
        delay = delay * facts.wall // facts.delay_over
    delay += facts.in_fault
    return min(facts.wall, max(delay, facts.late))


def collecting(facts):
    """How much processor time went into garbage: of the time that it was seen collecting, it ran for a part only."""
    if facts.in_call is None:
        return facts.in_gc
    ready = facts.wall - facts.in_gil - facts.in_call - facts.in_fault
    return facts.in_gc * facts.cpu // ready if 0 < facts.cpu < ready else facts.in_gc
