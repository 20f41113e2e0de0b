"""What is to be said at the end of a search, besides its winners."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow.search.feedback import Feedback
    from flow.search.loop import Outcome


def no_winners(outcome: Outcome, feedback: Feedback, guess: float) -> str:
    """Why a search has no winners, and what would help. ``guess``: accuracy of guessing the most frequent class."""
    tried = len(outcome.entries)
    unfit = [e for e in outcome.entries if e.unfit]
    if unfit:
        nearest = min(unfit, key=lambda e: e.cost)
        tool = nearest.synthesis[-1].tool
        return (
            f"of {tried} candidates that fit as predicted, {tool} synthesized {feedback.done} and none fits as it "
            f"reports; the smallest has {nearest.unfit}: raise the limits, or try more candidates or another space"
        )
    return (
        f"{tried} candidates fit, none is better than guessing the most frequent class "
        f"({guess:.4f}): try more epochs, more trials or another space"
    )


def warnings(outcome: Outcome, feedback: Feedback) -> list[str]:
    """What a user has to know of the syntheses of a search, one line each."""
    if feedback.synthesizer is None or feedback.gave_up is not None:
        return []
    found = []
    if feedback.failures:
        found.append(f"{feedback.failures} of {feedback.done} syntheses failed: flow show lists why")
    without = sum(e.verdict is None for e in outcome.front)
    if without:
        found.append(
            f"{without} of {len(outcome.front)} winners are as predicted: there was no time to synthesize them, "
            "go on with --resume --time, or with flow synth --all"
        )
    return found
