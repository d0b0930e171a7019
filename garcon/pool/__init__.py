"""The pool: one supervisor, and the processes that run a flow's decisions and activities."""
