"""
Add SE to a network, and read its gates
=======================================

``add_se`` inserts a gate after chosen layers of any functional Keras model, and the model computes exactly what it did before:
each new gate is 0.5, and the weights before it are doubled, which rounds nothing.
"""

import keras
import numpy as np
from matplotlib import pyplot
from sklearn import datasets

import keras_senet

keras.utils.set_random_seed(0)
inputs = keras.Input((16, 16, 3))
x = keras.layers.Rescaling(1 / 255)(inputs)
for number, filters in enumerate((16, 32, 64), start=1):
    x = keras.layers.Conv2D(filters, 3, strides=min(number, 2), padding="same", use_bias=False, name=f"conv{number}")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
    x = keras.layers.ReLU()(x)
outputs = keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(x))
plain = keras.Model(inputs, outputs)

# %%
# A regular expression says where the gates go. For the networks of ``keras.applications`` you can leave it out.

with_se = keras_senet.add_se(plain, after=r"norm\d")
images = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3)).astype("float32")
difference = np.abs(np.asarray(plain(images)) - np.asarray(with_se(images))).max()
print(f"The largest difference between the outputs: {difference}")

# %%
# What training does to the gates
# -------------------------------
#
# Ten epochs on handwritten digits move them away from 0.5.

digits = datasets.load_digits()
x = np.repeat(digits.images[..., np.newaxis] * (255 / 16), 3, axis=-1).repeat(2, axis=1).repeat(2, axis=2).astype("float32")
with_se.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
with_se.fit(x[:1500], digits.target[:1500], 64, epochs=10, verbose=0)
print(f"{with_se.evaluate(x[1500:], digits.target[1500:], verbose=0)[1]:.1%} of 297 other digits are right.")

# %%
# ``gates`` returns them by layer, one value for each image and channel. Early gates hardly depend on the class, and late ones do:
# the finding of the paper's section 7.2.

gates = keras_senet.gates(with_se, x[1500:])
labels = digits.target[1500:]
figure, axes = pyplot.subplots(1, 3, figsize=(9, 2.6), sharey=True)
for axis, (name, values) in zip(axes, gates.items(), strict=True):
    values = np.asarray(values).reshape(len(labels), -1)
    for digit in (0, 1, 4, 8):
        axis.plot(values[labels == digit].mean(axis=0), label=str(digit), linewidth=1)
    axis.set(title=name, xlabel="channel", ylim=(0, 1))
axes[0].set_ylabel("mean gate")
axes[-1].legend(fontsize=8, ncols=2)
figure.tight_layout()

# %%
# ``remove_se`` is the way back. These gates depend on the image, so each is replaced by its mean, which costs some accuracy.

without = keras_senet.remove_se(with_se, keras_senet.gates(with_se, x[:500]))
without.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
print(f"With the mean gates instead: {without.evaluate(x[1500:], labels, verbose=0)[1]:.1%}")
