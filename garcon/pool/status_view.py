"""The text of `garcon status`: one pool's document as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from garcon.progress import format_duration

#: Of an activity id the end tells instances apart; characters shown of it.
ID_SHOWN = 24

_HEADS = ("slot", "process", "pid", "state", "age", "memory", "cpu", "task")
_RIGHT = {"slot", "pid", "age", "memory", "cpu"}


def pool_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines that show one pool, from what `status_socket.ask_all` returns."""
    if "error" in document:
        return [f"pool {document['pid']}: {document['error']}"]
    children = [*document["workers"], *document["deciders"]]
    head = [
        str(document["flow"]),
        str(document["state"]),
        f"pid {document['pid']}",
        f"up {format_duration(document['uptime_s'])}",
    ]
    return [
        "  ".join(head),
        f"  engine   {_engine(document)}",
        f"  workers  {_workers(document)}",
        f"  tasks    {_tally(document)}",
        f"  backlog  {_backlog(document['backlog'])}",
        "",
        *("  " + line for line in _table([_row(one) for one in children])),
    ]


def _engine(document: Mapping[str, Any]) -> str:
    if document["engine"] is None:
        return "not chosen yet"
    return str(document["engine"]) + ("" if document["engine_reachable"] else " (unreachable)")


def _workers(document: Mapping[str, Any]) -> str:
    states = [one["state"] for one in document["workers"]]
    figures = [*document["workers"], *document["deciders"], document["supervisor"]]
    memory = sum(one["memory"] or 0 for one in figures)
    cpu = sum(one["cpu"] or 0.0 for one in figures)
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    wanted = document["wanted"].get("worker", 0)
    return f"{wanted} wanted: {counted or 'none'}; in all {_size(memory)}, {cpu:.2f} CPUs"


def _tally(document: Mapping[str, Any]) -> str:
    if not document["tally"]:
        return "none yet"
    counts = [f"{name.replace('_', ' ')} {count:,}" for name, count in document["tally"].items()]
    return ", ".join(counts) + f"; {document['rates_per_s']['completed']:.1f}/s completed lately"


def _backlog(backlog: Mapping[str, Any]) -> str:
    told = []
    for name, count in backlog.items():
        number = "?" if count is None else f"{count['tasks']:,}" + "+" * count["truncated"]
        told.append(f"{name} {number}")
    return ", ".join(told) or "not known"


def _row(child: Mapping[str, Any]) -> dict[str, str]:
    age_s, memory, cpu = child["age_s"], child["memory"], child["cpu"]
    return {
        "slot": str(child["slot"]),
        "process": str(child["kind"]),
        "pid": str(child["pid"] or ""),
        "state": str(child["state"]),
        "age": "" if age_s is None else format_duration(age_s),
        "memory": "" if memory is None else _size(memory),
        "cpu": "" if cpu is None else f"{cpu:.2f}",
        "task": "; ".join(_task(one) for one in child["tasks"]),
    }


def _task(task: Mapping[str, Any]) -> str:
    name = str(task.get("activity", "decision"))
    activity_id = str(task.get("id", ""))
    if len(activity_id) > ID_SHOWN:
        activity_id = "…" + activity_id[-ID_SHOWN:]
    parts = [name, activity_id, f"of {task['workflow']}", f"for {format_duration(task['for_s'])}"]
    attempt = int(task.get("attempt", 1))
    told = [f"attempt {attempt}" if attempt > 1 else "", "canceled" if task.get("canceled") else ""]
    more = ", ".join(filter(None, told))
    return " ".join(filter(None, parts)) + (f" ({more})" if more else "")


def _size(count: float) -> str:
    return f"{count / 1_000_000:.1f} MB"


def _table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    widths = {head: max(len(head), *(len(row[head]) for row in rows), 0) for head in _HEADS}
    heads = {head: head for head in _HEADS}
    return ["  ".join(_cell(row[head], head, widths[head]) for head in _HEADS).rstrip()
            for row in (heads, *rows)]  # fmt: skip


def _cell(text: str, head: str, width: int) -> str:
    return text.rjust(width) if head in _RIGHT else text.ljust(width)
