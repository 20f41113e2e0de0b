"""Pareto fronts and hypervolume of (accuracy up, cost down) points."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the non-dominated ``(accuracy, cost)`` points, cheapest first; of equal points the first stays."""
    order = sorted(range(len(points)), key=lambda i: (points[i][1], -points[i][0], i))
    front: list[int] = []
    best = float("-inf")
    for i in order:
        if points[i][0] > best:
            front.append(i)
            best = points[i][0]
    return front


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Area dominated by the points and bounded by ``reference`` = (lowest accuracy, highest cost) that counts."""
    floor, ceiling = reference
    inside = [p for p in points if p[0] > floor and p[1] < ceiling]
    area = 0.0
    front = [inside[i] for i in pareto_front(inside)]
    for number, (accuracy, cost) in enumerate(front):
        right = front[number + 1][1] if number + 1 < len(front) else ceiling
        area += (accuracy - floor) * (right - cost)
    return area
