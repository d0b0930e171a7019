"""What is kept: one SQLite file in WAL mode. All SQL of the engine stands in this room."""
