"""The page of figures and its picture, made from what the benchmarks left.

Law: every figure on the page comes from a run; what is said about them comes from `_remarks.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks._report import figures_of, load, row

REMARKS = Path(__file__).parent / "_remarks.md"

#: By the name of a step: the question, and the command to redo it.
ASKED = {
    "throughput-noop": ("How many activities that do nothing?", "throughput noop"),
    "throughput-sleep": ("How many that sleep for 20 ms?", "throughput sleep"),
    "throughput-cpu": ("How many that use 10 ms of CPU?", "throughput cpu"),
    "latency": ("How long do one activity, and a chain of ten, take?", "latency"),
    "fanout": ("Does a year of countries go as fast as a month?", "fanout"),
    "engine": ("How fast is the embedded engine, and does it stay so?", "engine"),
}
PRINTED = {
    "pool": "How quickly does a pool begin, and how little does it hold?",
    "decider": "What does a decision cost?",
    "startup": "How long from the command until sixteen workers wait?",
    "metrics_run": "How long does the example job take?",
}
#: What the others can be measured by; no choice of a user's.
LIMITS = ("garcon on an empty server", "ProcessPoolExecutor")

HEAD = """# Benchmarks

Made by `python -m benchmarks`; each figure is the median of its runs, with the lowest and the
highest. Do not edit.

`make bench` measures everything anew: some 45 minutes of a quiet machine, Debian's `redis-server`
wanted. `make bench-quick` looks whether it runs. Results go to `results/benchmarks/`, the others'
environments as well; `python -m benchmarks --page` makes this page from them.
"""


def make(found: Path, into: Path) -> Path:
    """Write the page, and its picture where matplotlib is there (the extra `bench`).

    Args:
        found: folder with the results.
        into: folder of the page.
    Returns:
        The page.
    """
    parts = [HEAD]
    noop = load(found, "throughput-noop")
    if noop is not None and _draw(noop, into / "benchmarks.svg"):
        parts.append("![No-op activities a second](benchmarks.svg)\n")
    parts.append(REMARKS.read_text())
    for name, (asked, words) in ASKED.items():
        document = load(found, name)
        if document is not None:
            parts.append(f"{_head(asked, words)}{_section(document)}")
    for name, asked in PRINTED.items():
        kept = found / f"{name}.txt"
        if kept.exists() and kept.read_text().strip():
            parts.append(f"{_head(asked, name)}```text\n{kept.read_text().rstrip()}\n```\n")
    page = into / "benchmarks.md"
    page.write_text("\n".join(parts))
    return page


def _head(asked: str, words: str) -> str:
    return f"## {asked}\n\n`python -m benchmarks.{words}`\n\n"


def _section(document: dict[str, Any]) -> str:
    lines = [
        "| | median | lowest | highest | runs | unit | goal | met |",
        "|---|---:|---:|---:|---:|---|---|---|",
    ]
    lines += [f"| {' | '.join(row(one))} |" for one in figures_of(document)]
    versions = ", ".join(f"{name} {found}" for name, found in document["versions"].items())
    where = f"{document['when']}, {document['machine']}, load {document['load']} at the end"
    notes = "".join(f"- {note}\n" for note in document["notes"])
    told = f"\nCould not be measured:\n\n{notes}" if notes else ""
    about = f"{document['about']}. {where}; {versions}."
    return f"{about}\n\n" + "\n".join(lines) + f"\n{told}"


def _draw(document: dict[str, Any], path: Path) -> bool:
    """Draw the rates of all sides but the limits; return whether there is a picture."""
    try:
        import matplotlib
    except ImportError:
        print("no matplotlib (the extra `bench`): the picture stays as it was")
        return path.exists()
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "garcon"
    from matplotlib import pyplot

    rates = {
        one.name.partition(" (N")[0]: one
        for one in figures_of(document)
        if one.unit == "activities/s"
    }
    names = [name for name in rates if name not in LIMITS]
    names.sort(key=lambda name: rates[name].median)
    found = [rates[name] for name in names]
    middle = [one.median for one in found]
    spread = [
        [one.median - min(one.values) for one in found],
        [max(one.values) - one.median for one in found],
    ]
    colours = ["#2563eb" if name == "garcon" else "#9ca3af" for name in names]
    picture, axes = pyplot.subplots(figsize=(7, 0.4 * len(names) + 1))
    bars = axes.barh(names, middle, xerr=spread, color=colours, ecolor="#4b5563")
    axes.bar_label(bars, labels=[f"{one:,.0f}" for one in middle], padding=4)
    machine = document["machine"].partition(" (")[0]
    axes.set_xlabel(f"no-op activities a second, 16 slots, {machine}; median, lowest, highest")
    axes.spines[["top", "right"]].set_visible(False)
    picture.tight_layout()
    picture.savefig(path, metadata={"Date": None})
    pyplot.close(picture)
    return True
