"""Figures for Prometheus: what the page says, and that it disturbs nobody."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from garcon.errors import UsageError
from garcon.pool.metrics import PoolMetrics
from garcon.pool.tally import TaskEnd
from tests.contract.clients import hung_up
from tests.unit.test_status_view import a_document

DOCUMENT = a_document(
    domain="dev",
    workflow_type="metrics",
    polls=3,
    unanswered=2,
    tally={"completed": 12, "failed": 1, "handed_back": 0, "decisions": 5},
)


async def tell() -> dict:
    """Return the status of a pool."""
    return DOCUMENT


def figures(text: bytes) -> dict[tuple, float]:
    """Return the page's samples by name and labels, those by their names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_page_shows_the_pool():
    """Counts, places, memory and what waits; what is unknown is left out."""
    found = figures(asyncio.run(PoolMetrics(tell).text()))

    assert {
        ("garcon_tasks_total", "completed"): 12.0,
        ("garcon_tasks_total", "failed"): 1.0,
        ("garcon_decisions_total",): 5.0,
        ("garcon_children", "worker", "busy"): 1.0,
        ("garcon_children", "worker", "idle"): 0.0,
        ("garcon_children", "worker", "empty"): 1.0,
        ("garcon_children_wanted", "worker"): 2.0,
        ("garcon_memory_bytes", "worker"): 12_300_000.0,
        ("garcon_memory_bytes", "supervisor"): 50_000_000.0,
        ("garcon_backlog_tasks", "flow_fetch"): 1200.0,
        ("garcon_engine_reachable",): 1.0,
        ("garcon_tasks_unanswered",): 2.0,
        ("garcon_pool_info", "dev", "flows.metrics", "serving", "metrics"): 1.0,
    }.items() <= found.items()
    assert ("garcon_backlog_tasks", "flow") not in found
    assert ("garcon_tasks_total", "decisions") not in found


def test_the_times_of_tasks_are_collected_by_activity_and_outcome():
    """Seconds in buckets, CPU in a sum, memory at its largest."""
    metrics = PoolMetrics(tell)
    metrics.observe(TaskEnd("fetch", "completed", 0.3, cpu_s=0.25, peak_kb=2000))
    metrics.observe(TaskEnd("fetch", "completed", 40.0, cpu_s=0.5, peak_kb=1000))
    metrics.observe(TaskEnd("fetch", "handed_back", 0.0))

    found = figures(asyncio.run(metrics.text()))

    assert found["garcon_task_seconds_bucket", "fetch", "0.5", "completed"] == 1.0
    assert found["garcon_task_seconds_count", "fetch", "completed"] == 2.0
    assert found["garcon_task_seconds_count", "fetch", "handed_back"] == 1.0
    assert found["garcon_task_cpu_seconds_total", "fetch"] == 0.75
    assert found["garcon_task_peak_memory_bytes", "fetch"] == 2000 * 1024


def test_two_pools_in_one_process_share_nothing_and_the_global_registry_is_left_alone():
    """Another library's metrics are not shown, nor shown garcon's."""
    one, two = PoolMetrics(tell), PoolMetrics(tell)
    one.observe(TaskEnd("fetch", "completed", 1.0))

    assert b'activity="fetch"' not in asyncio.run(two.text())
    assert b"garcon_" not in prometheus_client.generate_latest()


def test_the_page_is_served_and_a_mistake_in_it_is_its_own():
    """Over HTTP, by the pool's loop; a failing page is an error 500 and no end of the pool."""

    async def broken() -> dict:
        raise KeyError("slot")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        metrics = PoolMetrics(tell)
        await metrics.start("127.0.0.1", 0)
        text = await loop.run_in_executor(None, read, metrics.url)
        assert ("garcon_decisions_total",) in figures(text)

        metrics._document = broken
        with pytest.raises(urllib.error.HTTPError, match="500"):
            await loop.run_in_executor(None, read, metrics.url)
        await metrics.close()

    asyncio.run(scenario())


def read(url: str) -> bytes:
    """Return what is at a URL."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        raise


@pytest.mark.parametrize("turns", range(6))
def test_a_pool_that_ends_leaves_no_reader_of_its_figures_behind(turns):
    """In whichever turn of the loop a client comes, it is hung up on."""

    async def scenario() -> None:
        metrics = PoolMetrics(tell)
        await metrics.start("127.0.0.1", 0)
        assert metrics._listener is not None
        address = metrics._listener.sockets[0].getsockname()
        with socket.create_connection(address) as early:
            await asyncio.sleep(0.01)
            with socket.create_connection(address) as late:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await metrics.close()
                await asyncio.sleep(0)
                assert hung_up(early)
                assert hung_up(late)

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_a_usage_error():
    """The command asked for what it cannot have: exit code 2, in one line."""

    async def scenario(port: int) -> None:
        await PoolMetrics(tell).start("127.0.0.1", port)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"--metrics 127.0.0.1:{port}: cannot listen there"):
            asyncio.run(scenario(port))


def test_a_pool_that_was_not_asked_for_figures_does_not_load_their_library():
    """Its start would pay for it."""
    program = (
        "import sys; import garcon.pool.command;"
        " sys.exit('prometheus_client' in sys.modules or 'aiohttp.web' in sys.modules)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
