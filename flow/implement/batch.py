"""The implementation of many networks at once: the cheapest valid reuse factors under a spec, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import Bools, Estimator, Floats, Ints
from flow.estimate.table import LayerTable, group_sums
from flow.implement.knapsack import Choices, choose
from flow.implement.options import cost_of, options_of, plain_rows, streams
from flow.implement.rules import UNROLL_LIMIT

if TYPE_CHECKING:
    from flow.spec import Spec

REASONS = (
    "", "invalid", "throughput", "unroll limit", "latency", "LUT", "FF", "BRAM18", "URAM", "DSP", "limits together",
)  # fmt: skip
"""Why a network has no implementation, "" if it has one. "unroll limit": the reuse factor that would be fast enough is
more than HLS unrolls; "limits together": each limit can be met, but not all at once."""

_LATENCY, _LUT = 2, 3
"""Columns of the arrays of amounts, which follow ``REASONS[2:10]``."""
_TIE = 2.0**-30
"""Share of the cost in the choice of the least of something else, so that it only breaks ties."""


@dataclass(frozen=True, eq=False)
class BatchSolution:
    """One entry a network: what it takes as it is built, and whether that meets the spec.

    ``lut`` to ``dsp`` are amounts with the top level, ``interval`` and ``latency`` cycles; NaN for networks without
    layers. ``checked``, shape (networks, 5) in the order of ``RESOURCE_NAMES``, are the amounts compared with the
    budget: the upper ends of the same, or they themselves, as ``spec.bound`` says.
    Where not feasible they describe the implementation with the least of what ``reason`` names (if that alone
    could be met: with the other limits met), and ``needed`` is that amount (cycles for throughput and latency),
    ``limit`` what the spec allows of it; both NaN where feasible.
    ``violation``: by how much of the limits it misses at least, summed; 0 where feasible. ``lut_bound``: no valid
    implementation takes fewer LUTs; below ``lut`` only where the search was cut short (``flow.implement.knapsack``).
    ``reuse`` and ``latency_strategy`` have one entry a row of the table, 0 for layers without weights.
    """

    feasible: Bools
    lut: Floats
    ff: Floats
    bram18: Floats
    uram: Floats
    dsp: Floats
    checked: Floats
    interval: Floats
    latency: Floats
    reason: Ints
    needed: Floats
    limit: Floats
    violation: Floats
    lut_bound: Floats
    stream: Bools
    reuse: Ints
    latency_strategy: Bools


def solve_batch(table: LayerTable, spec: Spec, family: str, estimator: Estimator = CALIBRATED) -> BatchSolution:
    """The cheapest valid implementation of each network of ``table`` under ``spec``.

    Cheapest: fewest LUTs in the middle of their interval, then fewest DSP, BRAM18 and UltraRAM blocks, while every
    limit of the spec is met; a resource whose budget is unknown has no limit. Networks without rows are invalid
    candidates. ``family``: the device family of the part. ``estimator``: it is asked for the spec's clock. What is
    decided for a network does not depend on the others.
    """
    return _Batch(table, spec, family, estimator).solve()


class _Batch:
    def __init__(self, table: LayerTable, spec: Spec, family: str, estimator: Estimator) -> None:
        self.table, self.family, self.bound = table, family, spec.bound
        self.estimator = estimator = estimator.at_clock(1000.0 / spec.clock_mhz)
        self.budget = np.array([np.inf if v is None else float(v) for _, v in spec.budget])
        self.max_interval = float(spec.max_interval_cycles)
        latency = spec.max_latency_cycles
        self.max_latency = np.inf if latency is None else float(latency)
        self.stream = streams(table)
        self.there = np.bincount(table.network, minlength=table.networks) > 0
        self.first_row = np.flatnonzero(np.diff(table.network, prepend=-1))
        # Equal layers are built alike unless limits couple them: each kind of layer is estimated once.
        row_stream = self.stream[table.network]
        first, which = table.distinct(row_stream)
        kinds = table.select(first)
        weight = kinds.is_weight
        self.layers, self.layer_stream = kinds.select(np.flatnonzero(weight)), row_stream[first][weight]
        self.options = options_of(self.layers, self.layer_stream, family, estimator, spec.bound)
        self.row_weight = weight[which]
        place = np.where(weight, np.cumsum(weight), np.cumsum(~weight)) - 1
        self.weight_rows = np.flatnonzero(self.row_weight)
        self.kind = place[which[self.weight_rows]]
        plain, checked = plain_rows(
            kinds.select(np.flatnonzero(~weight)), row_stream[first][~weight], family, estimator, spec.bound
        )
        self.plain_rows = np.flatnonzero(~self.row_weight)
        plain_kind = place[which[self.plain_rows]]
        plain_use = plain.resources().T[:, plain_kind]
        self.fixed_use = estimator.top()[:, None] + self.network_sums(plain_use, self.plain_rows)
        self.fixed_checked = estimator.top()[:, None] + self.network_sums(checked[:, plain_kind], self.plain_rows)
        # Fewest LUTs of those that are checked: what a network refused for LUTs is measured by.
        self.least_lut = self.options.cost if spec.bound == "middle" else cost_of(self.options.checked)
        self.fixed_fill = self.network_sums(plain.fill[None, plain_kind], self.plain_rows)[0]
        self.fixed_interval = self.network_max(plain.interval[plain_kind], self.plain_rows)

    def network_sums(self, values: Floats, rows: Ints) -> Floats:
        """Sums by network, shape (k, networks), of values of shape (k, rows)."""
        network = self.table.network[rows]
        return np.stack([group_sums(column, network, self.table.networks) for column in values])

    def network_max(self, values: Floats, rows: Ints) -> Floats:
        """Largest value by network, 0 where it has none."""
        full = np.zeros(len(self.table))
        full[rows] = values
        out = np.zeros(self.table.networks)
        if len(full):
            out[self.there] = np.maximum.reduceat(full, self.first_row)
        return out

    def solve(self) -> BatchSolution:
        """See ``solve_batch``."""
        o = self.options
        fine = o.interval <= self.max_interval
        slow = o.minimum(np.where(fine, 0.0, 1.0)) > 0
        fine[o.start[slow]] = True  # too slow whatever it is given: the first option is the fastest
        limits = np.concatenate([[self.max_interval, self.max_interval, self.max_latency], self.budget])
        miss = _excess(self.least(fine), limits)
        unroll = self.unroll_is_to_blame(slow)
        miss[unroll, 0] = 0.0
        miss[~unroll, 1] = 0.0
        option = o.first_minimum(np.where(fine, o.cost, np.inf))[self.kind]
        excess = _excess(self.amounts(option), limits)
        hard = self.there & (miss == 0).all(axis=1) & (excess > 0).any(axis=1)
        bound = self.costs(option)
        together = np.zeros(len(hard), dtype=bool)
        if hard.any():
            together = self.couple(hard, fine, option, bound)
            coupled = hard & ~together
            miss[coupled, _LUT] = _excess(self.amounts(option), limits)[coupled, _LUT]
            miss[together] = excess[together]
        # Too slow comes first: what else such a network misses depends on options that don't help it.
        worst = np.where(miss[:, :_LATENCY].any(axis=1), np.argmax(miss[:, :_LATENCY], axis=1), np.argmax(miss, axis=1))
        reason = np.where(miss.any(axis=1), worst + 2, 0)
        self.least_of_reason(reason, ~hard, fine, option)
        amounts = self.amounts(option)
        column = np.maximum(reason - 2, 0)
        everyone = np.arange(self.table.networks)
        needed, limit = amounts[everyone, column], limits[column]
        reason = np.where(self.there, np.where(together, REASONS.index("limits together"), reason), 1)
        unknown = np.where(self.there, 0.0, np.nan)
        refused = np.where(self.there & (reason > 0), 0.0, np.nan)
        reuse, strategy = np.zeros(len(self.table), dtype=np.int64), np.zeros(len(self.table), dtype=bool)
        reuse[self.weight_rows], strategy[self.weight_rows] = o.reuse[option], o.latency[option]
        lut, ff, bram18, uram, dsp = (column + unknown for column in self.used(option))
        return BatchSolution(
            reason == 0,
            lut,
            ff,
            bram18,
            uram,
            dsp,
            checked=amounts[:, _LUT:] + unknown[:, None],
            interval=amounts[:, 0] + unknown,
            latency=amounts[:, 2] + unknown,
            reason=reason,
            needed=needed + refused,
            limit=limit + refused,
            violation=np.where(self.there, miss.sum(axis=1), np.inf),
            lut_bound=np.ceil(bound - 0.5) + unknown,
            stream=self.stream,
            reuse=reuse,
            latency_strategy=strategy,
        )

    def used(self, option: Ints) -> Floats:
        """The resources of each network with one option a weight row: shape (5, networks)."""
        return self.fixed_use + self.network_sums(self.options.use[:, option], self.weight_rows)

    def amounts(self, option: Ints) -> Floats:
        """What of each network is held against a limit, in the order of ``REASONS[2:10]``."""
        o = self.options
        use = self.fixed_checked + self.network_sums(o.checked[:, option], self.weight_rows)
        interval = np.maximum(self.fixed_interval, self.network_max(o.interval[option], self.weight_rows))
        fill = self.fixed_fill + self.network_sums(o.fill[None, option], self.weight_rows)[0]
        latency = np.maximum(fill + np.where(self.stream, interval, 0.0), 1.0)  # combinational: within a cycle
        return np.column_stack([interval, interval, latency, *use])

    def least(self, fine: Bools) -> Floats:
        """The least of each amount that any choice of the options ``fine`` takes, each amount for itself."""
        o = self.options
        interval, fill, *use = (
            o.minimum(np.where(fine, column, np.inf))[self.kind] for column in (o.interval, o.fill, *o.checked)
        )
        interval = np.maximum(self.fixed_interval, self.network_max(interval, self.weight_rows))
        fill = self.fixed_fill + self.network_sums(fill[None], self.weight_rows)[0]
        sums = self.fixed_checked + self.network_sums(np.stack(use), self.weight_rows)
        return np.column_stack([interval, interval, fill + np.where(self.stream, interval, 0.0), *sums])

    def costs(self, option: Ints) -> Floats:
        """The cost of each network."""
        rows: Floats = self.network_sums(self.options.cost[None, option], self.weight_rows)[0]
        return cost_of(self.fixed_use) + rows

    def unroll_is_to_blame(self, slow: Bools) -> Bools:
        """Networks whose slow layers, each of them, would be fast enough if HLS unrolled more."""
        blamed = slow.copy()
        if slow.any():
            index = np.flatnonzero(slow)
            layers, one = self.layers.select(index), np.ones(len(index), dtype=np.int64)
            stream = self.layer_stream[index]
            interval = self.estimator.rows(layers, one, stream, np.ones(len(index), dtype=bool), self.family).interval
            blamed[index] = (interval <= self.max_interval) & (layers.fan_in * layers.out_c >= UNROLL_LIMIT)
        bad = self.network_max(np.where(slow & ~blamed, 1.0, 0.0)[self.kind], self.weight_rows) > 0
        return ~bad & (self.fixed_interval <= self.max_interval)

    def couple(self, hard: Bools, fine: Bools, option: Ints, bound: Floats) -> Bools:
        """Choose jointly for the networks ``hard``; ``option`` and ``bound`` are updated. Returns which of them have
        no solution even without a limit on LUTs; of the others some miss that limit, by the least that is possible.
        """
        if self.bound == "middle":  # the cheapest choice is that of the fewest LUTs
            return self.choose(hard, fine, option, self.options.cost, bound, slice(1, None))
        failed = self.choose(hard, fine, option, self.options.cost, bound, slice(None))
        if not failed.any():
            return failed
        return self.choose(failed, fine, option, self.least_lut, None, slice(1, None))

    def choose(
        self, hard: Bools, fine: Bools, option: Ints, cost: Floats, bound: Floats | None, limited: slice
    ) -> Bools:
        """Put the choice with the least ``cost`` under the ``limited`` part of the budget into ``option``, and lower
        bounds on the cost of networks into ``bound``, for the networks ``hard``. Returns which have no solution."""
        o = self.options
        place = np.cumsum(hard) - 1
        rows = np.flatnonzero(hard[self.table.network[self.weight_rows]])
        kind = self.kind[rows]
        counts = np.append(o.start, len(o.layer))[kind + 1] - o.start[kind]
        row = np.repeat(np.arange(len(rows)), counts)
        index = o.start[kind][row] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = fine[index]
        row, index = row[kept], index[kept]
        networks = np.flatnonzero(hard)
        streamed = self.stream[networks]
        problem = place[self.table.network[self.weight_rows][rows]]
        chosen = choose(
            Choices(
                problem=problem,
                row=row,
                cost=cost[index],
                use=o.checked[limited, index].T,
                fill=o.fill[index],
                interval=np.where(streamed[problem][row], o.interval[index], 0.0),
                limit=self.budget[limited] - self.fixed_checked[limited, networks].T,
                time=self.max_latency - self.fixed_fill[networks],
                floor=np.where(streamed, self.fixed_interval[networks], 0.0),
            )
        )
        solved = chosen.option >= 0
        option[rows[solved]] = index[chosen.option[solved]]
        if bound is not None:
            bound[networks] = cost_of(self.fixed_use[:, networks]) + chosen.bound
        failed = np.zeros(len(hard), dtype=bool)
        failed[networks[problem[~solved]]] = True
        return failed

    def least_of_reason(self, reason: Ints, where: Bools, fine: Bools, option: Ints) -> None:
        """Put the options with the least of what ``reason`` names into the networks refused for latency or blocks."""
        o = self.options
        for number in range(2 + _LATENCY, len(REASONS) - 1):
            refused = where & (reason == number)
            if not refused.any():
                continue
            if number - 2 == _LATENCY:
                value = o.interval + o.fill + _TIE * o.cost
            elif number - 2 == _LUT:
                value = self.least_lut
            else:
                value = o.checked[number - 2 - _LUT] + _TIE * o.cost
            least = o.first_minimum(np.where(fine, value, np.inf))[self.kind]
            rows = refused[self.table.network[self.weight_rows]]
            option[rows] = least[rows]


def _excess(amounts: Floats, limits: Floats) -> Floats:
    """By what share each amount is over its limit, 0 if it is not; of a limit of 0 the amount itself."""
    return np.maximum(np.where(limits > 0, amounts / np.where(limits > 0, limits, 1.0) - 1.0, amounts), 0.0)
