"""REINFORCE with an LSTM controller, as in the reference paper (arXiv:1911.00105; doi:10.1007/BF00992696).

The policy is asked for codes until one is feasible and new, so that a refused code costs no trial; in the paper it
cost one, with reward 0 (``benchmarks/bench_table.py`` has that variant too). The reward is the accuracy, 0 of a
candidate that failed; the cost is a limit here, not an objective.
"""

from __future__ import annotations

import numpy as np

from flow.search.controller import Controller, Floats, Ints
from flow.search.feasible import FeasibleCodes
from flow.search.samplers import Sampler
from flow.space.space import Codes

TITLE = "REINFORCE with an LSTM controller, as in the reference paper"

RATE = 0.2
"""Learning rate of plain gradient ascent; this, UPDATE_EVERY, FIRST and DECAY are those of arXiv:1911.00105."""
UPDATE_EVERY = 5
FIRST = 20
"""Rewards whose mean is the baseline at first; afterwards it is a moving average with the factor DECAY."""
DECAY = 0.1
DRAWS, ROUNDS = 16, 16
"""Codes drawn from the policy at once, and how often, before the nearest feasible code is taken instead."""


class Learner:
    """A controller that learns from rewards: ``sample`` and ``reward``, in any order."""

    def __init__(self, sizes: Ints, rng: np.random.Generator, entropy: float = 0.0) -> None:
        """``entropy``: weight of the policy's entropy beside the reward; 0 in the paper."""
        self.rng, self.entropy = rng, entropy
        self.controller = Controller(sizes.tolist(), rng)
        self.rewards: list[float] = []
        self.baseline = 0.0
        self.batch: list[tuple[Codes, float]] = []

    def sample(self, count: int) -> Codes:
        """Codes from the policy as it is now, shape (count, decisions); not canonical."""
        return self.controller.sample(self.rng, count)

    def reward(self, actions: Codes, value: float) -> None:
        """Learn from the reward of one sampled code, every UPDATE_EVERY codes."""
        self.rewards.append(value)
        seen = self.rewards[:FIRST]
        learning = len(self.rewards) <= FIRST
        self.baseline = float(np.mean(seen)) if learning else self.baseline + DECAY * (value - self.baseline)
        self.batch.append((actions, value - self.baseline))
        if len(self.batch) == UPDATE_EVERY:
            codes, gains = zip(*self.batch, strict=True)
            weights: Floats = np.array(gains) / UPDATE_EVERY
            gradient = self.controller.gradient(np.array(codes), weights, self.entropy / UPDATE_EVERY)
            self.controller.ascend(gradient, RATE)
            self.batch = []


def make(codes: FeasibleCodes, seed: int) -> Sampler:
    """See ``flow.search.samplers``."""
    return ReinforceSampler(codes, seed)


class ReinforceSampler:
    """See the module."""

    def __init__(self, codes: FeasibleCodes, seed: int) -> None:
        self.codes = codes
        self.learner = Learner(codes.space.sizes, np.random.default_rng([seed, 0xC0]))
        self.actions: dict[bytes, Codes] = {}

    def ask(self) -> Codes | None:
        """See ``Sampler.ask``."""
        space = self.codes.space
        for _ in range(ROUNDS):
            actions = self.learner.sample(DRAWS)
            wanted = space.canonical(actions)
            found, _ = self.codes.new(wanted)
            if found.size:
                code: Codes = wanted[found[0]]
                self.actions[code.tobytes()] = actions[found[0]]
                return code
        near = self.codes.near(wanted[0])
        if near is not None:
            self.actions[near.tobytes()] = near
        return near

    def tell(self, code: Codes, accuracy: float | None, cost: float) -> None:
        """See ``Sampler.tell``."""
        self.learner.reward(self.actions.pop(code.tobytes()), accuracy or 0.0)
