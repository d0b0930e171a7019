"""Backfills: ranges of days as executions, planned, run, resumed, looked at and reported."""
