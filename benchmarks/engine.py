"""How fast is the embedded engine, and does it stay so?

    python -m benchmarks.engine [--quick] [--no-moto]

Answers with ratios of runs that took turns, because absolute figures tell more about the machine:
poll + complete against an empty server of the same library, at three sizes of domain; against
moto's server; start-up and memory with 100,000 closed activities; the CPU of 1,000 waiting polls.
One client alone cannot ask an engine faster than it asks the empty server; so moto is measured by
one client, and by sixteen at once as a pool would be. One client is measured twice: as one that
writes bytes and reads them, which is the most that can be asked of a server, and as the pool's own
lean one (aiohttp, signed requests). moto's server needs flask, which is no dependency of garcon:
``pip install 'moto[server,swf]'``.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

if not __package__:  # run as a file: what it imports lies in the folder above its own
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _lean as lean
from benchmarks._report import Report

RUNS = 21
#: Activities of one timed run.
EACH = 300
#: How many of moto's activities are worked off: it needs seconds for each hundred.
OF_MOTO = 96
TURNS = 5
CLIENTS = 16
SIZES = (100, 10_000, 100_000)
LIST = {"name": "work"}

Work = Callable[[str, int], float]


def together(url: str, count: int) -> float:
    """Return the rate of sixteen clients."""
    return lean.work_together(url, count, CLIENTS)


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(url: str, name: str, count: int) -> None:
    """Leave closed activities behind."""
    for number in range(0, count, lean.OPEN):
        here = min(lean.OPEN, count - number)
        lean.schedule(url, f"{name}.{number}", here)
        together(url, here)
        lean.close(url)


def one_turn(url: str, name: str, count: int, work: Work) -> float:
    """Return the engine's rate over one run, which is closed behind it."""
    lean.schedule(url, name, count)
    found = work(url, count)
    lean.close(url)
    return found


def sizes(report: Report, folder: Path, wanted: tuple[int, ...], runs: int) -> None:
    """Measure engines whose domains are of different sizes, turn by turn with an empty server."""
    files = {size: folder / f"{size}.db" for size in wanted}
    with ExitStack() as stack:
        empty_url, _ = stack.enter_context(lean.served("-c", lean.EMPTY))
        served = {size: stack.enter_context(lean.engine(db)) for size, db in files.items()}
        urls = {size: url for size, (url, _) in served.items()}
        for size, url in urls.items():
            lean.prepare(url)
            fill(url, "fill", size)
        for who, work in (("bytes", lean.work), ("the pool's client", lean.work_as_pool)):
            beside_each_other(report, who, work, empty_url, urls, runs)
        memory = memory_mb(served[wanted[-1]][1])
        report.add(f"memory at {wanted[-1]:,}", "MB", [memory], 150.0, at_most=True)
    begun_s = time.perf_counter()
    with lean.engine(files[wanted[-1]]) as (url, pid):
        lean.Lean(url).call("ListDomains", registrationStatus="REGISTERED")
        report.add("start-up on that file", "s", [time.perf_counter() - begun_s], 2.0, at_most=True)
        report.add("start-up on that file: CPU", "s", [cpu_s(pid)])


def beside_each_other(
    report: Report, who: str, work: Work, empty_url: str, urls: dict[int, str], runs: int
) -> None:
    """Measure an empty server and engines of several sizes through one client, in rounds."""
    empty: list[float] = []
    found: dict[int, list[float]] = {size: [] for size in urls}
    for run in range(runs):
        empty.append(work(empty_url, EACH))
        for size, url in urls.items():
            found[size].append(one_turn(url, f"{who}.{run}", EACH, work))
    report.add(f"{who}: empty server", "pairs/s", empty)
    smallest, *_ = found
    for size, rates in found.items():
        what = f"{who}, {size:,} activities in the domain"
        report.add(f"{what}: engine", "tasks/s", rates)
        report.add(f"{what}: engine / empty server", "x", ratios(rates, empty), 0.6)
        if size != smallest:
            report.add(f"{what}: / {smallest:,}", "x", ratios(rates, found[smallest]), 0.9)


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Return how many times the rate of its neighbour each is."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def one_of_moto(name: str, url: str, count: int, work: Work) -> float:
    """Return a server's rate behind so many scheduled activities."""
    if name != "empty":
        lean.schedule(url, f"run{time.monotonic_ns()}", count)
    return work(url, OF_MOTO)


def against_moto(report: Report, count: int, runs: int, goal: float) -> None:
    """Measure the engine and moto's server with the same activities, turn by turn.

    Each run has servers of its own: all activities are scheduled, then some of them worked off.
    The fast sides do that a few times, because once is over in a moment.
    """
    for who, work, aim in (("one client", lean.work, None), ("16 clients", together, goal)):
        found: dict[str, list[float]] = {"empty": [], "engine": [], "moto": []}
        for _ in range(runs):
            with ExitStack() as stack:
                urls = {
                    "empty": stack.enter_context(lean.served("-c", lean.EMPTY))[0],
                    "engine": stack.enter_context(lean.engine(":memory:"))[0],
                    "moto": stack.enter_context(lean.served("-c", lean.MOTO))[0],
                }
                lean.prepare(urls["engine"])
                lean.prepare(urls["moto"])
                for name, url in urls.items():
                    turns = 1 if name == "moto" else TURNS
                    rates = [one_of_moto(name, url, count, work) for _ in range(turns)]
                    found[name].append(statistics.median(rates))
        what = f"{who}, {count:,} activities"
        for name, rates in found.items():
            report.add(f"{what}: {name}", "tasks/s", rates)
        for name in ("empty", "engine"):
            shares = ratios(found[name], found["moto"])
            report.add(f"{what}: {name} / moto", "x", shares, aim if name == "engine" else None)


def waiting_polls(report: Report, folder: Path, count: int) -> None:
    """Measure what many waiting polls cost."""
    with lean.engine(folder / "polls.db") as (url, pid):
        lean.prepare(url)
        host, _, port = url.removeprefix("http://").partition(":")
        ask = lean.request(url, "PollForActivityTask", {"domain": "dom", "taskList": LIST})
        sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
        for one in sockets:
            one.sendall(ask)
        time.sleep(2)
        before_s = cpu_s(pid)
        time.sleep(10)
        used_s = cpu_s(pid) - before_s
        report.add(f"{count:,} waiting polls: CPU of 10 s", "s", [used_s], 0.05, at_most=True)
        report.add(f"{count:,} waiting polls: memory", "MB", [memory_mb(pid)])
        for one in sockets:
            one.close()


def main() -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="the embedded engine by itself")
    parser.add_argument("--quick", action="store_true", help="10,000 activities, fewer runs")
    parser.add_argument("--no-moto", action="store_true", help="without moto's server")
    told = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    about = "poll + complete; sides take turns, ratios are of neighbours"
    report = Report("engine", about, quick=told.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes(report, folder, SIZES[:2] if told.quick else SIZES, 5 if told.quick else RUNS)
        waiting_polls(report, folder, 1_000)
        if not told.no_moto:
            against_moto(report, 100, 7, 20.0)
            if not told.quick:
                against_moto(report, 3_000, 3, 200.0)
    return int(report.show() > 0)


if __name__ == "__main__":
    sys.exit(main())
