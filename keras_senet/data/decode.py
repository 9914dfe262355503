"""What a network looks at: windows of encoded images for training, evaluation and single files."""

import os
import pathlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_senet.data import damaged
from keras_senet.data.elements import Example, Group
from keras_senet.data.formats import image_suffixes, not_an_image
from keras_senet.data.labelled_images import LabelledImages
from keras_senet.data.masks import read_mask
from keras_senet.data.pixels import image_shape, resized_window
from keras_senet.data.placing import NO_CLASS, Place, placed_image, placed_mask, placed_objects
from keras_senet.data.rand_augment_operations import FILL
from keras_senet.errors import InputError, existing_path
from keras_senet.inference.preprocessing import Letterbox, Preprocessing
from keras_senet.inference.tasks import DETECT, SEGMENT

VIEWS = (1, 2, 10)  # that `evaluation_views` can take of an image
_PREFETCHED_IMAGES = 64


def examples(
    groups: tf.data.Dataset, images: LabelledImages, decoder: Callable[..., tuple], shape: tuple[int, ...]
) -> tf.data.Dataset:
    """Decodes groups of images.

    Args:
        groups: a `tf.data.Dataset` of `Group`.
        images: where they come from.
        decoder: function from an encoded image, a scalar string, its label and its random key to pixels and the label.
        shape: shape of these pixels.

    Returns:
        A `tf.data.Dataset` of `Example`, as many as there are images, with stand-ins for those that cannot be decoded.
    """

    def examples_of(group: Group) -> tf.data.Dataset:
        names = damaged.joined(group.names)
        size = tf.shape(group.labels)[0]

        def example(slot, source, label, key):
            return Example(*decoder(images.read(source), label, key), key, group.batch_key, slot, names)

        slices = tf.data.Dataset.from_tensor_slices((tf.range(size), group.sources, group.labels, group.keys))
        if images.task == SEGMENT:
            nothing = tf.fill((*shape[:2], 1), tf.constant(NO_CLASS, tf.uint8))
        else:
            nothing = tf.fill(tf.shape(group.labels)[1:], tf.constant(-1, group.labels.dtype))  # one-hot: no class
        black = Example(
            pixels=tf.zeros(shape),
            label=nothing,
            key=tf.nest.map_structure(lambda keys: keys[0], group.keys),
            batch_key=group.batch_key,
            slot=tf.constant(-1),
            group_names=names,
        )
        return damaged.filled(slices.map(example, num_parallel_calls=tf.data.AUTOTUNE), tf.cast(size, tf.int64), black)

    return groups.flat_map(examples_of).prefetch(_PREFETCHED_IMAGES)


def placed(
    images: LabelledImages,
    image_size: int,
    place: Callable[[tf.Tensor, tf.Tensor], Place],
    interpolation: str = "bilinear",
    *,
    portable: bool = False,
) -> Callable[..., tuple]:
    """The decoder, for `examples`, of images for detection or segmentation.

    Args:
        images: where they come from.
        image_size: height and width of the square, pixels.
        place: function from the (height, width) of an upright image and its random key to its place in the square.
        interpolation: "bilinear" or "bicubic"; masks are not interpolated.
        portable: see `pixels.decode_window`.

    Returns:
        A function from an encoded image, its label and its key to float32 RGB pixels in [0, 255] of shape
        `(image_size, image_size, 3)`, and the objects or the mask in the same square.
    """

    def decoder(encoded, label, key):
        shape = image_shape(encoded, portable=portable)
        where = place(shape, key)
        pixels = placed_image(encoded, where, image_size, interpolation, portable=portable)
        if images.task == DETECT:
            return pixels, placed_objects(label, shape, where, image_size)
        mask = read_mask(images.read(label), shape, portable=portable)
        return pixels, placed_mask(mask, where, image_size)

    return decoder


def evaluation_image(
    encoded: tf.Tensor, preprocessing: Preprocessing, place: tuple[int, int] = (1, 1), *, portable: bool = False
) -> tf.Tensor:
    """The center square of an encoded image, as evaluation, prediction and exported files see it; or another square.

    Args:
        encoded: scalar string, the bytes of an image file.
        preprocessing: size of the result, and which part of the image it shows.
        place: where the square lies, (vertical, horizontal): 0 for the top or left edge, 1 for the center, 2 for the bottom or
            right edge.
        portable: whether to use nothing but TensorFlow operations, as in a SavedModel; see `pixels.decode_window`.

    Returns:
        Float32 RGB pixels in [0, 255] of shape `(image_size, image_size, 3)`.

    Example:

    >>> encoded = tf.io.encode_png(np.zeros((60, 80, 3), "uint8"))
    >>> keras_senet.data.evaluation_image(encoded, keras_senet.Preprocessing(image_size=32)).shape
    TensorShape([32, 32, 3])
    """

    def window(shape):
        side = tf.cast(tf.round(tf.cast(tf.reduce_min(shape), tf.float32) * preprocessing.crop_ratio), tf.int32)
        side = tf.maximum(side, 1)
        return tf.concat([(shape - side) * place // 2, [side, side]], 0)

    image = resized_window(
        encoded, window, preprocessing.image_size, preprocessing.interpolation, antialias=True, portable=portable
    )
    return tf.clip_by_value(image, 0.0, 255.0)  # bicubic interpolation overshoots


def evaluation_views(encoded: tf.Tensor, preprocessing: Preprocessing, views: int) -> tf.Tensor:
    """Several views of an encoded image, for a network to look at all of them: squares, then their mirror images.

    Args:
        encoded: as for `evaluation_image`.
        preprocessing: size of the result; the squares' side is its `crop_ratio` of the image's shorter side.
        views: how many: 1, the center; 2, the center and its mirror image; or 10, the four corners and the center, in this order,
            and their mirror images. Where the image is a square and `crop_ratio` is 1, all five squares are the image.

    Returns:
        Float32 RGB pixels in [0, 255] of shape `(views, image_size, image_size, 3)`.

    Source: ten views, Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1.

    Example:

    >>> encoded = tf.io.encode_png(np.zeros((60, 80, 3), "uint8"))
    >>> keras_senet.data.evaluation_views(encoded, keras_senet.Preprocessing(image_size=32), views=10).shape
    TensorShape([10, 32, 32, 3])
    """
    places = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1)) if views == 10 else ((1, 1),)
    squares = tf.stack([evaluation_image(encoded, preprocessing, place) for place in places])
    return squares if views == 1 else tf.concat([squares, tf.image.flip_left_right(squares)], 0)


