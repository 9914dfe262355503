"""The quantizations of TFLite files, and what each may lose."""

import dataclasses

from keras_senet.export.proof import Limits
from keras_senet.inference.tasks import CLASSIFY


@dataclasses.dataclass(frozen=True)
class Quantization:
    """How a TFLite file stores and computes numbers.

    Attributes:
        summary: description, in a line.
        limits: the accuracy that an image classifier may lose.
        layer_error: root mean square error of a layer's output, relative to the output's own, above which the layer is wrong.
        calibrated: whether it measures ranges of values on images.
    """

    summary: str
    limits: Limits
    layer_error: float
    calibrated: bool = False

    def limits_for(self, task: str) -> Limits:
        """The same for a task, "classify", "detect" or "segment".

        The largest difference of an image is one of many objects or pixels for the latter, so it is larger on average.
        """
        return self.limits if task == CLASSIFY else dataclasses.replace(self.limits, mean=3 * self.limits.mean)


QUANTIZATIONS = {
    "float32": Quantization("as trained", Limits(1e-4, 1e-4, 0.999, 0.001), 0.001),
    "float16": Quantization("weights of half the size, computed in float32", Limits(0.03, 0.003, 0.995, 0.003), 0.02),
    "dynamic": Quantization("weights of 8 bits, maps quantized as they come", Limits(0.4, 0.03, 0.97, 0.01), 0.3),
    "int16x8": Quantization("weights of 8 bits, maps of 16", Limits(0.2, 0.01, 0.98, 0.005), 0.1, calibrated=True),
    "int8": Quantization(
        "integers from the pixels, uint8, to the probabilities", Limits(0.5, 0.04, 0.96, 0.01), 0.4, calibrated=True
    ),
    "int8_float_io": Quantization(
        "integers between float32 pixels and probabilities", Limits(0.5, 0.04, 0.96, 0.01), 0.4, calibrated=True
    ),
}
