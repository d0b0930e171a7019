"""`garcon history`: the history of an execution as JSON, in SWF's wire form.

One document, one event a line: `{"domain": ..., "execution": {"runId": ..., "workflowId": ...},
"events": [...]}`. `garcon replay` reads it, and so does anything that reads JSON. Law: each event
is written as it comes, so a history of any length takes the memory of one page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from garcon.backfill.asking import ask_history, execution_of
from garcon.backfill.locate import locate
from garcon.backfill.status import OutputLost
from garcon.history import epoch_s
from garcon.pool.command import enter_folder

READER_LEFT = 1


def run_history(told: Mapping[str, Any], out: TextIO) -> int:
    """Write the history of one execution; return the exit code: 1 if its reader went away.

    Raises:
        OutputLost: it cannot be written, for example because the disk is full.
    """
    enter_folder(told["chdir"])
    found = locate(told["workflow_id"], told["run_id"], told["domain"], told["engine"])
    events = ask_history(found.connect, found.domain, found.run)
    execution = execution_of(found.run)
    try:
        for piece in document(found.domain, execution, events):
            out.write(piece)
        out.flush()
    except BrokenPipeError:
        return READER_LEFT
    except OSError as error:
        raise OutputLost(error) from error
    return 0


def document(
    domain: str, execution: Mapping[str, str], events: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the text of the document, piece by piece."""
    head = json.dumps({"domain": domain, "execution": execution}, sort_keys=True)
    yield f'{head[:-1]}, "events": ['
    before = "\n"
    for event in events:
        wired = {**event, "eventTimestamp": round(epoch_s(event["eventTimestamp"]), 3)}
        yield before + json.dumps(wired, sort_keys=True, ensure_ascii=False)
        before = ",\n"
    yield "\n]}\n"
