"""A flow that cannot be imported."""

raise RuntimeError("the table of countries\nis missing")
