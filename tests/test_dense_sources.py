"""Where boxes and masks come from: COCO's JSON against pycocotools, masks against Pillow, and what is refused or said."""

import json
import pathlib
import shutil

import numpy as np
import painted
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_senet import Preprocessing, data
from keras_senet.data import digit_scenes


@pytest.fixture
def folder(tmp_path):
    return painted.write(tmp_path / "scenes", 10)


def notes(folder, task="detect") -> str:
    return " ".join(data.load(str(folder), "all", task=task).notes)


def changed(folder, **fields) -> dict:
    """Writes train.json with other fields, each a value or a function of the old one; returns the content."""
    content = json.loads((folder / "train.json").read_text())
    for name, value in fields.items():
        content[name] = value(content[name]) if callable(value) else value
    (folder / "train.json").write_text(json.dumps(content))
    return content


def first(annotations: list, **fields) -> list:
    """Annotations of which the first has other fields."""
    return [annotations[0] | fields, *annotations[1:]]


def objects(images) -> dict[str, np.ndarray]:
    """The objects of each image by its file name, `(M, 6)`."""
    return {pathlib.Path(name.decode()).name: label for name, _, label in images.examples(None).as_numpy_iterator()}


def test_boxes_are_those_of_pycocotools(folder, capsys):
    from pycocotools.coco import COCO

    changed(folder, annotations=lambda each: first(each[3:], iscrowd=1))  # and some objects fewer
    coco = COCO(folder / "train.json")
    images = data.load(str(folder), "all", task="detect")
    assert images.class_names == [coco.cats[number]["name"] for number in sorted(coco.cats)] == painted.NAMES
    assert images.counts == [len(coco.getAnnIds(catIds=number)) for number in sorted(coco.cats)]
    ((_, batch),) = data.evaluation_batches(images, Preprocessing(120), 10).as_numpy_iterator()
    assert batch["boxes"].shape == (10, 5, 4)
    for number, image in enumerate(sorted(coco.imgs.values(), key=lambda image: image["file_name"])):
        known = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        present = batch["labels"][number] >= 0
        assert present.sum() == len(known)
        boxes = [[x, y, x + width, y + height] for x, y, width, height in (each["bbox"] for each in known)]
        np.testing.assert_allclose(batch["boxes"][number][present], boxes, atol=1e-3)
        labels = [images.class_names.index(coco.cats[each["category_id"]]["name"]) for each in known]
        assert batch["labels"][number][present].tolist() == labels
        assert batch["crowd"][number][present].tolist() == [bool(each["iscrowd"]) for each in known]
    assert batch["crowd"].sum() == 1
    training = data.training_batches(images, 120, 10, data.Augmentation(crop="center", flip=False))
    assert (next(iter(training))[1]["labels"].numpy() >= 0).sum() == len(coco.anns) - 1
    assert "1 boxes of crowds, for evaluation only." in images.notes


def coco_layout(folder, name):
    """Moves the images and their file to where others put them."""
    content = json.loads((folder / "train.json").read_text())
    (folder / "train.json").unlink()
    parts = {"training": content["images"][:6], "validation": content["images"][6:]}
    names, roots = {
        "coco": (("annotations/instances_train2017.json", "annotations/instances_val2017.json"), ("train2017", "val2017")),
        "roboflow": (("train/_annotations.coco.json", "valid/_annotations.coco.json"), ("train", "valid")),
        "flat": (("Train.json", "val.json"), ("images", "images")),
        "annotations": (("annotations/train.json", "annotations/dev.json"), ("images/train", "images/dev")),
    }[name]
    images = folder / "pictures"
    (folder / "images").rename(images)
    for file, root, part in zip(names, roots, parts.values(), strict=True):
        (folder / root).mkdir(parents=True, exist_ok=True)
        for image in part:
            shutil.copyfile(images / image["file_name"], folder / root / image["file_name"])
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(content | {"images": part, "annotations": _of(content, part)}))
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "captions_train2017.json").write_text("{}")
    shutil.rmtree(images)


def _of(content, images):
    numbers = {image["id"] for image in images}
    return [each for each in content["annotations"] if each["image_id"] in numbers]


@pytest.mark.parametrize("layout", ["coco", "roboflow", "flat", "annotations"])
def test_layouts_of_boxes(folder, layout):
    before = objects(data.load(str(folder), "all", task="detect"))
    coco_layout(folder, layout)
    parts = {part: data.load(str(folder), part, task="detect") for part in ("train", "validation", "all")}
    assert [images.size for images in parts.values()] == [6, 4, 10]
    found = objects(parts["train"]) | objects(parts["validation"])
    assert found.keys() == before.keys()
    for name, expected in before.items():
        np.testing.assert_array_equal(found[name], expected)
    assert data.load_test(str(folder), task="detect") is None


