"""A whole search on the digits: wall time, overhead of the loop, peak memory.

    .venv/bin/python benchmarks/bench_search.py [OPTIONS OF flow search]

The overhead is the time the loop itself worked instead of waiting for trainings, as a share of the wall time; with its
workers training meanwhile, the loop has to share the processor, so its CPU time is shown beside it. The peak
memory is the largest sum of the proportional set sizes (shared pages counted once) of the search and its workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def family_of(root: int) -> set[int]:
    """A process and all its descendants, from /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return family


def memory_of(pids: set[int]) -> int:
    """Bytes of memory of processes: the sum of their proportional set sizes."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def main() -> None:
    """Run one search and print what it took."""
    options = sys.argv[1:] or ["--board=pynq-z2"]
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "flow", "search", f"--runs={folder}", "--name=bench", "--json", *options]
        start, peak = time.monotonic(), 0
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        while process.poll() is None:
            peak = max(peak, memory_of(family_of(process.pid)))
            time.sleep(0.5)
        wall = time.monotonic() - start
        assert process.stdout is not None
        data = json.loads(process.stdout.read())
        events = [json.loads(line) for line in (Path(folder) / "bench" / "log.jsonl").read_text().splitlines()]
    end = events[-1]
    print(f"search {' '.join(options)}: {len(data['winners'])} winners, ended by {data['end_reason']}")
    for winner in data["winners"]:
        accuracy, lut = winner["accuracy"], winner["measurements"][0]["lut"]
        print(f"  validation {accuracy['validation']:.4f}  test {accuracy['test']:.4f}  {lut:,.0f} LUT predicted")
    print(f"wall time            {wall:8.1f} s")
    print(f"training, all workers{end['training_s']:8.1f} s")
    print(f"loop                 {end['loop_s']:8.1f} s, {end['loop_s'] / wall:.1%} of the wall time;"
          f" of the processor {end['loop_cpu_s']:.1f} s, {end['loop_cpu_s'] / wall:.1%}")  # fmt: skip
    print(f"peak memory          {peak / 1e9:8.2f} GB")


if __name__ == "__main__":
    main()
