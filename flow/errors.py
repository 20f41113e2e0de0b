"""Errors a user can meet: one line each, with the exit code the command line ends with.

Exit codes: 0 done, 1 nothing feasible found, 2 the user's input is wrong, 3 a tool failed or is missing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FlowError(Exception):
    """Base of every error this package raises on purpose. ``str(error)`` is one clear line."""

    exit_code = 3


class NothingFeasible(FlowError):
    """The search ended without a candidate that meets the spec."""

    exit_code = 1


class InputError(FlowError):
    """The user's input is wrong: an unknown name, a bad file, a contradictory setting."""

    exit_code = 2


class ToolError(FlowError):
    """A tool failed, was killed, or is missing."""

    exit_code = 3


class MissingDependency(ToolError):
    """An optional package is not installed; the message names the package and the extra."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: install it with `pip install 'fpga-nas-flow[{extra}]'`")


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A sentence that offers the known names nearest to ``name``, or lists them all if none is near.

    A ``prefix`` that all have, such as the dashes of options, does not count as likeness.
    """
    by_lower = {known_name.lower().removeprefix(prefix): known_name for known_name in sorted(known)}
    if not by_lower:
        return "there are none"
    close = difflib.get_close_matches(name.lower().removeprefix(prefix), by_lower, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(by_lower[c] for c in close)}?"
    return f"known: {', '.join(sorted(by_lower.values()))}"


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for an unknown board, space, data set, ..., with the nearest known names."""
    return InputError(f"unknown {what} {name!r}: {nearest(name, known)}")
