"""Long runs, as scripts: exit code 0 is well, 1 is a broken promise. Not part of the suite."""
