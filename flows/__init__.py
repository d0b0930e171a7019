"""Runnable flows: samples that the tests run; they are not installed with the package."""
