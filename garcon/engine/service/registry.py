"""Domains and types as they are committed, kept in memory because every start and schedule asks.

What it never does: change before the change is kept; a batch holds new records back until then.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from garcon.engine.core.model import Domain, TypeRecord

TypeKind = Literal["ActivityType", "WorkflowType"]
TypeKey = tuple[TypeKind, str, str, str]


class Registry:
    """The committed registrations."""

    def __init__(self) -> None:
        self.domains: dict[str, Domain] = {}
        self.types: dict[TypeKey, TypeRecord] = {}
        self.type_counts: Counter[tuple[TypeKind, str]] = Counter()

    def set_type(self, key: TypeKey, record: TypeRecord | None) -> None:
        """Adopt a new, changed or deleted (None) type."""
        known = key in self.types
        if record is None:
            if known:
                del self.types[key]
                self.type_counts[key[0], key[1]] -= 1
            return
        self.types[key] = record
        if not known:
            self.type_counts[key[0], key[1]] += 1
