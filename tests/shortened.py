"""Networks with all kinds of blocks that the published ones have, and no more of each than it takes."""

import dataclasses

import keras

import keras_senet
from keras_senet.models.applications import Application
from keras_senet.models.inception import BNInception
from keras_senet.models.mobilenet_v3 import MobileNetV3
from keras_senet.models.regnet import RegNet
from keras_senet.models.resnet import ResNet
from keras_senet.models.shufflenet import ShuffleNet
from keras_senet.models.vgg import VGG


def description(name: str) -> tuple:
    """The architecture of the network `name`, shortened, and the function that builds it: what `constructor` takes."""
    construct = getattr(keras_senet, name)
    architecture = construct.architecture
    return dataclasses.replace(architecture, **_FIELDS[type(architecture)](architecture)), construct.features


def distinct() -> list[str]:
    """The names of the networks that are still different when they are shortened."""
    names, descriptions = [], []
    for name in keras_senet.list_models():
        architecture, features = description(name)
        architecture = dataclasses.replace(architecture, family="", input_size=0)  # which make no other layers
        if (architecture, features) not in descriptions:
            names.append(name)
            descriptions.append((architecture, features))
    return names


def _two_stages(net: ResNet | ShuffleNet) -> dict:
    # A block that changes the shape and one that keeps it, and one that strides.
    return {"depths": (2, 1), "stages": net.stages[:2]} | ({"widths": net.widths[:2]} if isinstance(net, ResNet) else {})


def _mobilenet_v3(net: MobileNetV3) -> dict:
    # A block without expansion, one with a stride and one without; then SE and hard swish after a stride, and in a block of 5x5.
    rows = net.rows[0], net.rows[1], net.rows[2][:1], (net.rows[-1][-1],)
    return {"rows": rows, "stages": (1, 2, 3, 4), "last_channels": 96, "fully_connected": (64,)}


def _inception(net: BNInception) -> dict:
    # A module with an average, one that strides, and one with a maximum.
    return {"modules": {3: net.modules[3][1:], 5: net.modules[5][1:]}, "stages": (3, 5)}


def _application(net: Application) -> dict:
    last, places = {
        keras.applications.InceptionV3: ("mixed1", ("mixed0", "mixed1")),
        keras.applications.InceptionResNetV2: ("block35_2_ac", ("block35_1_conv", "block35_2_conv")),
        keras.applications.MobileNet: ("conv_pw_3_relu", ("conv_pw_1_relu", "conv_pw_2_relu", "conv_pw_3_relu")),
    }[net.build]

    def build(**arguments):
        whole = net.build(**arguments)
        return keras.Model(whole.input, whole.get_layer(last).output)

    places = {place: net.places[place] for place in places}
    return {"build": build, "places": places, "stages": tuple(sorted({stage for stage, _ in places.values()}))}


_FIELDS = {
    # The members of the family differ in these fields alone.
    RegNet: lambda net: {"depths": (2, 1), "widths": (16, 32), "group_width": 8, "stages": net.stages[:2]},
    ResNet: _two_stages,
    ShuffleNet: _two_stages,
    VGG: lambda net: {"depths": (2, 1), "widths": net.widths[:2], "stages": (1, 2), "fully_connected": (64, 64)},
    BNInception: _inception,
    MobileNetV3: _mobilenet_v3,
    Application: _application,
}
