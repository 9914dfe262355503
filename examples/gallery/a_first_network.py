"""
A first network
===============

Train an SE-ResNet on handwritten digits with Keras' own ``fit``, look at its mistakes, and see where it looks.

The 1,797 digits of 8 x 8 pixels come with scikit-learn. A network of the package takes RGB pixels in [0, 255] and normalizes them
itself, so there is nothing to remember about its input.
"""

import pathlib
import tempfile

import keras
import numpy as np
from matplotlib import pyplot
from sklearn import datasets, model_selection

import keras_senet

digits = datasets.load_digits()
images = np.repeat(digits.images[..., np.newaxis] * (255 / 16), 3, axis=-1).astype("float32")
images = keras.ops.convert_to_numpy(keras.ops.image.resize(images, (16, 16)))
train_images, test_images, train_labels, test_labels = model_selection.train_test_split(
    images, digits.target, test_size=360, stratify=digits.target, random_state=0
)

# %%
# SE-ResNet-20 is one of the networks for small images; its blocks are residual units that end in a gate. ``attention=None`` would
# build the plain network.

keras.utils.set_random_seed(0)
model = keras_senet.SEResNet20(weights=None, input_shape=(16, 16, 3), classes=10)
rate = keras.optimizers.schedules.CosineDecay(0.0, 200, warmup_target=2e-3, warmup_steps=24)
model.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
history = model.fit(train_images, train_labels, 64, epochs=10, verbose=0)
probabilities = model.predict(test_images, verbose=0)
predicted = probabilities.argmax(axis=1)
print(f"{(predicted == test_labels).mean():.1%} of {len(test_labels)} digits that it has not seen are right.")

# %%
# Wrong, or least sure
# --------------------
#
# The network is most often wrong where it is unsure.

sure = probabilities[np.arange(len(test_labels)), test_labels]
figure, axes = pyplot.subplots(1, 6, figsize=(9, 2))
for axis, index in zip(axes, sure.argsort()[:6], strict=True):
    axis.imshow(test_images[index].astype("uint8"))
    axis.set_title(f"truth {test_labels[index]}, found {predicted[index]}\n({probabilities[index].max():.0%})", fontsize=9)
    axis.axis("off")
figure.tight_layout()

# %%
# Where it looks
# --------------
#
# Grad-CAM of the most probable class, for any functional classifier of Keras. Bright places raise the class.

heat = keras_senet.grad_cam(model, test_images[:6])
figure, axes = pyplot.subplots(1, 6, figsize=(9, 2))
for axis, image, places in zip(axes, test_images, np.asarray(heat), strict=False):
    axis.imshow(image.astype("uint8"))
    axis.imshow(places, alpha=0.5, extent=(-0.5, 15.5, 15.5, -0.5), cmap="inferno")
    axis.axis("off")
figure.tight_layout()

# %%
# The network is a functional Keras model. Saved, it brings its preprocessing along:

file = pathlib.Path(tempfile.mkdtemp()) / "digits.keras"
model.save(file)
print(keras_senet.preprocessing_for(keras.saving.load_model(file)))
