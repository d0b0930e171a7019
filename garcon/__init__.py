"""Generator-heavy batch flows on Amazon Simple Workflow Service, from a laptop to a fleet."""

# Known here, so that a checkout which is not installed can tell it too.
__version__ = "2.0.0"
