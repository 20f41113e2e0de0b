"""From trained networks to HLS projects, and from the vendor tools' reports back to measurements.

``tools`` finds the AMD tools, ``synth`` runs them on a project through :mod:`flow.runner`, ``reports`` reads what
they write. Nothing is imported here: what needs hls4ml or TensorFlow stays out of the way of what does not.
"""
