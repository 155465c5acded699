"""Metrics for OpenTelemetry: `pip install clearloop[opentelemetry]`.  The one file that imports opentelemetry.

All instruments are observable: the SDK's reader asks for them when it exports, on its own thread.
"""

import sys

from opentelemetry import metrics

from clearloop.watch.measures import measures

__all__ = ["export"]


def export(meter_provider=None):
    """Create the instruments with a meter of `meter_provider` (None: the global one), and return the meter.

    They are those of the Prometheus exporter, named `clearloop.stalls`, `clearloop.tasks` and so on, with the same
    attributes. Call it once per provider.
    """
    meter = metrics.get_meter("clearloop", sys.modules["clearloop"].__version__, meter_provider=meter_provider)
    for measure in measures():
        create = meter.create_observable_counter if measure.kind == "counter" else meter.create_observable_gauge
        create(f"clearloop.{measure.name}", [_observer(measure.name)], unit=_unit(measure), description=measure.text)
    return meter


def _observer(name):
    def observe(options):
        found = next(measure for measure in measures() if measure.name == name)
        return [metrics.Observation(value, attributes) for value, attributes in found.values]

    return observe


def _unit(measure):
    return {"seconds": "s", "ratio": "1", "": "1"}[measure.unit]
