"""Figures for Prometheus: `--metrics HOST:PORT`.

The registry is this pool's own, so nothing of another library is told and nothing is counted twice.
Counts and gauges are made from the status document when somebody asks; only the tasks' times are
observed as they end. Law: imported only by a pool that was asked for it, which everybody else's
start need not pay for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from garcon.errors import UsageError
from garcon.log import log_event
from garcon.pool.listener import close_listener
from garcon.pool.tally import TaskEnd

logger = logging.getLogger("garcon.pool")

#: Bounds of the tasks' times, seconds: from a query to an hour's work.
BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

#: What a page that is being made or read is given when the pool ends, seconds.
_END_S = 1.0

Document = dict[str, Any]


class _FromStatus(Collector):
    """Turns the last status document into metrics."""

    def __init__(self) -> None:
        self.document: Document = {}

    def collect(self) -> Iterator[Metric]:
        document = self.document
        if not document:
            return
        yield _info(document)
        yield _gauge("garcon_uptime_seconds", "Since the pool was started.", document["uptime_s"])
        reachable = float(document["engine_reachable"])
        yield _gauge("garcon_engine_reachable", "1 while the engine answers.", reachable)
        yield _gauge("garcon_polls_waiting", "Polls for tasks under way.", document["polls"])
        yield _gauge("garcon_tasks_unanswered", "Tasks in hand.", document["unanswered"])
        yield from _counts(document["tally"])
        yield from _children(document)
        yield _backlog(document["backlog"])


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _info(document: Document) -> Metric:
    names = ("flow", "domain", "workflow_type", "state")
    family = GaugeMetricFamily("garcon_pool_info", "Which pool this is; always 1.", labels=names)
    family.add_metric([str(document[name] or "") for name in names], 1.0)
    return family


def _counts(tally: dict[str, int]) -> Iterator[Metric]:
    tasks = CounterMetricFamily(
        "garcon_tasks", "Activity tasks by how they ended.", labels=("outcome",)
    )
    for outcome in (name for name in tally if name != "decisions"):
        tasks.add_metric([outcome], tally[outcome])
    yield tasks
    decisions = tally.get("decisions", 0)
    yield CounterMetricFamily("garcon_decisions", "Decision tasks answered.", value=decisions)


def _children(document: Document) -> Iterator[Metric]:
    by_kind = {"worker": document["workers"], "decider": document["deciders"]}
    states = GaugeMetricFamily(
        "garcon_children", "Places of the pool by what they do.", labels=("kind", "state")
    )
    memory = GaugeMetricFamily("garcon_memory_bytes", "Private memory.", labels=("kind",))
    cpu = GaugeMetricFamily("garcon_cpu_cores", "CPUs in use.", labels=("kind",))
    for kind, children in by_kind.items():
        told = [one["state"] for one in children]
        for state in dict.fromkeys(("busy", "idle", *told)):
            states.add_metric([kind, state], told.count(state))
    for kind, figures in {**by_kind, "supervisor": [document["supervisor"]]}.items():
        memory.add_metric([kind], sum(one["memory"] or 0 for one in figures))
        cpu.add_metric([kind], sum(one["cpu"] or 0.0 for one in figures))
    wanted = GaugeMetricFamily("garcon_children_wanted", "Places wanted.", labels=("kind",))
    for kind, count in document["wanted"].items():
        wanted.add_metric([kind], count)
    yield from (states, wanted, memory, cpu)


def _backlog(backlog: dict[str, Any]) -> Metric:
    family = GaugeMetricFamily(
        "garcon_backlog_tasks", "Tasks that wait at the engine.", labels=("task_list",)
    )
    for name, count in backlog.items():
        if count is not None:
            family.add_metric([name], count["tasks"])
    return family


class PoolMetrics:
    """The figures of one pool and the page that shows them."""

    def __init__(self, document: Callable[[], Awaitable[Document]]) -> None:
        """Make figures of what `document` returns."""
        self._document = document
        self._registry = CollectorRegistry()
        self._from_status = _FromStatus()
        self._registry.register(self._from_status)
        self._seconds = Histogram(
            "garcon_task_seconds",
            "What tasks took, from the moment at which a worker had them.",
            ("activity", "outcome"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._cpu = Counter(
            "garcon_task_cpu_seconds",
            "CPU seconds that tasks used.",
            ("activity",),
            registry=self._registry,
        )
        self._peak = Gauge(
            "garcon_task_peak_memory_bytes",
            "The largest resident size of a worker under a task so far.",
            ("activity",),
            registry=self._registry,
        )
        self._peaks: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        #: Where the page is, once it is served.
        self.url = ""

    def observe(self, end: TaskEnd) -> None:
        """Count one task's end."""
        self._seconds.labels(end.activity, end.outcome).observe(end.seconds)
        if end.cpu_s is not None:
            self._cpu.labels(end.activity).inc(end.cpu_s)
        if end.peak_kb is not None and end.peak_kb > self._peaks.get(end.activity, 0):
            self._peaks[end.activity] = end.peak_kb
            self._peak.labels(end.activity).set(1024 * end.peak_kb)

    async def start(self, host: str | None, port: int) -> None:
        """Serve `/metrics` there.

        Args:
            host: address to listen at; None for all of this machine.
            port: port; 0 for a free one.
        Raises:
            UsageError: nobody can listen there.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._page)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_END_S)
        await runner.setup()
        assert runner.server is not None
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(runner.server, host, port)
        except OSError as error:
            await runner.cleanup()
            # asyncio puts a sentence with the address in the place of the system's word.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror or error
            raise UsageError(f"--metrics {host or ''}:{port}: cannot listen there: {why}") from None
        self._runner = runner
        address = self._listener.sockets[0].getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.url = f"http://{shown}:{address[1]}/metrics"

    async def close(self) -> None:
        """Serve no more."""
        if self._listener is not None:
            await close_listener(self._listener)
        if self._runner is not None:
            await self._runner.cleanup()

    async def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        self._from_status.document = await self._document()
        # Made in one go on the loop: a few hundred lines, well under a millisecond each hundred.
        return generate_latest(self._registry)

    async def _page(self, _: web.Request) -> web.Response:
        try:
            text = await self.text()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log_event(logger, logging.ERROR, "status.failed", exc_info=error)
            return web.Response(status=500, text=f"{type(error).__name__}: {error}\n")
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
