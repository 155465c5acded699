"""Metrics for Prometheus: `pip install clearloop[prometheus]`.  The one file that imports prometheus_client.

The collector is asked when Prometheus scrapes, in the server's own thread; it reads counters and holds up no loop.
"""

from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from clearloop.watch.measures import measures

__all__ = ["LoopCollector", "export"]

_KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class LoopCollector(Collector):
    """All loops of this process: stalls and their seconds by verdict, findings, turns, steps, tasks, lag, utilisation.

    Register it with any registry; `export` does so with the default one.
    """

    def describe(self):
        """Nothing: the metrics are known only while loops are alive."""
        return []

    def collect(self):
        """The metrics of this moment."""
        for measure in measures():
            labels = sorted({name for _, attributes in measure.values for name in attributes})
            name = f"clearloop_{measure.name}" + (f"_{measure.unit}" if measure.unit else "")
            family = _KINDS[measure.kind](name, measure.text, labels=labels)
            for value, attributes in measure.values:
                family.add_metric([str(attributes.get(label, "")) for label in labels], value)
            yield family


def export(registry=REGISTRY):
    """Register a LoopCollector with `registry` and return it; `registry.unregister(collector)` takes it back.

    Raises ValueError when the registry has one already.
    """
    collector = LoopCollector()
    if any(isinstance(other, LoopCollector) for other in list(registry._collector_to_names)):
        raise ValueError("clearloop's metrics are registered with this registry already")
    registry.register(collector)
    return collector
