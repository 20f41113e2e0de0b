"""One module a command: ``HELP``, ``arguments(parser)`` and ``run(args)``, which returns the exit code.

Modules of this package import what they need inside ``run``: ``flow --help`` loads them all.
"""

COMMANDS = (
    "boards",
    "spaces",
    "datasets",
    "doctor",
    "predict",
    "search",
    "show",
    "report",
    "calibrate",
    "reproduce",
)
"""The commands, in the order of ``flow --help``."""
