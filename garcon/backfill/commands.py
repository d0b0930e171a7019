"""The words of `garcon backfill FLOW VERB`, and of `report`, `history`, `try` and `doctor`.

Here stand options and help only; what a verb does is in a module of its own. Each command returns
its exit code, and `garcon.cli` ends with it. Law: a verb imports what it needs when it is called,
so that a usage error costs no start.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from garcon.backfill.days import EACH
from garcon.pool import options

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOG = """\b
Exit codes:
  0  completed, now or before; skipped because it was open
  1  closed otherwise than completed
  2  usage    3  workers cannot boot    4  engine unreachable or refuses
  5  open, and --overlap fail or a resume of a part says that it must not be
  6  interrupted before it closed: the same line goes on with it

\b
Examples:
  garcon backfill flows.metrics plan --days last-7
  garcon backfill flows.metrics run --days 2026-01-01..2026-01-31 --procs 16
  garcon backfill flows.metrics run --catch-up --tz Europe/Paris --quiet
  garcon backfill flows.metrics resume --days 2026-01-01..2026-01-31 --keys country=FR
"""


def _examples(*lines: str) -> str:
    """Return the end of a help page that shows commands to copy."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


@click.group(context_settings=CONTEXT, subcommand_metavar="VERB [OPTIONS]", epilog=EPILOG)
@click.argument("flow")
@click.pass_context
def backfill(context: click.Context, flow: str) -> None:
    """Run FLOW over days; each range of days is one execution.

    A range is run once; what was cut off or failed is taken up where it was left.

    FLOW is a module such as flows.metrics, or module:attribute such as flows.coffee:workflow.
    """
    context.obj = flow


_place_options = options.options(options.ENGINE, options.CHDIR)

_range_options = options.options(
    click.option(
        "--days", metavar="RANGE",
        help="2026-01-01..2026-01-31, one day, yesterday, today or last-7. They go into the input "
        "as start and end.",
    ),
    click.option(
        "--tz", metavar="ZONE",
        help="Whose days yesterday, today and last-7 are, such as Europe/Paris.  "
        "[default: this machine's]",
    ),
    click.option(
        "--each", type=click.Choice(EACH),
        help="One execution for each of these instead of one for the range.",
    ),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE",
        help="Add to the input; the value is JSON, or else text. May be repeated.",
    ),
    click.option(
        "--input", "input_text", metavar="JSON|@FILE", help="The input beside the days."
    ),
)  # fmt: skip

_standing_options = options.options(
    click.option(
        "--catch-up", is_flag=True,
        help="The days that no completed execution covers: those of --days, else since the first "
        "completed day up to yesterday.",
    ),
    click.option(
        "--max-days", type=click.IntRange(1, 36_600), metavar="N",
        help="How many days a catch-up looks back.",
    ),
    click.option("--again", is_flag=True, help="Run what completed once more, all of it."),
    click.option(
        "--overlap", type=click.Choice(["skip", "join", "fail"]), default="join",
        show_default=True,
        help="When the range, or days of it, are in an open execution: leave it to that, work on "
        "it first, or end with exit code 5.",
    ),
)  # fmt: skip

_pool_options = options.options(
    click.option("--no-workers", is_flag=True,
                 help="Start and watch only: pools that serve the flow do the work."),
    click.option("--open", "open_max", type=click.IntRange(1, 1000), default=1, show_default=True,
                 metavar="N", help="Executions of this command that are open at once."),
    click.option("--quiet", is_flag=True, help="Say nothing unless it goes wrong."),
    click.option("--report", type=click.Path(dir_okay=False), metavar="FILE.html",
                 help="At the end write a page about all of it; see `garcon report`."),
    options.SIZE,
    options.PRIORITY,
    options.WORK,
    options.JSON,
    options.LOG,
)  # fmt: skip


@backfill.command(
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon backfill flows.metrics plan --days last-7",
        "garcon backfill flows.metrics plan --catch-up --tz Europe/Paris --json",
    ),
)
@_range_options
@_standing_options
@click.option("--json", "as_json", is_flag=True, help="The whole plan as one JSON object.")
@_place_options
@click.pass_context
def plan(context: click.Context, /, **told: Any) -> int:
    """Show what `run` with the same options would do now.

    It starts nothing but a local engine. Exit code 0: it could be done; 1: a generator raises; 5:
    --overlap fail says no.
    """
    from garcon.backfill.plan import run_plan

    return run_plan({**told, "flow": context.obj}, sys.stdout, sys.stderr)


@backfill.command(
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon backfill flows.metrics run --days 2026-01-01..2026-01-31 --procs 16",
        "garcon backfill flows.metrics run --days last-7 --each day --open 3",
        "garcon backfill flows.metrics run --catch-up --tz Europe/Paris --quiet",
    ),
)
@_range_options
@_standing_options
@_pool_options
@_place_options
@click.pass_context
def run(context: click.Context, /, **told: Any) -> int:
    """Bring the days to completion: start, join or resume.

    Days that are done are not run again. The exit codes are those of `garcon backfill --help`.
    """
    from garcon.backfill.running import run_backfill

    return run_backfill({**told, "flow": context.obj}, sys.stdout, sys.stderr)


@backfill.command(
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon backfill flows.metrics resume --days 2026-01-01..2026-01-31",
        "garcon backfill flows.metrics resume --days last-7 --activity country_day \\",
        "    --keys country=FR --keys country=DE",
    ),
)
@_range_options
@click.option("--only-failed", is_flag=True, help="Only what failed, not what never ran.")
@click.option("--activity", "selected", multiple=True, metavar="NAME",
              help="Only this activity. May be repeated.")  # fmt: skip
