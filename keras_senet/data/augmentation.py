"""How training images are changed at random: the settings, and the functions of an image and of a batch that apply them.

Everything random follows from a key, two integers as `tf.random.stateless_*` takes for a seed: the same key gives the same pixels
bit for bit.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from keras_senet.data import mixing, placing, transforms
from keras_senet.data.decode import evaluation_image, random_window
from keras_senet.data.pixels import resized_window
from keras_senet.errors import InputError, named
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.inference.tasks import CLASSIFY
from keras_senet.settings import check, setting

CROPS = ("random", "shift", "center")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random; the default is that of the paper's section 6.1.

    A field with a `transform` is the strength of that function of an image, its key and the strength. The transforms are applied
    in the order of the fields, and each has a key of its own: new ones go last, so that the others' random numbers stay the same.
    One that moves what an image shows names under "detect" and "segment" the functions that move its objects and its mask alike.

    Detection and segmentation look at whole images. For them `crop` is "random", a window of `area_min` to 1 / `area_min` of the
    area of the square around the image, which can be larger than the image; "shift", that square moved by up to an eighth; or
    "center", that square. Where it shows no image it is gray. An object of which less than a quarter is left is none.

    Attributes:
        crop: "random", a window of `area_min` to 100 % of the area with aspect ratio 3/4 to 4/3, resized; "shift", the center
            square moved by up to an eighth of its size over black (as for CIFAR); or "center", the center square.
        area_min: smallest random window, as a share of the image's area.
        flip: whether half of the images are mirrored left to right.
        rotation: largest rotation either way, degrees.
        pixel_jitter: largest change of a pixel's value either way, of 255.
        rand_augment_magnitude: magnitude of RandAugment, from 0 (none) to 10.
        cutout: height and width of a gray square over the image, pixels; 0 for none.
        random_erasing: probability that noise replaces a rectangle of 2 to 40 % of the area.
        mixup_alpha: parameter of MixUp's Beta distribution; 0 for no MixUp.
        cutmix_alpha: parameter of CutMix's Beta distribution; 0 for no CutMix. With both, each batch draws one of the two.

    Raises:
        ValueError: if a value has the wrong type or is out of range.

    Example:

    >>> keras_senet.data.Augmentation(crop="shift", flip=False).mixup_alpha
    0.0
    """

    crop: str = setting("random", "random window of the image, shift of its center square, or the center square", choices=CROPS)
    area_min: float = setting(0.08, "smallest random window, as a share of the image's area", minimum=0.001, maximum=1)
    flip: bool = setting(
        True, "mirror half of the training images", transform=transforms.flip, detect=placing.flip, segment=transforms.flip
    )
    rotation: float = setting(
        0.0,
        "largest rotation of an image either way, degrees",
        minimum=0,
        maximum=180,
        transform=transforms.rotate,
        detect=placing.rotate,
        segment=placing.rotate_mask,
    )
    pixel_jitter: float = setting(
        0.0, "largest change of a pixel's value either way, of 255", minimum=0, maximum=255, transform=transforms.pixel_jitter
    )
    rand_augment_magnitude: float = setting(
        0.0, "magnitude of RandAugment, up to 10", minimum=0, maximum=10, transform=transforms.rand_augment
    )
    cutout: int = setting(0, "height and width of a gray square over each image, pixels", minimum=0, transform=transforms.cutout)
    random_erasing: float = setting(
        0.0,
        "probability that noise replaces a rectangle of an image",
        minimum=0,
        maximum=1,
        transform=transforms.random_erasing,
    )
    mixup_alpha: float = setting(0.0, "parameter of MixUp's Beta distribution", minimum=0)
    cutmix_alpha: float = setting(0.0, "parameter of CutMix's Beta distribution", minimum=0)

    def __post_init__(self):
        check(self)

    def check_image_size(self, image_size: int) -> None:
        """Checks that images of this height and width can be changed so.

        Raises:
            ValueError: if the square of Cutout is larger than they are.
        """
        if self.cutout > image_size:
            raise InputError(f"`cutout` must be at most {image_size}, the size of the images. Received: cutout={self.cutout}")

    def changes_nothing(self) -> bool:
        """Whether each image looks the same each time, and like no other."""
        strengths = [getattr(self, field.name) for field in self._transforms()]
        return self.crop == "center" and not any([*strengths, self.mixup_alpha, self.cutmix_alpha])

    def check_task(self, task: str) -> None:
        """Checks that images can be changed so for a task.

        Raises:
            ValueError: if images would be moved without their boxes or masks, or two images mixed that have some.
        """
        names = ("rand_augment_magnitude", "mixup_alpha", "cutmix_alpha")
        if task != CLASSIFY and (wrong := [name for name in names if getattr(self, name)]):
            raise InputError(
                f"For the task {task!r} boxes and masks move with the image, which RandAugment, MixUp and CutMix cannot do: "
                f"leave {named(wrong)} at 0. There are `crop`, `flip`, `rotation`, `pixel_jitter`, `cutout` and `random_erasing`."
            )

    def decoder(self, image_size: int, portable: bool = False) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """The function that decodes a crop of an image.

        Args:
            image_size: height and width of the crop, pixels.
            portable: whether it must run where there is no Python, see `pixels.decode_window`.

        Returns:
            A function from an encoded image, a scalar string, and its key to float32 RGB pixels in [0, 255] of shape
            `(image_size, image_size, 3)`.
        """
        self.check_image_size(image_size)

        def decode(encoded: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
            crop_key, *_ = self._keys(key)
            if self.crop == "random":
                return resized_window(
                    encoded, lambda shape: random_window(shape, crop_key, self.area_min), image_size, portable=portable
                )
            square = evaluation_image(encoded, Preprocessing(image_size, crop_ratio=1.0), portable=portable)
            return transforms.shift(square, crop_key) if self.crop == "shift" else square

        return decode

    def place(self, shape: tf.Tensor, image_size: int, key: tf.Tensor) -> placing.Place:
        """Which part of an image a detector or a segmentation network is shown, and where; see `placing`.

        Args:
            shape: (height, width) of the upright image.
            image_size: height and width of the square, pixels.
            key: integers of shape `(2,)`.
        """
        crop_key, *_ = self._keys(key)
        if self.crop == "random":
            return placing.jittered(shape, image_size, crop_key, self.area_min)
        return placing.shifted(shape, image_size, crop_key) if self.crop == "shift" else placing.letterbox(shape, image_size)

    def apply(self, image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Changes one decoded image.

        Args:
            image: float32 of shape `(H, W, 3)`, in [0, 255].
            key: integers of shape `(2,)`.

        Returns:
            Float32 of shape `(H, W, 3)`, in [0, 255].

        Example:

        >>> image = keras.random.uniform((224, 224, 3), 0, 255, seed=0)
        >>> keras_senet.data.Augmentation(rotation=10, pixel_jitter=20).apply(image, key=(0, 1)).shape
        TensorShape([224, 224, 3])
        """
        return self.apply_alike(image, None, key, CLASSIFY)[0]

    def apply_alike(self, image: tf.Tensor, label: tf.Tensor | None, key: tf.Tensor, task: str) -> tuple:
        """Changes one decoded image, and moves its objects or its mask with it.

        Args:
            image: as for `apply`.
            label: the objects or the mask in the same square, see `placing`; for the task "classify" anything.
            key: as for `apply`.
            task: "classify", "detect" or "segment".

        Returns:
            Image and label, of the same shapes and types.
        """
        _, *keys = self._keys(key)
        for field, own_key in zip(self._transforms(), keys, strict=True):
            if strength := getattr(self, field.name):
                image = field.metadata["transform"](image, own_key, strength)
                if move := field.metadata.get(task):
                    label = move(label, own_key, strength)
        return image, label

    def mix(self, images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """MixUp or CutMix of each image in a batch with its partner, the image at the same place in the reversed batch.

        The partner's share and the place of CutMix's box are drawn once per batch. Labels are mixed like the images. A loss that
        wants every class present at full strength, like the binary cross-entropy of "ResNet strikes back", rounds them up.

        Args:
            images: float32 of shape `(N, H, W, C)`.
            labels: float32 of shape `(N, classes)`, one-hot or multi-hot.
            key: integers of shape `(2,)`.

        Returns:
            Images and labels, of the same shapes and types.

        Source: H. Zhang et al., "mixup" (arXiv 1710.09412); S. Yun et al., "CutMix" (arXiv 1905.04899).

        Example:

        >>> images, labels = keras.ops.ones((2, 8, 8, 3)), keras.ops.eye(2)
        >>> augmentation = keras_senet.data.Augmentation(mixup_alpha=0.1, cutmix_alpha=1.0)
        >>> _, mixed = augmentation.mix(images, labels, key=(0, 1))
        >>> np.sum(mixed, axis=1)
        array([1., 1.], dtype=float32)
        """
        choice_key, share_key, box_key = tf.unstack(tf.random.split(key, 3))
        mixup = functools.partial(mixing.mixup, images, labels, share_key, self.mixup_alpha)
        cutmix = functools.partial(mixing.cutmix, images, labels, share_key, self.cutmix_alpha, box_key)
        if self.mixup_alpha and self.cutmix_alpha:
            return tf.cond(tf.random.stateless_uniform((), choice_key) < 0.5, mixup, cutmix)
        return mixup() if self.mixup_alpha else cutmix() if self.cutmix_alpha else (images, labels)

    def _transforms(self) -> list[dataclasses.Field]:
        return [field for field in dataclasses.fields(self) if "transform" in field.metadata]

    def _keys(self, key: tf.Tensor) -> list[tf.Tensor]:
        """The keys of the crop and of each transform."""
        return tf.unstack(tf.random.split(key, 1 + len(self._transforms())))
