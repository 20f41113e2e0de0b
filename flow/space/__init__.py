"""Search spaces and the candidates in them: pure data, no framework import."""

from flow.space.candidate import Candidate, LayerChoice
from flow.space.space import SearchSpace, list_spaces, load_space

__all__ = ["Candidate", "LayerChoice", "SearchSpace", "list_spaces", "load_space"]
