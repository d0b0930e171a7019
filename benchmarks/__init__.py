"""One question a file; each prints a small table. Run them on a quiet machine: `make bench`."""
