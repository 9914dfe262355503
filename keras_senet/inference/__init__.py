"""A trained network in any of its forms, opened to be run: how an image becomes its input, and its output probabilities."""
