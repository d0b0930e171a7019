"""The page docs/benchmarks.md and its picture, made from what the benchmarks left.

Law: every figure on the page comes from a run; what is said about them comes from `_remarks.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, figures_of, load, row

DOCS = Path(__file__).resolve().parents[1] / "docs"
REMARKS = Path(__file__).parent / "_remarks.md"

ASKED = {
    "throughput": "How many activities a second, against what else a user would pick?",
    "latency": "How long do one activity, and a chain of ten, take?",
    "fanout": "Does a year of countries go as fast as a month?",
}
PRINTED = {
    "engine": "How fast is the embedded engine, and does it stay so?",
    "pool": "How quickly does a pool begin, and how little does it hold?",
    "decider": "What does a decision cost?",
    "startup": "How long from the command until sixteen workers wait?",
    "metrics_run": "How long does the example job take?",
}


def make() -> None:
    """Write the page, and its picture where matplotlib is there (the extra `bench`)."""
    parts = [
        "# Benchmarks\n",
        "Made by `python -m benchmarks`; each figure is the median of its runs, with the lowest "
        "and the highest. Do not edit.\n",
        "`make bench` measures everything anew (an hour on a quiet machine, Debian's "
        "`redis-server` wanted), `make bench-quick` looks whether it runs. Results go to "
        "`results/benchmarks/`, the others' environments as well.\n",
    ]
    found = load("throughput")
    if found is not None and _draw(found):
        parts.append("![No-op activities a second](benchmarks.svg)\n")
    parts.append(REMARKS.read_text())
    for question, asked in ASKED.items():
        document = load(question)
        if document is not None:
            parts.append(_section(question, asked, document))
    for question, asked in PRINTED.items():
        kept = RESULTS / f"{question}.txt"
        if kept.exists() and kept.read_text().strip():
            text = kept.read_text().rstrip()
            parts.append(_titled(question, asked) + f"```text\n{text}\n```\n")
    (DOCS / "benchmarks.md").write_text("\n".join(parts))


def _titled(question: str, asked: str) -> str:
    return f"## {asked}\n\n`python -m benchmarks.{question}`\n\n"


def _section(question: str, asked: str, document: dict[str, Any]) -> str:
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
    return _titled(question, asked) + f"{about}\n\n" + "\n".join(lines) + f"\n{told}"


def _draw(document: dict[str, Any]) -> bool:
    """Draw the rates of the no-op body; return whether it could be."""
    try:
        import matplotlib
    except ImportError:
        return (DOCS / "benchmarks.svg").exists()
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "garcon"
    from matplotlib import pyplot

    figures = [
        one
        for one in figures_of(document)
        if one.unit == "activities/s" and one.name.startswith("noop, ")
    ]
    figures = [one for one in figures if "ProcessPoolExecutor" not in one.name][::-1]
    names = [one.name.removeprefix("noop, ").partition(" (N")[0] for one in figures]
    colours = ["#2563eb" if name == "garcon" else "#9ca3af" for name in names]
    picture, axes = pyplot.subplots(figsize=(7, 0.4 * len(names) + 1))
    axes.barh(names, [one.median for one in figures], color=colours)
    axes.set_xlabel("no-op activities a second, 16 slots, 2 CPUs")
    axes.spines[["top", "right"]].set_visible(False)
    picture.tight_layout()
    picture.savefig(DOCS / "benchmarks.svg", metadata={"Date": None})
    pyplot.close(picture)
    return True
