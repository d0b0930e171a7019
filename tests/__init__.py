"""Tests: unit (pure, fast), contract (real HTTP, SQLite, processes), acceptance (commands)."""
