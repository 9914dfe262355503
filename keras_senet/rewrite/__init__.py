"""One way to rewrite a functional Keras model, and all that rewrites one: attention in and out, folding, faster inference."""
