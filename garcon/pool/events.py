"""The names under which the pool logs what happens, and what each of them means.

Who reads a pool's log by machine reads these names, so they are a contract: none is written that
is not in this list, none is in it that is never written, and docs/logging.md shows the list as it
is here. Law: a name is `thing.what-happened`, and is never given another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One thing that can happen.

    Attributes:
        level: at which it is logged, by logging's name; several where it depends.
        meaning: what has happened, and what an operator may do about it.
    """

    level: str
    meaning: str


#: Every event of the pool's log, by its name.
EVENTS: Mapping[str, Event] = {
    # The pool as a whole.
    "pool.ready": Event("INFO", "All workers are up and tasks are asked for."),
    "pool.stopping": Event(
        "INFO",
        "TERM or INT came, the execution closed, or the pool cannot go on, or not even begin: "
        "running tasks may end, no more are taken.",
    ),
    "pool.killing": Event(
        "WARNING",
        "Who still works is killed, and its tasks go back to SWF as lost: the time of the drain is "
        "over (`--drain-timeout`), or a second TERM or INT came.",
    ),
    "pool.reloading": Event(
        "INFO", "HUP came: the flow is imported anew; its new workers replace the present ones."
    ),
    "pool.accident": Event(
        "ERROR", "A mistake of garcon's own, with its traceback; the pool stops. Please report it."
    ),
    "pool.note": Event(
        "INFO",
        "`text` is a line for people, in a log of JSON lines: a note of the pool, or what a task "
        "or Python itself wrote to stderr.",
    ),
    "status.unserved": Event("WARNING", "`garcon status` cannot see this pool; `why` tells."),
    "status.failed": Event("ERROR", "A mistake of garcon's own while it told its status."),
    "metrics.served": Event("INFO", "Prometheus may ask for figures at `url`."),
    "descriptors.short": Event(
        "WARNING",
        "Nobody can connect to the pool's status or metrics: it has no file descriptor free of "
        "its `bound`. The work goes on; told once a minute at most.",
    ),
    # Its processes.
    "slot.left": Event("DEBUG", "A child has gone as it was asked to."),
    "slot.died": Event(
        "WARNING", "A child has died, as `status` says; the next is forked after `again_s`."
    ),
    "slot.unforked": Event(
        "WARNING", "No child could be forked: no memory, process ids or file descriptors."
    ),
    "slot.boot_overdue": Event("WARNING", "A child was not ready in time and is killed."),
    "zygote.died": Event(
        "WARNING", "The process that forks the children died, and they with it; it starts anew."
    ),
    "reload.failed": Event(
        "WARNING", "After HUP the flow could not be imported; the pool runs on as it was."
    ),
    "import.failed": Event(
        "ERROR", "The flow raised while it was imported, at the start or after HUP; with traceback."
    ),
    "import.slow": Event(
        "WARNING",
        "The flow is still being imported, by the process `pid`, after so many `seconds`; after "
        "`limit_s` it is ended. Told at 10, 20 and 40 s; a TERM or INT is obeyed meanwhile.",
    ),
    "child.torn": Event("ERROR", "A child sent what is no message, or broke off inside one."),
    "child.silent": Event(
        "WARNING", "A child has closed its connection, or sent what is no message; it is killed."
    ),
    "child.stopped": Event(
        "WARNING", "A child was stopped by a signal and would do no more work; it is replaced."
    ),
    "child.stacks": Event(
        "WARNING", "A child is asked where it is in its code; its stacks follow."
    ),
    "child.stack": Event(
        "WARNING", "A line of them; in a text log without a file it stands on stderr as it is."
    ),
    "child.deaf": Event("DEBUG", "A child could not be told to leave; its deadline ends it."),
    "worker.deaf": Event("WARNING", "A worker does not take what it is sent."),
    "worker.worn": Event(
        "INFO", "A worker has had its share, as `why` says, and is replaced after its task."
    ),
    "memory.low_bound": Event(
        "WARNING",
        "--max-memory is less than what any worker takes, as `why` says; it counts above that. "
        "Told once.",
    ),
    # Activity tasks.
    "task.done": Event(
        "DEBUG",
        "A task has ended: `outcome`, `seconds`, and what it used: `cpu_s`, `peak_kb` (the largest "
        "resident size of its worker meanwhile).",
    ),
    "task.failed": Event("WARNING", "A task failed by its own code; `reason` is what SWF is told."),
    "task.overdue": Event(
        "WARNING", "A task took longer than its start-to-close; its worker's stacks follow."
    ),
    "task.deaf": Event(
        "WARNING", "A canceled or vanished task did not end in its grace; its worker is ended."
    ),
    "task.oversized": Event(
        "WARNING", "A task took its worker far past `--max-memory`; the worker is killed."
    ),
    "task.lost": Event("WARNING", "The worker of a task died; SWF is told, the task runs again."),
    "task.handed_back": Event("INFO", "A task goes back to SWF unrun, and is scheduled again."),
    "task.vanished": Event(
        "WARNING", "SWF knows a running task no more: it timed out there, or its execution closed."
    ),
    # Decisions.
    "decision.again": Event(
        "WARNING or INFO", "A decision could not be made; SWF is made to ask again at once."
    ),
    "decision.impossible": Event(
        "ERROR", "An execution is failed, since its decisions cannot be made; `why` tells."
    ),
    "schedule.throttled": Event(
        "WARNING", "SWF refused schedules for their rate; the pool halves its own for a minute."
    ),
    "shards.unknown": Event(
        "WARNING", "Which shards a failing execution has could not be read; they are left: `why`."
    ),
    "shard.left": Event(
        "WARNING", "A shard could not be terminated; it goes on, or ends with its parent: `why`."
    ),
    "run.kept": Event(
        "INFO",
        "Another pool decides this execution too: its decisions come to this one alone, by `list`, "
        "for as long as they are taken in time.",
    ),
    "decisions.made": Event(
        "INFO",
        "What the pool has decided, at its end: `decisions`, and the events that its deciders were "
        "given for them: `events_polled`, `events_read` besides, `events_checked` for self-checks.",
    ),
    "decision.note": Event("INFO", "What the decider wants to be known of an execution."),
    # The engine.
    "engine.lost": Event("WARNING", "The engine cannot be reached; told once, tried on."),
    "control.again": Event(
        "WARNING or INFO",
        "A rare call found no engine, `why` tells at which URL; it is made again after `again_s`, "
        "up to `left` times. WARNING where a pool that has not begun meets it first: it ends with "
        "4 when none is left.",
    ),
    "engine.back": Event("INFO", "The engine is reached again."),
    "engine.not_started": Event("ERROR", "The local engine could not be started again."),
    "type.registered": Event("INFO", "A domain or type was registered for the first time."),
    "poll.failed": Event("WARNING", "A poll was refused or throttled; its list rests `pause_s`."),
    "answer.again": Event(
        "WARNING",
        "The engine answers, but cannot keep what it is told (its disk may be full; its log says): "
        "tried on.",
    ),
    "answer.lost": Event("ERROR", "An answer could not be delivered in the time of its task."),
    "answer.refused": Event(
        "ERROR or WARNING", "The engine refused an answer; WARNING where it knows the task no more."
    ),
    "look.failed": Event("INFO", "The execution that is waited for could not be looked at."),
    "credentials.not_renewed": Event(
        "WARNING", "AWS credentials could not be renewed; the present ones are used up."
    ),
    # What another pool of this host left.
    "journal.found": Event(
        "WARNING or INFO",
        "A pool died with tasks in hand, and this one answers for it; INFO where all that was left "
        "is the list of a pool, which may have been stopped in order.",
    ),
    "journal.refused": Event("INFO", "SWF knew one of a dead pool's tasks no more."),
    "journal.kept": Event(
        "WARNING", "A dead pool's tasks could not be answered; the next pool tries again."
    ),
    "journal.not_written": Event(
        "WARNING", "The journal cannot be written: should this pool die, its tasks time out."
    ),
    # The log itself.
    "log.dropped": Event("WARNING", "So many records found no room while the log's reader stood."),
}


def as_table() -> str:
    """Return the events as the table of docs/logging.md."""
    rows = [f"| `{name}` | {one.level} | {one.meaning} |" for name, one in EVENTS.items()]
    return "\n".join(["| event | level | meaning |", "|---|---|---|", *rows])