def test_a_fifth_is_held_out_where_there_is_only_training(folder):
    for task in ("detect", "segment"):
        train, validation = (objects(data.load(str(folder), part, task=task)) for part in ("train", "validation"))
        assert (len(train), len(validation)) == (8, 2)
        assert not train.keys() & validation.keys()
        assert "A fifth of the images is held out" in " ".join(data.load(str(folder), "train", task=task).notes)


def test_what_boxes_were_clipped_or_left_out_is_said(folder):
    changed(
        folder,
        annotations=lambda each: [
            {**each[0], "bbox": [-20, 10, 50, 300]},
            {**each[1], "bbox": [30, 30, -10, 10]},
            {**each[2], "bbox": [30, 30, 0, 10]},
            {**each[3], "bbox": [130, 30, 10, 10]},
            {**each[4], "bbox": [100, 30, 20.3, 10]},  # as COCO's own
            {**each[5], "image_id": 12345},
            *(other for other in each[6:] if other["image_id"] != 7),
        ],
    )
    said = notes(folder)
    for sentence in (
        "1 boxes that reach out of their image, clipped.",
        "1 boxes of negative width or height, left out.",
        "2 boxes without an area within the image, left out.",
        "1 boxes of images that are not there, left out.",
        "1 images without an object, kept as background.",
    ):
        assert sentence in said
    images = data.load(str(folder), "all", task="detect")
    ((_, batch),) = data.evaluation_batches(images, Preprocessing(120), 10).as_numpy_iterator()
    np.testing.assert_allclose(batch["boxes"][0][:2], [[0, 10, 30, 80], [100, 30, 120, 40]], atol=1e-3)
    assert (batch["labels"][1] == -1).all()  # an image without an object is a background
    assert sum(images.counts) == (batch["labels"] >= 0).sum() == 42


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"annotations": lambda each: first(each, category_id=4)}, "a box of the category 4, which is none of its `categories`"),
        ({"annotations": lambda each: first(each, bbox=[1, 2, 3])}, r"not \[left, top, width, height\] in pixels"),
        ({"annotations": lambda each: first(each, bbox=[1, 2, 3, float("nan")])}, "is not a number"),
        (
            {"annotations": lambda each: [{"image_id": 0, "caption": "red"}]},
            "an entry without a usable 'category_id' in `annotations`",
        ),
        ({"annotations": []}, "has no box for any image"),
        ({"categories": []}, "has no `categories`"),
        ({"categories": lambda each: first(each, id=3)}, "two categories of one `id` or one `name`"),
        ({"images": lambda each: first(each, width=60)}, "has 60 x 80 pixels, but it has 120 x 80"),
        (
            {"images": lambda each: first(each, file_name="gone.png")},
            "names 1 of 10 images that do not exist, over 1 %; .*gone.png",
        ),
        ({"images": {}}, "not in COCO's format"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(folder, fields, message):
    changed(folder, **fields)
    with pytest.raises(ValueError, match=message):
        data.load(str(folder), "train", task="detect")


def test_a_file_that_is_no_json_or_comes_twice_is_refused(folder):
    (folder / "annotations").mkdir()
    shutil.copyfile(folder / "train.json", folder / "annotations" / "training.json")
    with pytest.raises(ValueError, match="several files of boxes for train"):
        data.load(str(folder), "train", task="detect")
    (folder / "annotations" / "training.json").unlink()
    (folder / "train.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"train.json is not a JSON file: Expecting value"):
        data.load(str(folder), "train", task="detect")


def test_few_missing_images_are_left_out_and_named(tmp_path):
    folder = painted.write(tmp_path / "scenes", 100, width=48, height=32)
    (folder / "images" / "007.png").unlink()
    assert data.load(str(folder), "all", task="detect").size == 99
    assert "1 images that train.json names do not exist and are left out, first" in notes(folder)
    assert "007.png" in notes(folder)


def test_a_part_with_classes_that_training_lacks_is_refused(folder):
    coco_layout(folder, "flat")
    content = json.loads((folder / "val.json").read_text())
    content["categories"][0]["name"] = "violet"
    (folder / "val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="val.json has categories that .*Train.json lacks: 'violet'"):
        data.load(str(folder), "train", task="detect")


def mask_layout(folder, layout, masks):
    for number in range(10):
        part = ("Train", "val")[number >= 7]
        for old, new, suffix in (("images", "images", ".png"), ("masks", masks, ".png")):
            place = folder / (f"{new}/{part}" if layout == "within" else f"{part}/{new}") / f"{number:03}{suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            (folder / old / f"{number:03}{suffix}").rename(place)
    for old in ("images", "masks"):
        if not any((folder / old).iterdir()):
            (folder / old).rmdir()


@pytest.mark.parametrize(("layout", "masks"), [("within", "masks"), ("around", "labels"), ("around", "annotations")])
def test_layouts_of_masks(folder, layout, masks):
    mask_layout(folder, layout, masks)
    assert [data.load(str(folder), part, task="segment").size for part in ("train", "validation", "all")] == [7, 3, 10]
    images = data.load(str(folder), "train", task="segment")
    assert images.class_names == ["ground", *painted.NAMES]
    for number, (_, mask) in enumerate(data.evaluation_batches(images, Preprocessing(120), 1).as_numpy_iterator()):
        np.testing.assert_array_equal(mask[0, :80], painted.mask(number))


def test_masks_of_every_kind_of_png(folder):
    """With palettes, of few bits, and of 16 bits; TensorFlow alone would read the colors of the first."""
    for number, mode in enumerate(("P", "16", "bits", "1")):
        values = painted.mask(number)
        image = Image.fromarray(values)
        if mode == "P":
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        if mode == "16":
            image = Image.fromarray(values.astype(np.uint16))
        if mode == "1":
            image = Image.fromarray(values > 0)
        image.save(folder / "masks" / f"{number:03}.png", **({"bits": 4} if mode == "bits" else {}))
    images = data.load(str(folder), "all", task="segment")
    for number, (_, mask) in enumerate(data.evaluation_batches(images, Preprocessing(120), 1).as_numpy_iterator()):
        np.testing.assert_array_equal(mask[0, :80], painted.mask(number) if number != 3 else painted.mask(number) > 0)


def test_what_images_and_masks_have_no_partner_is_said(folder):
    (folder / "masks" / "003.png").unlink()
    (folder / "images" / "004.png").unlink()
    (folder / "images" / "005.png").unlink()
    said = notes(folder, "segment")
    assert "1 images without a mask of the same name, left out." in said
    assert "2 masks without an image of the same name, left out." in said


def test_without_names_classes_are_numbers(folder):
    (folder / "classes.txt").unlink()
    assert data.load(str(folder), "train", task="segment").class_names == list("012345")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((79, 120), np.uint8), "003.png has 120 x 79 pixels, but its image .*003.png has 120 x 80"),
        (np.full((80, 120), 9, np.uint8), "003.png has the value 9, but .*classes.txt names 6 classes"),
        (np.full((80, 120), 999, np.uint16), "003.png has the value 999, but classes end at 254"),
        (np.ones((80, 120, 3), np.uint8), r"003.png has colors \(Pillow's mode RGB\)"),
        (None, "003.png is damaged, or no PNG image"),
    ],
)
def test_a_mask_that_cannot_be_right_is_refused_and_named(folder, values, message):
    file = folder / "masks" / "003.png"
    if values is None:
        file.write_bytes(b"no image")
    else:
        Image.fromarray(values).save(file)
    with pytest.raises(ValueError, match=message):
        data.load(str(folder), "train", task="segment")


