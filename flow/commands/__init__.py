"""One module a command: ``HELP``, ``arguments(parser)`` and ``run(args)``, which returns the exit code.

Modules of this package import what they need inside ``run``: ``flow --help`` loads them all.
"""

COMMANDS = (
    "boards",
    "spaces",
    "datasets",
    "doctor",
    "predict",
    "check",
    "search",
    "show",
    "report",
    "convert",
    "synth",
    "verify",
    "bitstream",
    "run",
    "calibrate",
    "reproduce",
    "compare",
)
"""The commands, in the order of ``flow --help``."""
