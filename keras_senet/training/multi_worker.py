"""What `fit` needs to train on several machines, which Keras does not support yet.

Two places in Keras' TensorFlow trainer fail under `tf.distribute.MultiWorkerMirroredStrategy` (keras-team/keras issue 20585):

- Before the first step it takes one batch to build the model. There it averages the images of all replicas, and a worker whose
  part is wrapped as a `PerReplica` cannot be. One replica's batch shows the shapes just as well.
- After each step it averages the losses and metrics of the replicas along their first axis. They are scalars and have none.

When Keras works without this, tests/test_multi_worker.py fails and says so; then `repaired_fit` can go.

Keras cannot mend a third thing: a worker may wait forever for one that has died. `ending_with_the_others` ends it.
"""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

from keras_senet.keras_internals import tensorflow_trainer_with

SECONDS_BETWEEN_LOOKS = 5  # at the other workers
_PATIENCE = 4  # looks without an answer, after which a worker is given up
_TIMEOUT = 5  # seconds, of one look


@contextlib.contextmanager
def repaired_fit() -> Iterator[None]:
    """Within it `keras.Model.fit` and `evaluate` work on several machines."""

    def reduce_scalars(reduce, values, strategy, reduction):
        if reduction == "concat":
            return reduce(values, strategy, reduction)
        return tf.nest.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    def build_from_one_replica(build, model, iterator, data_batch):
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            local = model.distribute_strategy.experimental_local_results
            data_batch = tf.nest.map_structure(lambda value: local(value)[0], next(batches))
        build(model, data_batch=data_batch)

    with tensorflow_trainer_with(reduce_scalars, build_from_one_replica):
        yield


@contextlib.contextmanager
def ending_with_the_others(hosts: list[str], index: int, advice: str, last: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Within it this process ends, with status 2 and one line on stderr, when another worker has ended.

    TensorFlow notices the loss of any worker but the first one. When that one is gone all others wait inside TensorFlow, where
    no exception reaches them, so the process has to end.

    Args:
        hosts: "host:port" of each worker.
        index: which of them this is.
        advice: what the user can do, which ends the line.
        last: called before the process ends.
    """
    over = threading.Event()

    def look():
        unanswered = dict.fromkeys(hosts[:index] + hosts[index + 1 :], 0)
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            for host in unanswered:
                unanswered[host] = 0 if _listens(host) else unanswered[host] + 1
                if unanswered[host] == _PATIENCE and not over.is_set():
                    print(f"keras-senet: error: {lost_worker(f'Worker {hosts.index(host)} ({host})')} {advice}", file=sys.stderr)
                    sys.stderr.flush()
                    with contextlib.suppress(OSError):
                        last()
                    os._exit(2)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def lost_worker(which: str) -> str:
    return f"{which} has ended, or its machine cannot be reached."


def _listens(host: str) -> bool:
    name, _, port = host.rpartition(":")
    try:
        socket.create_connection((name.strip("[]"), int(port)), timeout=_TIMEOUT).close()
    except OSError:
        return False
    return True
