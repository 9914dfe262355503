"""Inference: preprocessing of images, the libraries that run networks, and a classifier in front of them."""
