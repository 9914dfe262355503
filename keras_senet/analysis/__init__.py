"""What a network costs, and what it does inside."""

from keras_senet.analysis.cost import Cost, LayerCost, Profile, profile

__all__ = ["Cost", "LayerCost", "Profile", "profile"]
