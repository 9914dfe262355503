"""
From a trained network to a phone
=================================

An exported file is run and compared with the network before it takes its place. Here a small network becomes a TFLite file in two
kinds of numbers.
"""

import pathlib
import tempfile

import keras
import numpy as np
from matplotlib import pyplot
from sklearn import datasets

import keras_senet
from keras_senet import export

digits = datasets.load_digits()
images = np.repeat(digits.images[..., np.newaxis] * (255 / 16), 3, axis=-1).repeat(2, axis=1).repeat(2, axis=2).astype("float32")
train, test = slice(1437), slice(1437, None)

keras.utils.set_random_seed(0)
model = keras_senet.SEResNet20(weights=None, input_shape=(16, 16, 3), classes=10)
model.compile(keras.optimizers.AdamW(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
model.fit(images[train], digits.target[train], 64, epochs=8, verbose=0)
print(f"{model.evaluate(images[test], digits.target[test], verbose=0)[1]:.1%} of {len(images[test])} digits are right.")

# %%
# Two files
# ---------
#
# In float32 the file is the network. In int8 it holds integers only and takes bytes; the ranges of its feature maps are measured
# on calibration images. ``tflite`` returns what it has proven; if a file strayed too far, it would raise and write nothing.

folder = pathlib.Path(tempfile.mkdtemp())
names = [str(digit) for digit in range(10)]
for kind in ("float32", "int8"):
    file = folder / f"{kind}.tflite"
    proof = export.tflite(model, file, names, images[test], quantize=kind, calibration=images[train][:200])
    print(f"{kind}: {file.stat().st_size / 1e6:.2f} MB; {proof}")

# %%
# What it costs
# -------------
#
# ``benchmark`` measures files and Keras models in processes of their own, in turn. Trust the ratios most: this was measured while
# the page was built.

for one in export.benchmark([folder / "float32.tflite", folder / "int8.tflite"]):
    print(f"{pathlib.Path(one.network).stem}: {one.latency_ms:.3f} ms, {one.ratio:.2f} of the first one's")

# %%
# Running it
# ----------
#
# ``open_classifier`` opens a file in any format as the same kind of object, with the names of its classes.

classifier = export.open_classifier(folder / "int8.tflite")
probabilities = classifier.probabilities(images[test][:6])
figure, axes = pyplot.subplots(1, 6, figsize=(9, 1.9))
for axis, image, shares in zip(axes, images[test], probabilities, strict=False):
    axis.imshow(image.astype("uint8"))
    axis.set_title(f"{classifier.class_names[shares.argmax()]} ({shares.max():.0%})", fontsize=9)
    axis.axis("off")
figure.tight_layout()
