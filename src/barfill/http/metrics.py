"""
`GET /metrics`: what the database knows, in Prometheus' text format, at the time of the scrape.

All processes on a database say the same; nothing is counted in this one. What is pruned with old runs goes down, so
these are gauges, not counters.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from barfill.engine.listed_gaps import GapChoice, counts_by_kind
from barfill.http.context import InContext
from barfill.http.problems import PROBLEMS
from barfill.store.database import Database
from barfill.store.quota import read_meters
from barfill.store.status import sum_kept_runs, sum_series

router = APIRouter(tags=["probes"])


@router.get("/metrics", response_class=Response, responses={503: PROBLEMS[503]})
def metrics(context: InContext) -> Response:
    """Series, gaps, runs and quotas as gauges."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ledgers(context.database))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Ledgers(Collector):
    """What is read when somebody looks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._series()
        yield from self._gaps()
        yield from self._runs()
        yield from self._quotas()

    def _series(self) -> Iterator[GaugeMetricFamily]:
        names = {
            "series": "Series on record.",
            "bars": "Stored bars.",
            "failed": "Series whose last run failed.",
            "behind": "Series more than one session behind.",
        }
        sums = self._database.run(sum_series)
        for name, text in names.items():
            metric = "barfill_series" if name == "series" else f"barfill_series_{name}"
            family = GaugeMetricFamily(metric, text, labels=["timeframe"])
            for timeframe, one in sums.items():
                family.add_metric([timeframe.label], getattr(one, name))
            yield family

    def _gaps(self) -> Iterator[GaugeMetricFamily]:
        gaps = GaugeMetricFamily("barfill_gaps", "Gaps on record.", labels=["kind", "state"])
        bars = GaugeMetricFamily("barfill_gap_bars", "Expected bars in these gaps.", labels=["kind", "state"])
        for kind, count in counts_by_kind(self._database, GapChoice()).items():
            for family, name in ((gaps, "gaps"), (bars, "bars")):
                family.add_metric([kind, "open"], count[f"open_{name}"])
                family.add_metric([kind, "settled"], count[name] - count[f"open_{name}"])
        yield from (gaps, bars)

    def _runs(self) -> Iterator[GaugeMetricFamily]:
        names = {
            "runs": ("barfill_job_runs", "Runs that are kept."),
            "bars_written": ("barfill_job_runs_bars_written", "Bars that these runs wrote."),
            "calls": ("barfill_job_runs_calls", "Requests that these runs made."),
        }
        sums = self._database.run(sum_kept_runs)
        for name, (metric, text) in names.items():
            family = GaugeMetricFamily(metric, text, labels=["status"])
            for status, one in sums.items():
                family.add_metric([status], getattr(one, name))
            yield family

    def _quotas(self) -> Iterator[GaugeMetricFamily]:
        names = {
            "used": "Requests of the last 60 s.",
            "requests_per_minute": "Requests that may be made in 60 s.",
            "used_today": "Requests since 00:00 UTC.",
            "refused_today": "Of these, answered by 429.",
        }
        meters = self._database.run(read_meters)
        for name, text in names.items():
            family = GaugeMetricFamily(f"barfill_quota_{name}", text, labels=["provider", "key"])
            for one in meters:
                family.add_metric([one.provider, one.key_id], getattr(one, name))
            yield family