def letterboxed_image(encoded: tf.Tensor, letterbox: Letterbox) -> tf.Tensor:
    """The whole of an encoded image, scaled to fit, as a detector or a segmenter sees it: at the top left, over gray.

    Args:
        encoded: scalar string, the bytes of an image file.
        letterbox: size of the result.

    Returns:
        Float32 RGB pixels in [0, 255] of shape `(height, width, 3)`.
    """
    height, width = letterbox.content(*image_shape(encoded).numpy().tolist())
    part = resized_window(encoded, _whole, tf.constant([height, width]), letterbox.interpolation, antialias=True)
    free = [[0, letterbox.height - height], [0, letterbox.width - width], [0, 0]]
    return tf.pad(tf.clip_by_value(part, 0.0, 255.0), free, constant_values=FILL)


def _whole(shape: tf.Tensor) -> tf.Tensor:
    return tf.concat([[0, 0], shape], 0)


def read_image(path: str | os.PathLike, preprocessing: Preprocessing | Letterbox) -> tf.Tensor:
    """`evaluation_image` of a file, or `letterboxed_image` for a `Letterbox`.

    Args:
        path: an image file.
        preprocessing: what the network looks at, from `keras_senet.preprocessing_for`, or a `Letterbox`.

    Returns:
        Float32 RGB pixels `(image_size, image_size, 3)` in [0, 255].

    Raises:
        FileNotFoundError: if there is no such file; the message lists similar names.
        ValueError: if it is damaged or not an image.

    Example:

    >>> keras.utils.save_img("photo.png", np.full((60, 80, 3), 128.0), scale=False)
    >>> image = keras_senet.data.read_image("photo.png", keras_senet.Preprocessing(image_size=32))
    >>> image.shape, float(image[0, 0, 0])
    (TensorShape([32, 32, 3]), 128.0)
    """
    if isinstance(preprocessing, Letterbox):
        return _of_file(path, lambda encoded: letterboxed_image(encoded, preprocessing))
    return _of_file(path, lambda encoded: evaluation_image(encoded, preprocessing))


def read_shape(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of the upright image in a file, pixels.

    Args:
        path: an image file.

    Returns:
        Height and width.

    Raises:
        FileNotFoundError, ValueError: as for `read_image`.

    Example:

    >>> keras.utils.save_img("photo.png", np.zeros((60, 80, 3)), scale=False)
    >>> keras_senet.data.read_shape("photo.png")
    (60, 80)
    """
    height, width = _of_file(path, image_shape).numpy().tolist()
    return height, width


def _of_file(path: str | os.PathLike, decode: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    try:
        return decode(tf.io.read_file(existing_path(path)))
    except InputError as error:
        raise InputError(f"{os.fspath(path)} {error}") from error
    except tf.errors.OpError as error:
        raise InputError(f"{os.fspath(path)} is {not_an_image()}.") from error


def list_images(paths: Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """The image files among `paths`, and those in the folders among them whose names do not begin with a dot.

    Args:
        paths: files and folders.

    Returns:
        The paths, those of a folder in the order of their names.

    Raises:
        FileNotFoundError: if a path does not exist; the message lists similar names.
        ValueError: if a folder holds no image.

    Example:

    >>> for name in ("dog.png", "cat.png"):
    ...     keras.utils.save_img(name, np.zeros((8, 8, 3)), scale=False)
    >>> [path.name for path in keras_senet.data.list_images(["."])]
    ['cat.png', 'dog.png']
    """
    files = []
    for path in map(pathlib.Path, map(existing_path, paths)):
        listed = [path] if path.is_file() else sorted(filter(_is_image, path.iterdir()))
        if not listed:
            raise InputError(f"The folder {path} holds no image ({', '.join(image_suffixes())}).")
        files += listed
    return files


def _is_image(file: pathlib.Path) -> bool:
    return file.suffix.lower() in image_suffixes() and not file.name.startswith(".")


def random_window(shape: tf.Tensor, key: tf.Tensor, area_min: float = 0.08) -> tf.Tensor:
    """A window, for `resized_window`, of `area_min` to 100 % of the area and of aspect ratio 3/4 to 4/3.

    It is the whole image if ten attempts find no such window.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=key,
        min_object_covered=0.0,
        area_range=(area_min, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)
