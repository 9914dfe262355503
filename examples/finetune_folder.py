"""Fine-tunes a network on a folder of photographs, `<folder>/<class>/<image>`, and turns it into a TFLite file for a phone.

    python examples/finetune_folder.py --folder photographs --model SEResNet50 --weights imagenet

Without arguments it shows in about a minute, without any download, that all of it works: it cuts two photographs into small ones,
and the network that read digits learns which of the two each is from. Started again, it goes on where it was stopped.
"""

import argparse
import pathlib
import sys

import keras
import tensorflow as tf

from keras_senet import data, export
from keras_senet.errors import UserError
from keras_senet.training import RECIPES, report, train

DIGITS = pathlib.Path(__file__).parent.parent / "saved_models" / "seresnet20_digits" / "model.keras"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="the photographs; without it, pieces of two")
    parser.add_argument("--model", default="SEResNet20", help="the network (default: SEResNet20)")
    parser.add_argument("--weights", default=str(DIGITS), help="tag of published weights, or a file (default: those for digits)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the photographs (default: 20)")
    parser.add_argument("--batch-size", type=int, default=16, help="photographs in a step (default: 16)")
    parser.add_argument(
        "--output", type=pathlib.Path, default="runs/finetune", help="folder for all of it (default: runs/finetune)"
    )
    options = parser.parse_args(arguments)

    folder = options.folder or cut_photographs(options.output / "photographs")
    recipe = RECIPES["finetune"](
        options.model, str(folder.resolve()), weights=options.weights, epochs=options.epochs, batch_size=options.batch_size
    )
    run = train(recipe, options.output / "run", resume=True)
    if run is None:  # the first worker does the rest
        return
    report(run)

    phone = run.path / "model.tflite"
    export.tflite(keras.saving.load_model(run.last), phone)
    classifier = export.open_classifier(phone)
    validation = data.load(recipe.dataset, "validation")
    for name, _, label in validation.examples(tf.constant(0, tf.int64)).take(5).as_numpy_iterator():
        image = data.read_image(name.decode(), classifier.preprocessing)
        (probabilities,) = classifier.probabilities(image[tf.newaxis])
        best = probabilities.argmax()
        truth = validation.class_names[label]
        print(f"{pathlib.Path(name.decode()).name} of {truth}: {classifier.class_names[best]}, {probabilities[best]:.1%}")
    print(f"How good it is: {run.page}. For the phone: {phone}")


def cut_photographs(folder: pathlib.Path) -> pathlib.Path:
    """Squares of the two photographs that come with scikit-learn, which do not overlap, as a folder of JPEG files."""
    from sklearn.datasets import load_sample_image

    side = 48
    for name in ("china", "flower"):
        photograph = load_sample_image(f"{name}.jpg")
        (folder / name).mkdir(parents=True, exist_ok=True)
        for top in range(0, photograph.shape[0] - side + 1, side):
            for left in range(0, photograph.shape[1] - side + 1, side):
                piece = photograph[top : top + side, left : left + side]
                keras.utils.save_img(folder / name / f"{top:03}-{left:03}.jpg", piece, scale=False)
    return folder


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"finetune_folder.py: error: {error}")
