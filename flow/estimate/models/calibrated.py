"""What HLS reports of what hls4ml generates, fitted to public reports. The default."""

from flow.estimate.calibrated import CALIBRATED

ESTIMATOR = CALIBRATED
