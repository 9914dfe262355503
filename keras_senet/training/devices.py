"""The devices that a run computes on: one, all of this machine, those of several machines, or a TPU."""

import contextlib
import dataclasses
import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from keras_senet.errors import InputError, LostWorkerError
from keras_senet.training.multi_worker import ending_with_the_others, lost_worker, repaired_fit

STRATEGIES = ("auto", "single", "mirrored", "multi_worker", "tpu")


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, as one of its processes sees them.

    Attributes:
        strategy: None for a single device.
        hosts: "host:port" of each worker, where there are several.
        worker: which of them this process is, from 0. The first one writes the files.
    """

    strategy: tf.distribute.Strategy | None = None
    hosts: list[str] = dataclasses.field(default_factory=list)
    worker: int = 0

    @property
    def replicas(self) -> int:
        """Number of devices, over all workers."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def description(self) -> str:
        """What the devices are, such as "2 GPUs (NVIDIA H100)"."""
        kind = keras.distribution.list_devices()[0].partition(":")[0].upper()
        details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
        names = {detail["device_name"] for detail in details if "device_name" in detail}
        if kind == "CPU":
            names = {f"{os.cpu_count()} cores"}
        of = f" of {self.workers} workers" if self.workers > 1 else ""
        named = f" ({', '.join(sorted(names))})" if names else ""
        return f"{self.replicas} {kind}{'s' if self.replicas > 1 else ''}{named}{of}"

    @property
    def workers(self) -> int:
        return max(1, len(self.hosts))

    @property
    def replicas_per_worker(self) -> int:
        return self.replicas // self.workers

    @property
    def writes(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.worker == 0

    def batch_size_per_replica(self, batch_size: int) -> int:
        """The share of one replica in a batch.

        Raises:
            ValueError: if the batch does not divide over the replicas.
        """
        if batch_size % self.replicas:
            smaller = batch_size // self.replicas * self.replicas
            fitting = " or ".join(str(size) for size in (smaller, smaller + self.replicas) if size)
            raise InputError(f"A batch of {batch_size} does not divide over {self.replicas} replicas: make it {fitting}.")
        return batch_size // self.replicas

    def scope(self) -> contextlib.AbstractContextManager:
        """The scope in which to create the variables of the run."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def distribute(self, batches: Callable[[], tf.data.Dataset]):
        """What `fit` takes: the batches that the function returns, dealt in turn to the replicas of this worker."""
        if self.strategy is None:
            return batches()
        return self.strategy.distribute_datasets_from_function(lambda context: batches())

    def averaging(self, variables: list[keras.Variable]) -> Callable[[], None]:
        """A function that gives `variables` the mean of their values over all replicas."""
        if self.replicas == 1:
            return lambda: None

        @tf.function
        def means():
            local = self.strategy.run(lambda: [tf.identity(variable.value) for variable in variables])
            return [self.strategy.reduce("MEAN", value, axis=None) for value in local]

        def average():
            for variable, value in zip(variables, means(), strict=True):
                variable.assign(value)

        return average

    def any(self, condition: bool) -> bool:
        """Whether `condition` is true for any worker. All workers must ask at the same step."""
        return condition if self.workers == 1 else bool(self._sum(tf.constant(float(condition))))

    def barrier(self) -> None:
        """Returns when all workers have called it."""
        if self.workers > 1:
            self._sum(tf.constant(0.0))

    @contextlib.contextmanager
    def first_worker_first(self) -> Iterator[None]:
        """The first worker runs the block before the others do, for instance to prepare a dataset on the disk they share."""
        if self.worker:
            self.barrier()
        yield
        if not self.worker:
            self.barrier()

    @contextlib.contextmanager
    def ending_together(self, last: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Within it several workers train together: when one of them ends, so do the others.

        Args:
            last: called before this process ends for the sake of another one, without an exception.

        Raises:
            LostWorkerError: if another worker has ended.
        """
        if self.workers == 1:
            yield
            return
        advice = "Start all workers again, with --resume, to go on from the last state."
        with repaired_fit(), ending_with_the_others(self.hosts, self.worker, advice, last):
            try:
                yield
            except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
                raise LostWorkerError(f"{lost_worker('Another worker')} {advice}") from error

    @functools.cached_property
    def _sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return tf.function(lambda value: self.strategy.reduce("SUM", self.strategy.run(tf.identity, args=(value,)), axis=None))


def open_devices(name: str = "auto", hosts: list[str] | None = None, worker: int | None = None) -> Devices:
    """The devices that `name` means. Several workers wait here for each other.

    Args:
        name: "single", one device; "mirrored", all GPUs of this machine, or all its logical CPU devices where it has no GPU;
            "multi_worker", the machines of `hosts`, of the environment variable TF_CONFIG, or of the SLURM job, in this order;
            "tpu", the one that TPU_NAME names, or the local one; or "auto", what the machine and its environment offer.
        hosts: "host:port" of each worker, the same list for all.
        worker: which of them this process is, from 0.

    Returns:
        The devices, `Devices`.

    Raises:
        ValueError: if a strategy is unknown, or the workers are not known.
        RuntimeError: if TensorFlow was used before, and several workers are to be connected.

    Example:

    >>> keras_senet.training.open_devices("single").replicas
    1
    """
    if name not in STRATEGIES:
        raise InputError(f"`strategy` must be one of {STRATEGIES}. Received: {name!r}")
    if (hosts is None) != (worker is None) or (hosts and not 0 <= worker < len(hosts)):
        raise InputError(
            "`hosts` and `worker` go together: the address of each worker, such as 10.0.0.1:2222, and the number of this one, "
            f"from 0. Received: hosts={hosts}, worker={worker}"
        )
    if hosts and name not in ("auto", "multi_worker"):
        raise InputError(f'`hosts` are for the strategy "multi_worker". Received: strategy={name!r}')
    name = strategy_of(name, hosts)
    if name == "multi_worker":
        return _multi_worker(hosts, worker)
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        return Devices(tf.distribute.MirroredStrategy(devices))
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        return Devices(tf.distribute.TPUStrategy(resolver))
    return Devices()


def strategy_of(name: str, hosts: list[str] | None = None) -> str:
    """The strategy that `name` means: "auto" is what the machine and its environment offer, see `open_devices`.

    Args:
        name: one of `STRATEGIES`.
        hosts: addresses of all workers, `host:port`; None where the environment has them, or there is one.

    Returns:
        One of `STRATEGIES`, not "auto".

    Example:

    >>> keras_senet.training.strategy_of("auto", hosts=["10.0.0.1:2222", "10.0.0.2:2222"])
    'multi_worker'
    """
    if name != "auto":
        return name
    if hosts or "TF_CONFIG" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return "multi_worker"
    if "TPU_NAME" in os.environ:
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "single"


def _multi_worker(hosts: list[str] | None, worker: int | None) -> Devices:
    resolvers = tf.distribute.cluster_resolver
    if hosts is None and "TF_CONFIG" not in os.environ:
        hosts, worker = _slurm_tasks()
    if hosts is not None:
        cluster = tf.train.ClusterSpec({"worker": hosts})
        resolver = resolvers.SimpleClusterResolver(cluster, task_type="worker", task_id=worker, rpc_layer="grpc")
    else:
        resolver = resolvers.TFConfigClusterResolver()
    try:
        jobs = resolver.cluster_spec().as_dict()
        members = [(job, index) for job in ("chief", "worker") for index in range(len(jobs.get(job, [])))]
        addresses = [jobs[job][index] for job, index in members]
        number = members.index((resolver.task_type, resolver.task_id))
    except (KeyError, TypeError, ValueError) as error:
        example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
        raise InputError(f"TF_CONFIG must be like {example}. Received: {os.environ.get('TF_CONFIG')}") from error
    return Devices(tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver), addresses, number)


def _slurm_tasks() -> tuple[list[str], int]:
    """The address of each task of this SLURM job step, in SLURM's order, and the number of this one.

    TensorFlow's SlurmClusterResolver sorts the nodes by name, wants a GPU for each task, and hides others.
    """
    try:
        listed = ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]]
        nodes = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        tasks_per_node = os.environ["SLURM_STEP_TASKS_PER_NODE"]  # such as 2(x3),1
        first_port = 20_000 + int(os.environ["SLURM_JOB_ID"]) % 10_000  # two jobs may share a node
        worker = int(os.environ["SLURM_PROCID"])
    except KeyError as error:
        raise InputError(
            "The workers are not known: give --hosts and --worker, set TF_CONFIG, or start this with SLURM's srun."
        ) from error
    counts = [int(count) for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks_per_node) for _ in range(int(times or 1))]
    hosts = [f"{node}:{first_port + task}" for node, count in zip(nodes, counts, strict=True) for task in range(count)]
    return hosts, worker
