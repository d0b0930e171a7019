"""What a command without a pool works with: the flow, imported here, and its engine.

Law: nothing of the flow but its module is run, and nothing is started but a local engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garcon import client
from garcon.backfill.finding import Finder
from garcon.client import Engine
from garcon.description import FlowDescription
from garcon.flow import check_flow, describe, load_flow


@dataclass(frozen=True)
class Place:
    """A flow and its engine.

    Attributes:
        flow: the flow, a module or an object.
        description: its names and numbers.
        engine: where its executions are.
    """

    flow: Any
    description: FlowDescription
    engine: Engine

    @property
    def connect(self) -> Callable[[], Any]:
        """Returns a boto3 client of the engine, a local one started if need be."""
        return lambda: client.swf_client(self.engine)

    @property
    def finder(self) -> Finder:
        """The flow's executions."""
        return Finder(self.connect, self.description)


def find_place(flow_name: str, engine_word: str | None) -> Place:
    """Return the flow of this name, checked, and the engine that the words mean for it.

    Raises:
        FlowError: there is no such flow, or it cannot run.
        BootError: it raises while it is imported.
        UsageError: no such engine.
    """
    flow = load_flow(flow_name)
    check_flow(flow)
    description = describe(flow)
    engine = client.resolve_engine(
        engine_word,
        environ=os.environ,
        cwd=Path.cwd(),
        flow_endpoint=description.client_endpoint,
        flow_region=description.client_region,
    )
    return Place(flow, description, engine)
