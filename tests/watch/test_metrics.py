"""The exporters, read by the real libraries."""

import asyncio

import pytest

import clearloop
from clearloop.watch import reporting

from .stalls import make_stall


@pytest.fixture
def loop(said, monkeypatch):
    monkeypatch.setattr(reporting, "seconds", {})
    monkeypatch.setattr(reporting, "by_loop", {})
    loop = clearloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0.01))
    yield loop
    loop.close()


def went_wrong():
    for verdict in ("blocking", "blocking", "gil"):
        reporting.ended(make_stall(verdict=verdict, seconds=0.5))
    reporting.found("never_awaited", "clearloop: never awaited: f()", file="a.py", line=1)


class TestPrometheus:
    @pytest.fixture
    def registry(self, loop):
        client = pytest.importorskip("prometheus_client")
        from clearloop.watch.prometheus import export

        registry = client.CollectorRegistry()
        export(registry)
        return registry

    def test_values(self, registry, loop):
        went_wrong()
        value = registry.get_sample_value
        assert value("clearloop_stalls_total", {"verdict": "blocking"}) == 2
        assert value("clearloop_stalled_seconds_total", {"verdict": "gil"}) == 0.5
        assert value("clearloop_stalls_total", {"verdict": "compute"}) == 0
        assert value("clearloop_findings_total", {"kind": "never_awaited"}) == 1
        mine = max((s.labels["loop"] for f in registry.collect() for s in f.samples if "loop" in s.labels), key=int)
        assert value("clearloop_steps_total", {"loop": mine}) >= 2
        assert 0 <= value("clearloop_utilisation_ratio", {"loop": mine}) <= 1
        assert value("clearloop_tasks", {"loop": mine}) == 0
        assert 0 < value("clearloop_lag_seconds", {"loop": mine, "percentile": "99"}) < 10

    def test_as_text(self, registry):
        from prometheus_client import generate_latest
        from prometheus_client.parser import text_string_to_metric_families

        text = generate_latest(registry).decode()
        names = {family.name for family in text_string_to_metric_families(text)}
        assert {"clearloop_stalls", "clearloop_turns", "clearloop_lag_seconds"} <= names

    def test_a_closed_loop_is_gone(self, registry, loop):
        def loops():
            return {s.labels["loop"] for f in registry.collect() for s in f.samples if "loop" in s.labels}

        before = loops()
        loop.close()
        assert len(before - loops()) == 1

    def test_only_once(self, registry):
        from clearloop.watch.prometheus import export

        with pytest.raises(ValueError, match="already"):
            export(registry)


class TestOpenTelemetry:
    @pytest.fixture
    def read(self, loop):
        pytest.importorskip("opentelemetry.sdk")
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        from clearloop.watch.opentelemetry import export

        reader = InMemoryMetricReader()
        provider = MeterProvider(metric_readers=[reader])
        export(provider)

        def read():
            data = reader.get_metrics_data()
            return {
                metric.name: metric
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }

        yield read
        provider.shutdown()

    def test_values(self, read):
        went_wrong()
        found = read()
        stalls = {point.attributes["verdict"]: point.value for point in found["clearloop.stalls"].data.data_points}
        assert stalls == {"blocking": 2, "compute": 0, "gil": 1, "gc": 0, "descheduled": 0}
        assert found["clearloop.stalled"].unit == "s" and found["clearloop.stalls"].data.is_monotonic
        assert all(0 <= point.value <= 1 for point in found["clearloop.utilisation"].data.data_points)
        assert found["clearloop.steps"].data.data_points

    def test_it_is_read_again_each_time(self, read, loop):
        def steps():
            return sum(point.value for point in read()["clearloop.steps"].data.data_points)

        before = steps()
        loop.run_until_complete(asyncio.sleep(0))
        assert steps() > before


@pytest.mark.parametrize("module", ["prometheus_client", "opentelemetry"])
def test_one_file_imports_it(module):
    from pathlib import Path

    package = Path(clearloop.__file__).parent
    importers = [path for path in package.rglob("*.py") if f"from {module}" in path.read_text()]
    assert len(importers) == 1
