"""The dataset "digits" for tensorflow-datasets: 1,797 handwritten digits that scikit-learn ships, so there is no download."""

import numpy as np
import tensorflow_datasets as tfds

TEST_SIZE = 360


class Digits(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits, 1,437 for training and 360 for testing: gray PNG images of 8 x 8 pixels.

    The split is random and stratified by digit. The data names no writers, so both splits may have digits of the same one.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998), its
    test set.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager):
        from sklearn import datasets, model_selection

        digits = datasets.load_digits()
        indices = np.arange(len(digits.target))
        train, test = model_selection.train_test_split(indices, test_size=TEST_SIZE, stratify=digits.target, random_state=0)
        # Pixels count ink from 0 to 16.
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        return {
            name: self._generate_examples(sorted(part), images, digits.target)
            for name, part in (("train", train), ("test", test))
        }

    def _generate_examples(self, indices, images, labels):
        for index in indices:
            yield int(index), {"image": images[index], "label": int(labels[index])}