@click.option("--keys", multiple=True, metavar="KEY=VALUE,...",
              help="Only instances with these keys, such as day=2026-01-05,country=FR; values may "
              "be quoted. May be repeated.")  # fmt: skip
@_pool_options
@_place_options
@click.pass_context
def resume(context: click.Context, /, **told: Any) -> int:
    """Run what an earlier execution of the days left undone.

    The results of what it completed are taken over. Nothing is started for days that never ran.
    """
    from garcon.backfill.running import run_backfill

    return run_backfill({**told, "flow": context.obj, "resume_only": True}, sys.stdout, sys.stderr)


@backfill.command(
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon backfill flows.metrics status",
        "garcon backfill flows.metrics status --days 2026-01-01..2026-01-31 --each day --watch",
    ),
)
@_range_options
@click.option("--watch", is_flag=True, help="Go on until nothing of it is open.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each range.")
@_place_options
@click.pass_context
def status(context: click.Context, /, **told: Any) -> int:
    """Show how the days stand.

    Without days: what is open, or else what closed last. Exit code 0: completed; 1: something
    closed otherwise or was never started; 6: still open.
    """
    from garcon.backfill.status import run_status

    return run_status({**told, "flow": context.obj}, sys.stdout)


@backfill.command(
    "list",
    context_settings=CONTEXT,
    epilog=_examples("garcon backfill flows.metrics list --limit 10"),
)
@_range_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N",
              help="How many at most, the newest first.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each execution.")
@_place_options
@click.pass_context
def list_(context: click.Context, /, **told: Any) -> int:
    """List the executions of the flow, or of these days."""
    from garcon.backfill.status import run_list

    return run_list({**told, "flow": context.obj}, sys.stdout)


@backfill.command(
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon backfill flows.metrics cancel --days 2026-01-01..2026-01-31",
        "garcon backfill flows.metrics cancel --all --terminate",
    ),
)
@_range_options
@click.option("--all", "every", is_flag=True, help="Every open execution of the flow.")
@click.option("--terminate", is_flag=True, help="End it at once, whatever runs.")
@_place_options
@click.pass_context
def cancel(context: click.Context, /, **told: Any) -> int:
    """Ask the open executions of the days to stop.

    What they completed stays, and `run` or `resume` goes on from there.
    """
    from garcon.backfill.status import run_cancel

    return run_cancel({**told, "flow": context.obj}, sys.stdout)


_locate_options = options.options(
    click.option("--domain", metavar="DOMAIN",
                 help="SWF's domain.  [default: the one that has the execution]"),
)  # fmt: skip


@click.command(
    context_settings=CONTEXT,
    epilog=_examples("garcon report metrics-09b49414bb664b87 -o january.html"),
)
@click.argument("workflow_id")
@click.argument("run_id", required=False)
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE",
              help="Where to.  [default: report-WORKFLOW_ID.html]")  # fmt: skip
@_locate_options
@_place_options
def report(**told: Any) -> int:
    """Write an execution's histories as one HTML page.

    The path is printed. The newest execution of WORKFLOW_ID, or the one of RUN_ID; open or closed,
    on AWS as well.
    """
    from garcon.backfill.reporting import run_report

    return run_report(told, sys.stdout, sys.stderr)


@click.command(
    context_settings=CONTEXT,
    epilog=_examples("garcon history metrics-09b49414bb664b87 > history.json"),
)
@click.argument("workflow_id")
@click.argument("run_id", required=False)
@_locate_options
@_place_options
def history(**told: Any) -> int:
    """Write an execution's history as JSON, for `garcon replay`.

    It goes to stdout. The newest execution of WORKFLOW_ID, or the one of RUN_ID; open or closed, on
    AWS as well.
    """
    from garcon.backfill.dump import run_history

    return run_history(told, sys.stdout)


@click.command(
    "try",
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon try flows.metrics country_day --days 2026-01-05 --key country=FR --pdb",
    ),
)
@click.argument("flow")
@click.argument("activity")
@click.option("--key", "keys", multiple=True, metavar="KEY=VALUE,...",
              help="Which instance, such as day=2026-01-05,country=FR.")  # fmt: skip
@click.option("--pdb", "debug", is_flag=True, help="Look into it with pdb where it raises.")
@_range_options
@_place_options
def try_(**told: Any) -> int:
    """Run one instance of ACTIVITY in this process, for a debugger.

    Its result is printed. It sees the input and, if the range was ever started, the results of its
    newest execution. Nothing is told to the engine. Exit code 1: it raised.
    """
    from garcon.backfill.tryout import run_try

    return run_try(told, sys.stdout, sys.stderr)


@click.command(
    context_settings=CONTEXT,
    epilog=_examples(
        "garcon doctor flows.metrics",
        "garcon doctor flows.metrics --days 2026-01-01..2026-12-31 --engine aws",
    ),
)
@click.argument("flow")
@_range_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each finding.")
@_place_options
def doctor(**told: Any) -> int:
    """Check everything that running FLOW depends on.

    Whatever is wrong is told with its mend. With days or an input it also foresees how large that
    would be. Exit code 0: nothing is wrong; 1: something is; 4: the engine cannot be used.
    """
    from garcon.backfill.doctor import run_doctor

    return run_doctor(told, sys.stdout)
