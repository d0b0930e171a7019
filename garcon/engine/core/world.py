"""What the rules may ask about the world around one execution.

What it never does: answer; that is the service's part. Its one law: asking changes nothing but the
level of a rate's bucket.
"""

from __future__ import annotations

from typing import Protocol

from garcon.engine.core.model import TypeRecord


class World(Protocol):
    """What decisions may ask about the rest of the engine (reading only)."""

    def activity_type(self, domain: str, name: str, version: str) -> TypeRecord | None:
        """A registered or deprecated activity type."""

    def workflow_type(self, domain: str, name: str, version: str) -> TypeRecord | None:
        """A registered or deprecated workflow type."""

    def open_executions(self, domain: str) -> int:
        """Open executions in the domain."""

    def mint_run_id(self) -> str:
        """A new run id."""

    def allow(self, decision_type: str, task_list: str | None = None) -> bool:
        """Whether the rates for such decisions permit one more; takes a token.

        Args:
            decision_type: The account's rate that is asked.
            task_list: The list, with its domain, that a task would go to and whose own rate is
                asked too.
        """

    def has_lambda(self) -> bool:
        """Whether this engine can run functions at all."""
