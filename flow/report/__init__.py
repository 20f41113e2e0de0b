"""What a person or a CI job reads: tables, the run report, and the display while a search runs.

Everything here reads; nothing but ``html.write_report`` writes a file. Start with ``run_view.load_run``, which turns a
run directory into a checked ``RunView``; ``winners``, ``show`` and ``html`` present it, and ``progress`` is what a
search talks to while it runs. Nothing is imported here, so that a plain table costs no template engine.
"""
