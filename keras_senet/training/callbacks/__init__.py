"""What `fit` calls during a run, each callback with one job. `keras_senet.training.run` says in which order, and why."""
