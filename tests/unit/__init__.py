"""Pure and fast: no process, no socket, no sleep."""
