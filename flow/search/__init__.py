"""The search: proposing candidates, refusing what cannot fit, training the rest, keeping every result safe."""
