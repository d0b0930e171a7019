"""An SWF-compatible workflow engine in one SQLite file, spoken to over SWF's own HTTP protocol.

The rooms, from the inside out: ``core`` decides (pure), ``store`` keeps (the only SQL),
``service`` runs batches, task lists and deadlines over both, ``http`` speaks the wire. It never
imports the rest of the package and is imported by it only through ``garcon.engine.ensure``.

Its one law: what was answered is kept, and nothing is answered before it is kept.
"""