def test_masks_of_black_and_white_are_refused_with_what_helps(folder):
    """As many tools save them; white would be no class."""
    for file in (folder / "masks").iterdir():
        Image.fromarray(np.where(np.asarray(Image.open(file)), 255, 0).astype(np.uint8)).save(file)
    with pytest.raises(ValueError, match="their values are 0, 255, and 255 is no class. Values are class indices, such as 0"):
        data.load(str(folder), "train", task="segment")


def test_the_table_shows_objects_and_images(folder):
    parts = ("train", "validation")
    table = data.contents({part: data.load(str(folder), part, task="detect") for part in parts}).splitlines()
    assert table[:3] == [
        "objects               train  validation",
        "red                       8           2",
        "green                     8           2",
    ]
    assert table[6] == "5 classes, in images      8           2"
    table = data.contents({"all": data.load(str(folder), "all", task="segment")}).splitlines()
    assert table[:2] == ["images with           all", "ground                 10"]


def test_what_is_for_another_task_is_refused_with_what_is_accepted(image_folder, data_dir, digits):
    digits("train")
    for task, missing in (("detect", "boxes: JSON files in COCO's format"), ("segment", r"masks: images/1.jpg and masks/1.png")):
        with pytest.raises(ValueError, match=f"has no .* that are known. The task '{task}' needs {missing}"):
            data.load(str(image_folder), task=task)
        with pytest.raises(ValueError, match="A CSV file has labels of whole images"):
            data.load(str(image_folder), labels_csv="labels.csv", task=task)
        with pytest.raises(ValueError, match=f"not for the task '{task}': it has no feature .* It has image, label."):
            data.load("digits", "train", data_dir, task=task)
    with pytest.raises(ValueError, match="`task` must be one of .* Did you mean 'detect'?"):
        data.load("digits", "train", data_dir, task="detection")


