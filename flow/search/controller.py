"""The LSTM controller of the reference paper in numpy: a policy over codes, and the gradient of their log-probability.

One decision after the other: the embedding of the choice before goes through two LSTM layers, and a softmax of this
decision's own says how likely each option is. Source: arXiv:1911.00105 (2 layers, 35 hidden units, an embedding and a
classifier a decision); the cell is that of doi:10.1162/neco.1997.9.8.1735 with a forget gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Parameters = dict[str, Floats]

HIDDEN, LAYERS = 35, 2
"""Sizes of arXiv:1911.00105."""
START = 0.1
"""Parameters start uniform within this."""


@dataclass
class _Step:
    """What one LSTM layer keeps of one decision for the way back; shapes (codes, hidden)."""

    x: Floats
    h: Floats
    c: Floats
    gates: Floats  # input, forget, output (after sigmoid), candidate (after tanh), side by side
    cell: Floats


class Controller:
    """Policy over codes of ``sizes`` options a decision; every decision has at least one option."""

    def __init__(
        self, sizes: Sequence[int], rng: np.random.Generator, hidden: int = HIDDEN, layers: int = LAYERS
    ) -> None:
        self.sizes, self.hidden, self.layers = tuple(int(n) for n in sizes), hidden, layers
        shapes: dict[str, tuple[int, ...]] = {"start": (1, hidden)}
        for layer in range(layers):
            shapes[f"wx{layer}"] = shapes[f"wh{layer}"] = (hidden, 4 * hidden)
            shapes[f"b{layer}"] = (4 * hidden,)
        for number, options in enumerate(self.sizes):
            shapes[f"out{number}"], shapes[f"bias{number}"] = (hidden, options), (options,)
            if number + 1 < len(self.sizes):
                shapes[f"embed{number}"] = (options, hidden)
        self.parameters: Parameters = {n: rng.uniform(-START, START, s) for n, s in shapes.items()}

    def sample(self, rng: np.random.Generator, count: int) -> Ints:
        """``count`` codes drawn from the policy, shape (count, decisions)."""
        actions = np.zeros((count, len(self.sizes)), dtype=np.int64)
        self._walk(actions, rng)
        return actions

    def log_probability(self, actions: Ints) -> Floats:
        """Logarithm of the probability of each code, shape (codes,)."""
        probabilities, _ = self._walk(actions, None)
        rows = np.arange(len(actions))
        logs = [np.log(p[rows, actions[:, i]]) for i, p in enumerate(probabilities)]
        total: Floats = np.sum(logs, axis=0)
        return total

    def gradient(self, actions: Ints, weights: Floats, entropy: float = 0.0) -> Parameters:
        """Gradient of ``sum(weights * log_probability(actions))`` plus ``entropy`` times the sum of all entropies.

        The entropies are those of each decision's softmax on the way of ``actions``.
        """
        probabilities, steps = self._walk(actions, None)
        grads = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        rows = np.arange(len(actions))
        zero = np.zeros((len(actions), self.hidden))
        dh, dc = [zero] * self.layers, [zero] * self.layers
        for number in range(len(self.sizes) - 1, -1, -1):
            p = probabilities[number]
            d_logits = -p * weights[:, None]
            d_logits[rows, actions[:, number]] += weights
            if entropy:
                log_p = np.log(p)
                d_logits -= entropy * p * (log_p - (p * log_p).sum(axis=1, keepdims=True))
            top = self._hidden_after(steps[number][-1])
            grads[f"out{number}"] += top.T @ d_logits
            grads[f"bias{number}"] += d_logits.sum(axis=0)
            upper = d_logits @ self.parameters[f"out{number}"].T
            for layer in range(self.layers - 1, -1, -1):
                upper, dh[layer], dc[layer] = self._back(
                    layer, steps[number][layer], upper + dh[layer], dc[layer], grads
                )
            if number:
                np.add.at(grads[f"embed{number - 1}"], actions[:, number - 1], upper)
            else:
                grads["start"] += upper.sum(axis=0, keepdims=True)
        return grads

    def ascend(self, gradient: Parameters, rate: float) -> None:
        """One step of plain gradient ascent."""
        for name, value in gradient.items():
            self.parameters[name] += rate * value

    def _walk(self, actions: Ints, rng: np.random.Generator | None) -> tuple[list[Floats], list[list[_Step]]]:
        """Probabilities and steps decision by decision; with ``rng``, ``actions`` is filled with draws."""
        count = len(actions)
        h = [np.zeros((count, self.hidden)) for _ in range(self.layers)]
        c = [np.zeros((count, self.hidden)) for _ in range(self.layers)]
        probabilities, steps = [], []
        x = np.repeat(self.parameters["start"], count, axis=0)
        for number in range(len(self.sizes)):
            row = []
            for layer in range(self.layers):
                step = self._forward(layer, x, h[layer], c[layer])
                row.append(step)
                x = h[layer] = self._hidden_after(step)
                c[layer] = step.cell
            logits = x @ self.parameters[f"out{number}"] + self.parameters[f"bias{number}"]
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            if rng is not None:
                below = np.cumsum(p, axis=1)[:, :-1]
                actions[:, number] = (rng.random((count, 1)) > below).sum(axis=1)
            probabilities.append(p)
            steps.append(row)
            if number + 1 < len(self.sizes):
                x = self.parameters[f"embed{number}"][actions[:, number]]
        return probabilities, steps

    def _forward(self, layer: int, x: Floats, h: Floats, c: Floats) -> _Step:
        n = self.hidden
        z = x @ self.parameters[f"wx{layer}"] + h @ self.parameters[f"wh{layer}"] + self.parameters[f"b{layer}"]
        gates = np.concatenate([1 / (1 + np.exp(-z[:, : 3 * n])), np.tanh(z[:, 3 * n :])], axis=1)
        cell = gates[:, n : 2 * n] * c + gates[:, :n] * gates[:, 3 * n :]
        return _Step(x, h, c, gates, cell)

    def _hidden_after(self, step: _Step) -> Floats:
        result: Floats = step.gates[:, 2 * self.hidden : 3 * self.hidden] * np.tanh(step.cell)
        return result

    def _back(
        self, layer: int, step: _Step, dh: Floats, dc: Floats, grads: Parameters
    ) -> tuple[Floats, Floats, Floats]:
        """Gradients of a layer's input, of its hidden state before and of its cell before; adds to ``grads``."""
        n = self.hidden
        i, f, o, g = (step.gates[:, k * n : (k + 1) * n] for k in range(4))
        squashed = np.tanh(step.cell)
        dc = dc + dh * o * (1 - squashed**2)
        dz = np.concatenate(
            [dc * g * i * (1 - i), dc * step.c * f * (1 - f), dh * squashed * o * (1 - o), dc * i * (1 - g**2)], axis=1
        )
        grads[f"wx{layer}"] += step.x.T @ dz
        grads[f"wh{layer}"] += step.h.T @ dz
        grads[f"b{layer}"] += dz.sum(axis=0)
        return dz @ self.parameters[f"wx{layer}"].T, dz @ self.parameters[f"wh{layer}"].T, dc * f
