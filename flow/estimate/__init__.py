"""Estimates of FPGA resources and cycles before any tool has run.

``LayerTable`` holds the layers of many networks as columns. An ``Estimator`` turns rows of it, with a reuse factor
each, into resources and cycles. ``CALIBRATED`` is the default: fitted to reports of HLS, with 90% intervals that hold
for designs unlike those. ``STRUCTURAL`` models what hls4ml generates and is uncalibrated. Whole networks are predicted
by ``flow.estimate.predict``, which is imported on its own because it needs ``flow.implement``.
"""

from flow.estimate.calibrated import CALIBRATED, CalibratedEstimator
from flow.estimate.structural import STRUCTURAL, Estimate, Estimator
from flow.estimate.table import LayerTable, table_of

__all__ = ["CALIBRATED", "STRUCTURAL", "CalibratedEstimator", "Estimate", "Estimator", "LayerTable", "table_of"]
