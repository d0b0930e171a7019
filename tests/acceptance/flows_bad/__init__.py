"""Flows that cannot run, each wrong in one way."""
