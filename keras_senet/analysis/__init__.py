"""What a network costs, and what it does inside."""

from keras_senet.analysis.cost import Cost, LayerCost, Profile, profile
from keras_senet.analysis.pruning import Pruning, prune

__all__ = ["Cost", "LayerCost", "Profile", "Pruning", "profile", "prune"]
