"""Flows whose import or tasks do what a pool has to live through."""
