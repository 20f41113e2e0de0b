"""Start-up of the quick commands beside a bare Python and beside importing a framework, in one run.

    .venv/bin/python benchmarks/bench_startup.py [MODEL.keras]

With a model file `flow check` and `flow predict` are measured too, beside importing TensorFlow, which they do without.
Each command is run in a process of its own; the median of several runs counts. The ratio is to ``python -c pass``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass (baseline)": ["-c", "pass"],
    "python -c 'import numpy'": ["-c", "import numpy"],
    "flow --help": ["-m", "flow", "--help"],
    "flow boards": ["-m", "flow", "boards"],
    "flow spaces": ["-m", "flow", "spaces"],
    "python -c 'import keras'": ["-c", "import keras"],
}
RUNS = 7


def seconds(arguments: list[str], runs: int) -> float:
    """Median wall seconds of a Python process; one run before is not counted (it fills the disk cache)."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def of_model(model: Path) -> dict[str, list[str]]:
    """The commands that read a model, judged by the middle of the intervals: they must end with exit code 0."""
    options = [str(model), "--board", "pynq-z2", "--bound", "middle"]
    return {
        f"flow check {model.name}": ["-m", "flow", "check", *options],
        f"flow predict {model.name}": ["-m", "flow", "predict", *options],
        "python -c 'import tensorflow'": ["-c", "import tensorflow"],
    }


def main() -> None:
    """Print the table."""
    base = None
    commands = COMMANDS | (of_model(Path(sys.argv[1])) if len(sys.argv) > 1 else {})
    print(f"{'command':32} {'seconds':>8} {'ratio':>7}")
    for name, arguments in commands.items():
        took = seconds(arguments, 1 if "import keras" in name or "tensorflow" in name else RUNS)
        base = base or took
        print(f"{name:32} {took:8.3f} {took / base:7.1f}")


if __name__ == "__main__":
    main()