@pytest.fixture(scope="module")
def scenes_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("scenes"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digit_scenes, "SCENES", {"train": 12, "test": 6})
        digit_scenes.DigitScenes(data_dir=folder).download_and_prepare()
    return folder


def test_digit_scenes_are_those_of_tensorflow_datasets(scenes_dir):
    expected = list(tfds.load("digit_scenes", split="test", data_dir=scenes_dir).as_numpy_iterator())
    of_boxes, of_masks = (data.load("digit_scenes", "validation", scenes_dir, task=task) for task in ("detect", "segment"))
    assert of_boxes.class_names == [str(digit) for digit in range(10)]
    assert of_masks.class_names == ["background", *of_boxes.class_names]
    ((pixels, objects),) = data.evaluation_batches(of_boxes, Preprocessing(96), 6).as_numpy_iterator()
    ((_, masks),) = data.evaluation_batches(of_masks, Preprocessing(96), 6).as_numpy_iterator()
    for number, scene in enumerate(expected):
        np.testing.assert_array_equal(pixels[number], scene["image"])
        np.testing.assert_array_equal(masks[number], scene["mask"][..., 0])
        top, left, bottom, right = 96 * scene["objects"]["bbox"].T
        count = len(top)
        np.testing.assert_allclose(objects["boxes"][number, :count], np.stack([left, top, right, bottom], 1), atol=1e-4)
        assert objects["labels"][number].tolist() == [*scene["objects"]["label"], *[-1] * (objects["labels"].shape[1] - count)]
    assert data.load("digit_scenes", "train", scenes_dir, task="detect").size == 12
    assert data.load_test("digit_scenes", scenes_dir, task="detect") is None


def test_crowds_and_numbered_masks_of_tensorflow_datasets(tmp_path):
    """As COCO has crowds, and the pets of Oxford masks without names."""

    class PaintedScenes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            objects = {
                "bbox": tfds.features.BBoxFeature(),
                "label": tfds.features.ClassLabel(names=painted.NAMES),
                "is_crowd": np.bool_,
            }
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "objects": tfds.features.Sequence(objects),
                "segmentation_mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(range(4)), "test": self._generate_examples(range(-1, 0))}

        def _generate_examples(self, numbers):
            for number in numbers:
                values = painted.mask(number + 1)
                boxes = painted.boxes(values) / (120, 80, 120, 80)
                found = [
                    {"bbox": tfds.features.BBox(top, left, bottom, right), "label": label, "is_crowd": label == 2}
                    for label, (left, top, right, bottom) in enumerate(boxes.tolist()[: number + 1])
                ]
                mask = np.where(values == 0, 255, values)[..., np.newaxis]
                yield number, {"image": painted.COLORS[values], "objects": found, "segmentation_mask": mask}

    PaintedScenes(data_dir=tmp_path).download_and_prepare()
    images = data.load("painted_scenes", "train", str(tmp_path), task="detect")
    seen = {}
    for _, objects in data.evaluation_batches(images, Preprocessing(120), 4).as_numpy_iterator():
        for labels, crowd in zip(objects["labels"], objects["crowd"], strict=True):
            assert ((labels == 2) == crowd).all()
            seen[(labels >= 0).sum()] = labels.tolist()
    assert seen == {1: [0, -1, -1, -1], 2: [0, 1, -1, -1], 3: [0, 1, 2, -1], 4: [0, 1, 2, 3]}
    for _, objects in data.training_batches(images, 64, 2).take(2):
        assert not tf.reduce_any(objects["labels"] == 2)
    with pytest.raises(ValueError, match="No image of the split 'test' of 'painted_scenes' has an object"):
        data.load("painted_scenes", "test", str(tmp_path), task="detect")
    masks = data.load("painted_scenes", "train", str(tmp_path), task="segment")
    assert masks.class_names == list("012345")
    _, mask = next(data.evaluation_batches(masks, Preprocessing(120), 1).as_numpy_iterator())
    assert {*np.unique(mask)} == {1, 2, 3, 4, 5, 255}


def test_classes_are_matched_with_those_of_a_network(folder):
    images = data.load(str(folder), "all", task="detect")
    other = ["pink", "nothing", "yellow", "blue", "green", "red"]
    matched = objects(data.match_classes(images, other, 6))
    for name, before in objects(images).items():
        assert [other[int(label)] for label in matched[name][:, 4]] == [painted.NAMES[int(label)] for label in before[:, 4]]
    masks = data.load(str(folder), "all", task="segment")
    assert data.match_classes(masks, ["ground", *painted.NAMES], 6).size == 10
    with pytest.raises(ValueError, match="The values of masks are class indices"):
        data.match_classes(masks, [*painted.NAMES, "ground"], 6)
