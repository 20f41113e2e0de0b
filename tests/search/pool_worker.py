"""A worker without a framework, whose jobs do what a candidate may do to a worker: ``python pool_worker.py FD``."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

from flow.errors import InputError
from flow.search.worker import Handler, Job, serve

_kept: list[bytes] = []


def setup(settings: Job) -> Handler:
    """What ``settings["start"]`` says goes wrong already here."""
    print("setting up")
    if settings.get("start") == "error":
        raise InputError("no data\nto be had")
    if settings.get("start") == "crash":
        os.abort()
    return handle


def handle(job: Job) -> dict[str, Any]:
    match job["do"]:
        case "sleep":
            time.sleep(job["seconds"])
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(job["status"])
        case "kill":
            os.kill(os.getpid(), job["signal"])
        case "raise":
            raise ValueError("the first line\nand the second")
        case "refuse":
            raise InputError("not\nlike this")
        case "grow":
            _kept.append(os.urandom(1 << 20) * job["mib"])
        case "print":
            print(job["text"], flush=True)
            print(job["text"], file=sys.stderr, flush=True)
        case "spin":  # never gives the interpreter away for long, and never ends
            while True:
                pass
    return {"ok": True, "pid": os.getpid(), "job": job.get("job"), "environment": os.environ.get("FOR_WORKERS")}


if __name__ == "__main__":
    serve(setup, int(sys.argv[1]))
