"""What `import keras_senet` adds to `import keras`, each in new processes, in turn; medians are quoted."""

import statistics
import subprocess
import sys
import time

ROUNDS = 7


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    pairs = [(seconds("import keras"), seconds("import keras_senet")) for _ in range(ROUNDS)]
    keras, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    code = "import time, keras; start = time.perf_counter(); import keras_senet; print(time.perf_counter() - start)"
    within = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(ROUNDS)
    ]
    print(f"import keras: {keras:.2f} s, import keras_senet: {ours:.2f} s; after keras it adds {statistics.median(within):.3f} s")


if __name__ == "__main__":
    main()
