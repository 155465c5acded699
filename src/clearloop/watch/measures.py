"""What the exporters export: one list of measures, so that Prometheus and OpenTelemetry say the same.

A loop is labelled by its number in the process, in the order in which loops were made; one that is closed is gone from
the list.  Stalls and findings are the process's.
"""

from typing import NamedTuple

from clearloop.engine import registry
from clearloop.watch import reporting
from clearloop.watch.stall import VERDICTS
from clearloop.watch.statistics import PERCENTILES, stats


class Measure(NamedTuple):
    """One metric: `values` is a list of (value, attributes)."""

    name: str
    kind: str  # counter or gauge
    unit: str
    text: str
    values: list


def measures():
    """All measures, at this moment."""
    counts, seconds = reporting.counts, reporting.seconds
    loops = [(stats(loop), {"loop": str(number)}) for number, loop in registry.numbered() if not loop.is_closed()]

    def of_loops(name, kind, unit, text, pick):
        return Measure(name, kind, unit, text, [(pick(one), label) for one, label in loops if pick(one) is not None])

    by_verdict = [(verdict, {"verdict": verdict}) for verdict in VERDICTS]
    return [
        Measure(
            "stalls", "counter", "", "Times that a step held the loop", [(counts.get(v, 0), a) for v, a in by_verdict]
        ),
        Measure(
            "stalled", "counter", "seconds", "How long they held it", [(seconds.get(v, 0.0), a) for v, a in by_verdict]
        ),
        Measure(
            "findings",
            "counter",
            "",
            "Forgotten awaits, lost errors and tasks that are stuck",
            [(counts.get(kind, 0), {"kind": kind}) for kind in ("never_awaited", "lost_exception", "stuck")],
        ),
        of_loops("turns", "counter", "", "Turns of the loop", lambda one: one.turns),
        of_loops("steps", "counter", "", "Callbacks and steps of tasks that have run", lambda one: one.steps),
        of_loops("busy", "counter", "seconds", "Time that the loop did not wait", lambda one: one.busy_seconds),
        of_loops("waiting", "counter", "seconds", "Time that the loop waited", lambda one: one.waiting_seconds),
        of_loops("utilisation", "gauge", "ratio", "Busy time by all time", lambda one: one.utilisation),
        of_loops("tasks", "gauge", "", "Unfinished tasks", lambda one: one.tasks),
        of_loops("ready", "gauge", "", "Callbacks and tasks that are ready to run", lambda one: one.ready),
        of_loops("timers", "gauge", "", "Timers that are set", lambda one: one.timers),
        Measure(
            "lag",
            "gauge",
            "seconds",
            "How late timers fire, percentiles of the loop's life",
            [
                (one.lag[percentile], {**label, "percentile": str(percentile)})
                for one, label in loops
                if one.lag is not None
                for percentile in PERCENTILES
            ],
        ),
    ]
