"""What the supervisor asks of a zygote, as it travels on the command line.

Apart from both, so that the supervisor need not import what the zygote imports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from garcon.log import LogSettings


@dataclass(frozen=True)
class Order:
    """What the supervisor asks of a zygote.

    Attributes:
        flow: name of the flow, such as `flows.metrics`.
        control_fd: descriptor of the control socket.
        slate_fd: descriptor of the file in which tasks write how far they are.
        guard_fd: descriptor of the pipe whose end the guard waits for.
        parent: the supervisor's pid.
        path: the supervisor's sys.path.
        log: settings of the children's log, plain data.
        bare: whether children import the flow themselves.
    """

    flow: str
    control_fd: int
    slate_fd: int
    guard_fd: int
    parent: int
    path: tuple[str, ...] = ()
    log: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False

    def to_text(self) -> str:
        """Return the order as one argument of a command line."""
        return json.dumps(self.__dict__)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the zygote gets of its supervisor."""
        return self.control_fd, self.slate_fd, self.guard_fd

    @property
    def log_settings(self) -> LogSettings:
        """Where the children log to."""
        return LogSettings(**self.log)

    @classmethod
    def from_text(cls, text: str) -> Order:
        """Return the order that `to_text` wrote."""
        data = json.loads(text)
        return cls(**{**data, "path": tuple(data["path"])})
