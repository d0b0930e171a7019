"""Generator-heavy batch flows on Amazon Simple Workflow Service, from a laptop to a fleet."""
