"""What hls4ml generates, counted and not calibrated."""

from flow.estimate.structural import STRUCTURAL

ESTIMATOR = STRUCTURAL
