"""`import keras_senet` in a new process, against the `import keras` that it begins with.

Without the garbage collector: its one pass over all that TensorFlow loads takes 0.2 s, and chance decides on which side it falls.
"""

import subprocess
import sys

from comparison import Comparison, compared, show

ROUNDS = 9
CODE = """
import gc, time
gc.disable()
start = time.perf_counter()
import keras
keras_alone = time.perf_counter() - start
import keras_senet
print(time.perf_counter() - start, keras_alone)
"""


def measure() -> list[Comparison]:
    def both() -> tuple[float, float]:
        done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
        ours, theirs = done.stdout.split()
        return float(ours), float(theirs)

    return [compared("import keras_senet", "import keras", [both() for _ in range(ROUNDS)], target=1.05)]


if __name__ == "__main__":
    show(measure())
