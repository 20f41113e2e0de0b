"""How far prices of generated hardware are from what Yosys counts, for networks that were held out; and their speed.

    .venv/bin/python benchmarks/bench_rtl_predictor.py [--family xc7] [--write]

Samples are those of benchmarks/rtl_samples.py. Cross-validation holds out whole networks. With --write the prices
fitted to all samples go to flow/rtl/data/prices_FAMILY.json, where ``flow`` reads them.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from flow.fileio import write_atomic
from flow.rtl.price import DATA, PRICED, dumps, prices_file
from flow.rtl.price_fit import FLOOR, fit, held_out, read_samples


def errors(pairs: np.ndarray) -> str:
    """Median and 90% quantile of the relative errors of (predicted, measured), and the share within 10%."""
    found = np.abs(pairs[:, 0] - pairs[:, 1]) / np.maximum(pairs[:, 1], FLOOR)
    total = pairs[:, 0].sum() / max(pairs[:, 1].sum(), 1)
    return (
        f"{len(found):5} median {np.median(found):6.1%}  90% within {np.quantile(found, 0.9):6.1%}  "
        f"{(found <= 0.1).mean():4.0%} within 10%  sum {total - 1:+6.1%}"
    )


def main() -> None:
    """Print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="xc7")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    samples = read_samples(DATA / f"samples_{args.family}.csv")
    print(f"{len(samples)} parts of {len({s.network for s in samples})} networks")
    for name in PRICED:
        found = held_out(samples, name)
        print(f"{name}: parts by kind (errors of less than {FLOOR:g} count as of {FLOOR:g})")
        for group in sorted(set(found.groups.tolist())):
            print(f"  {group:20} {errors(found.parts[found.groups == group])}")
        print(f"  {'all parts':20} {errors(found.parts)}")
        print(f"  {'networks':20} {errors(found.networks)}")
    wrong = [s for s in samples if s.facts.rom[1] + s.facts.ring[1] != s.used["bram18"]]
    print(f"bram18: {len(samples) - len(wrong)} of {len(samples)} parts as the rule says")
    prices = fit(samples, args.family)
    print(
        "90% interval of networks: "
        + ", ".join(f"{n} {low:.3f} to {high:.3f}" for n, (low, high) in prices.spread.items())
    )
    started = time.perf_counter()
    for sample in samples:
        prices.part(sample.facts)
    print(f"{(time.perf_counter() - started) / len(samples) * 1e6:.0f} us a part")
    if args.write:
        write_atomic(prices_file(args.family), dumps(prices))


if __name__ == "__main__":
    main()
