"""One real neighbour each: SQLite, HTTP, a process."""
