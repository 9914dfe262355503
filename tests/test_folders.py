"""Folders of images as people have them: what counts as a class, a part or an image, and what is said of the rest."""

import dataclasses
import os
import pathlib
import shutil
import unicodedata
from unittest import mock

import keras
import pytest

from keras_senet import Preprocessing, data
from keras_senet.data import sources


@pytest.fixture
def folder(image_folder, monkeypatch):
    """The folder "images" with the classes bright and dark, of ten images each, in the current folder."""
    monkeypatch.chdir(image_folder.parent)
    return pathlib.Path("images")


def another(folder, name="dark/0.jpg") -> pathlib.Path:
    """One more image, `name`."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "bright" / "1.jpg", folder / name)
    return folder / name


def files(folder, split="all") -> set[str]:
    """The names of the images in a folder, relative to it."""
    names = data.load(str(folder), split).examples(None).as_numpy_iterator()
    return {os.path.relpath(os.fsdecode(name), folder) for name, *_ in names}


def notes(folder) -> str:
    return " ".join(data.load(str(folder), "all").notes)


def test_a_folder_without_parts_keeps_a_fifth_of_each_class_for_validation(folder):
    train, validation, both = (files(folder, part) for part in ("train", "validation", "all"))
    assert (len(train), len(validation), len(both)) == (16, 4, 20)
    assert train | validation == both
    assert data.load(str(folder), "validation").counts == [2, 2]


def test_the_only_image_of_a_class_is_not_held_out(folder):
    another(folder, "grey/1.jpg")
    assert data.load(str(folder), "train").counts == [8, 8, 1]
    assert data.load(str(folder), "validation").counts == [2, 2, 0]
    for name in ("bright", "dark"):
        for file in sorted((folder / name).iterdir())[1:]:
            file.unlink()
    with pytest.raises(ValueError, match="'validation' of images holds no images"):
        data.load(str(folder), "validation")


def test_hidden_names_are_left_out(folder):
    """Jupyter's and macOS' own."""
    before = files(folder)
    another(folder, ".ipynb_checkpoints/1.jpg")
    another(folder, "dark/.ipynb_checkpoints/1.jpg")
    (folder / "dark" / "._1.jpg").write_bytes(b"\0\5\26\7")
    assert files(folder) == before
    assert data.load(str(folder), "all").class_names == ["bright", "dark"]
    assert notes(folder) == "Left out: 3 hidden."


def test_images_in_folders_within_a_class_are_read(folder):
    another(folder, "dark/2024/May/1.jpg")
    assert "dark/2024/May/1.jpg" in files(folder)
    assert notes(folder) == ""


def test_what_is_left_out_is_named_with_its_reason(folder):
    for name in ("dark/notes.txt", "bright/notes.TXT", "dark/scan.mp4", "dark/noname"):
        (folder / name).write_text("nothing")
    another(folder, "beside.jpg")
    (folder / "empty").mkdir()
    for reason in ("2 .txt", "1 .mp4", "1 without a suffix", "1 .jpg outside of the folders of classes", "left out: 'empty'."):
        assert reason in notes(folder)


@pytest.mark.parametrize(
    ("train", "validation", "test"), [("train", "val", "test"), ("Train", "VALID", "Testing"), ("training", "dev", "TEST")]
)
def test_parts_have_their_usual_names_in_any_case(folder, train, validation, test):
    for part, names in ((train, "012"), (validation, "34"), (test, "5")):
        for name in names:
            for kind in ("bright", "dark"):
                (folder.parent / "apart" / part / kind).mkdir(parents=True, exist_ok=True)
                (folder / kind / f"{name}.jpg").rename(folder.parent / "apart" / part / kind / f"{name}.jpg")
    apart = folder.parent / "apart"
    assert [data.load(str(apart), part).size for part in ("train", "validation", "test", "all")] == [6, 4, 2, 12]
    assert data.load_test(str(apart)).size == 2
    shutil.rmtree(apart / validation)
    assert files(apart, "validation") == {f"{test}/{kind}/5.jpg" for kind in ("bright", "dark")}
    assert "the test part takes its place" in " ".join(data.load(str(apart), "validation").notes)
    assert data.load_test(str(apart)) is None
    shutil.rmtree(apart / test)
    assert data.load(str(apart), "validation").size == 2  # a fifth of each class
    with pytest.raises(ValueError, match="no part 'test'. Available: 'train', 'validation', 'all'"):
        data.load(str(apart), "test")


def test_parts_that_contradict_each_other_are_refused(folder):
    for part in ("train", "val"):
        shutil.copytree(folder, f"apart/{part}")
    os.rename("apart/val/dark", "apart/val/dim")
    with pytest.raises(ValueError, match="val has classes that .*train lacks: 'dim'"):
        data.load("./apart", "train")
    shutil.copytree(folder, "apart/valid")
    with pytest.raises(ValueError, match="two validation parts, val and valid"):
        data.load("./apart", "train")


def test_a_part_without_folders_of_classes_is_no_class(folder):
    shutil.copytree(folder, "apart/train")
    shutil.copytree(folder / "dark", "apart/test")
    assert data.load("./apart", "all").class_names == ["bright", "dark"]
    assert notes("./apart") == "Left out: 1 part test, which has no folders of classes."
    for name in ("train", "val"):
        shutil.copytree(folder / "dark", f"flat/{name}")
    with pytest.raises(ValueError, match="flat/train is a part of a dataset by its name.*--labels-csv"):
        data.load("./flat")


def test_a_class_may_be_called_train(folder):
    for name in ("car", "train", "bus"):
        another(folder.absolute(), f"../vehicles/{name}/1.jpg")
    assert data.load("./vehicles", "all").class_names == ["bus", "car", "train"]


@pytest.mark.filterwarnings("default:The class names of")
def test_numbers_are_ordered_as_text_with_a_warning(folder):
    """As `keras.utils.image_dataset_from_directory` orders them."""
    (folder / "dark").rename(folder / "9")
    (folder / "bright").rename(folder / "8")
    assert data.load(str(folder), "all").class_names == ["8", "9"]
    (folder / "9").rename(folder / "10")
    with pytest.warns(UserWarning, match="are numbers.*class 0 is '10'"):
        images = data.load(str(folder), "all")
    assert images.class_names == keras.utils.image_dataset_from_directory(folder, verbose=False).class_names == ["10", "8"]


@pytest.mark.parametrize("name", ["line\nbreak", "next\x85line", "two\u2028", os.fsdecode(b"caf\xe9")])
def test_class_names_that_no_file_of_labels_can_hold_are_refused(folder, name):
    (folder / "dark").rename(folder / name)
    with pytest.raises(ValueError, match=r"(line|two|caf).* in images (is not UTF-8|is empty or has a line break): rename it"):
        data.load(str(folder), "train")


def test_names_of_any_letters_are_read(folder):
    (folder / "dark").rename(folder / "50 % [new] {0} 🙂")
    odd = folder / "50 % [new] {0} 🙂"
    (odd / "1.jpg").rename(odd / "*?%s[1]🙂.jpg")
    (odd / "2.jpg").rename(odd / os.fsdecode(b"caf\xe9.jpg"))
    (odd / "3.jpg").rename(odd / "line\nbreak.jpg")
    images = data.load(str(folder), "all")
    assert sum(len(pixels) for pixels, _ in data.evaluation_batches(images, Preprocessing(8), 7)) == 20
    assert "50 % [new] {0} 🙂" in data.contents({"all": images})
    (odd / "line\nbreak.x\ny").touch()
    assert "1 .x?y" in notes(folder)


def test_classes_are_equal_in_any_normal_form(folder):
    (folder / "dark").rename(folder / unicodedata.normalize("NFD", "café"))
    assert data.load(str(folder), "all").class_names == ["bright", unicodedata.normalize("NFC", "café")]


def test_links_in_a_circle_and_to_nothing_are_left_out(folder):
    before = files(folder)
    os.symlink(folder.absolute(), folder / "dark" / "around")
    os.symlink(folder.absolute().parent, folder / "dark" / "outside")
    os.symlink("itself.jpg", folder / "dark" / "itself.jpg")
    os.symlink("nowhere", folder / "dark" / "gone.jpg")
    assert files(folder) == before
    assert notes(folder) == "Left out: 2 link back to a folder around it, 2 link to nothing."
    (folder / "bright").rename("elsewhere")
    os.symlink("../elsewhere", folder / "bright")
    assert len(files(folder)) == 20  # that is a class like others


def test_a_folder_that_must_not_be_read_is_named(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):  # root, who may run the tests, may read all
        if str(path).endswith("dark"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match="The folder images/dark cannot be read: Permission denied"):
        data.load(str(folder))


def test_images_that_vanish_are_left_out_and_named(many_images):
    odd = many_images / "dark" / os.fsdecode(b"caf\xe9.jpg")
    (many_images / "dark" / "2.jpg").rename(odd)
    images = data.load(str(many_images), "all")
    (many_images / "dark" / "3.jpg").unlink()
    odd.unlink()
    with (
        pytest.warns(UserWarning, match="dark/3.jpg: it is no longer there"),
        pytest.warns(UserWarning, match="dark/caf\ufffd.jpg"),
    ):
        read = sum(len(pixels) for pixels, _ in data.evaluation_batches(images, Preprocessing(8), 50))
    assert read == images.size - 2


def test_a_class_of_very_many_images_is_listed_in_seconds(folder, monkeypatch):
    """Without a look at each file, which over a network takes minutes."""
    looks = []
    monkeypatch.setattr(os, "stat", lambda *path, stat=os.stat, **how: looks.append(path) or stat(*path, **how))
    data.load(str(folder), "all")
    few = len(looks)
    for index in range(500):
        (folder / "dark" / f"more{index}.jpg").touch()
    looks.clear()
    data.load(str(folder), "all")
    assert len(looks) == few


def test_a_name_that_is_a_folder_and_a_dataset_is_refused(folder, data_dir):
    folder.rename("digits")
    with pytest.raises(ValueError, match="'digits' is a dataset of tensorflow-datasets, and a folder here.*write './digits'"):
        data.load("digits", "train", data_dir)
    assert data.load("./digits", "all").size == 20
    shutil.rmtree("digits")
    for _ in range(2):  # the second time its own folder is here
        assert data.load("digits", "validation", ".").size == 360


def test_the_folder_of_a_run_is_no_class(folder):
    for name in ("config.json", "labels.txt"):
        (folder / "dark" / name).touch()
    (folder / "dark" / "logs").mkdir()
    with pytest.raises(ValueError, match="images/dark is the folder of a training run"):
        data.load(str(folder))


def test_the_table_counts_the_images_of_each_class(folder, digits):
    (folder / "dark" / "1.txt").touch()
    parts = {name: data.load(str(folder), part) for name, part in (("training", "train"), ("validation", "validation"))}
    assert data.contents(parts).splitlines() == [
        "class      training  validation",
        "bright            8           2",
        "dark              8           2",
        "2 classes        16           4",
        "A fifth of each class is held out for validation, chosen by file name.",
        "Left out: 1 .txt.",
    ]
    for index in range(30):
        another(folder, f"more/{index}.jpg").parent.rename(folder / f"more{index:02}")
    shown = data.contents({"all": data.load(str(folder), "all")}).splitlines()
    assert (len(shown), shown[-3].split()) == (24, ["12", "more", "classes,", "each", "1", "to", "1"])
    assert data.contents({"all": digits("train")}).splitlines()[-1].split() == ["10", "classes", "1,437"]


CSV = {"bright/1.jpg": "light", "dark/1.jpg": "no light", "dark/2.jpg": "no light"}


@pytest.mark.parametrize("header", ["path,label\n", "Image,Class\n", ""])
@pytest.mark.parametrize("root", ["images", "elsewhere"])
def test_labels_come_from_a_csv_file(folder, header, root):
    """Whose paths start from its own folder, or from that of the dataset."""
    os.makedirs(root, exist_ok=True)
    file = pathlib.Path(root) / "labels.csv"
    file.write_text(header + "".join(f"{name},{label}\n" for name, label in CSV.items()))
    images = data.load("images", "all", labels_csv=file)
    assert images.class_names == ["light", "no light"]
    found = {(name.decode(), int(label)) for name, _, label in images.examples(None).as_numpy_iterator()}
    assert found == {(f"images/{name}", int(label == "no light")) for name, label in CSV.items()}
    if root == "images":
        assert data.load(".", "all", labels_csv=file).size == 3
    assert data.load("images", "train", labels_csv=file).counts == [1, 1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_csv_file_may_be_that_of_a_spreadsheet(folder, encoding):
    lines = ["nr;Label;note;Path", *(f"1;{label};;{name}" for name, label in CSV.items()), f";light;;{next(iter(CSV))}", ""]
    pathlib.Path("labels.csv").write_bytes("\r\n".join(lines).encode(encoding))
    images = data.load("images", "all", labels_csv="labels.csv")
    assert (images.class_names, images.counts) == (["light", "no light"], [1, 2])
    assert images.notes == ("Left out: 1 lines that repeat one before.",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("dark/1.jpg,a\ndark/2.jpg\n", r"Line 2 of labels.csv must be a path and a label.*\['dark/2.jpg'\]"),
        ("dark/1.jpg,a\ndark/2.jpg,\n", "Line 2 of labels.csv"),
        ("dark/1.jpg,a\ndark/1.jpg,b\n", "calls dark/1.jpg 'a' and 'b'"),
        ("dark/1.jpg,a\ndark/100.jpg,b\n", "1 images that do not exist, such as images/dark/100.jpg"),
        ("path,label\n", "names no image"),
        ("", "names no image"),
        (b"dark/1.jpg,caf\xe9\n", "not a text in UTF-8 or UTF-16"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_refused(folder, content, said):
    pathlib.Path("labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=said):
        data.load("images", "all", labels_csv="labels.csv")


def test_a_test_split_without_labels_is_not_measured_on(digits, monkeypatch):
    """As that of ImageNet in tensorflow-datasets, whose labels are all -1."""
    labelled = digits("test[:5]")
    hidden = labelled.examples(None).map(lambda name, source, label: (name, source, label * 0 - 1))
    monkeypatch.setattr(sources, "_open", lambda *_: mock.Mock(info=mock.Mock(splits=("train", "validation", "test"))))
    for images in (labelled, dataclasses.replace(labelled, examples=lambda seed: hidden)):
        monkeypatch.setattr(sources, "images_of_tfds", lambda source, split, images=images: images)
        assert (data.load_test("imagenet2012") is None) == (images is not labelled)
