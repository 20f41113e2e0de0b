"""A tclsh from Python's tkinter, for machines that have none: ``python -m fake_vendor.tcl SCRIPT ARGUMENTS``."""

from __future__ import annotations

import os
import sys
import tkinter


def run(script: str, arguments: list[str]) -> None:
    """Run a Tcl script without a window."""
    interpreter = tkinter.Tcl()

    def leave(status: str = "0") -> None:
        interpreter.call("flush", "stdout")
        os._exit(int(status))

    interpreter.createcommand("exit", leave)  # tkinter takes Tcl's own away
    interpreter.setvar("argv0", script)
    interpreter.setvar("argv", interpreter.call("list", *arguments))
    interpreter.call("source", script)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
