"""How the hardware runs a network: the rules hls4ml and HLS set, and the solver that picks the cheapest valid way.

The implementation is solved, not sampled: given a network and a spec, each layer gets the reuse factor and strategy
that cost the fewest LUTs while throughput, latency and the other resources hold. ``solve`` decides for one network,
``solve_batch`` the same for thousands, ``flow.implement.diagnose`` says what to change in a spec that nothing meets.
"""

from flow.implement.implementation import Implementation, LayerImplementation
from flow.implement.solver import NoImplementation, attempt, solve, solve_batch

__all__ = ["Implementation", "LayerImplementation", "NoImplementation", "attempt", "solve", "solve_batch"]
