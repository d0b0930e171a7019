"""The engine at work: batches over the store, task lists, waiting polls, deadlines, operations."""
