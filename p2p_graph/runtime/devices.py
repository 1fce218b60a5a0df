"""The device of a graph: a GPU where TensorFlow finds one, otherwise the CPU."""

import os
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

# Deprecation warnings are for developers, not for users of the programs; errors are exceptions.
tf.logging.set_verbosity(tf.logging.FATAL)


class Device(NamedTuple):
    """A device, and the configuration of sessions on it.

    Attributes:
      name: for reports.
      config: of sessions; GPU memory is allocated on demand.
      is_cpu: whether it is the CPU.
    """

    name: str
    config: tf.ConfigProto
    is_cpu: bool


def choose(device: str, parallel_calls: int = 1, threads: int | None = None) -> Device:
    """Finds the device to use.

    Args:
      device: "auto", "cpu" or "gpu".
      parallel_calls: number of threads that call `Session.run` at the same time.
      threads: among which an operation is split on the CPU, where `parallel_calls` is 1; None for
        one a core. The first session of a process makes them, and all others share them.

    Raises:
      UserError: the device is "gpu", and TensorFlow finds none.
    """
    gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError("device gpu: TensorFlow finds none; install the extra `gpu`, or use cpu")
    config = tf.ConfigProto(allow_soft_placement=True)
    # Constant folding would take a second for the initial zeros of Adam's moments, and the session
    # would hold the folded constants, as large as all weights, until it is closed.
    rewriting = config.graph_options.rewrite_options
    rewriting.constant_folding = RewriterConfig.OFF
    config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    if gpus:
        config.gpu_options.allow_growth = True
        return Device(f"GPU, {_gpu_name(gpus[0])}", config, is_cpu=False)
    config.device_count["GPU"] = 0
    # On a CPU, rewriting takes a second for every new set of fetches, and no step is faster.
    rewriting.disable_meta_optimizer = True
    if parallel_calls > 1:
        # Running several operations in parallel is faster than splitting each among all cores.
        config.use_per_session_threads = True
        config.inter_op_parallelism_threads = parallel_calls
        threads = max(1, available_cores() // parallel_calls)
    if threads:
        config.intra_op_parallelism_threads = threads
        # All sessions share the threads that split an operation, and the first session makes them:
        # this one, before images are checked.
        tf.Session(graph=tf.Graph(), config=config).close()
    return Device(f"CPU, {counted(available_cores(), 'core')}", config, is_cpu=True)


def set_gpu_arithmetic(precision: str) -> None:
    """Sets the arithmetic of GPUs for this process; must be called before a session is made.

    TensorFloat-32 rounds factors to 10 bits of mantissa. It is enabled with mixed precision only.

    Args:
      precision: "fp32" or "mixed".
    """
    # Dedicated threads launch a GPU's kernels; TensorFlow reads the variable at the first use.
    os.environ.setdefault("TF_GPU_THREAD_MODE", "gpu_private")
    tf.config.experimental.enable_tensor_float_32_execution(precision == "mixed")


def gpu_names() -> list[str]:
    """The names of all GPUs that TensorFlow finds, in its order."""
    return [_gpu_name(gpu) for gpu in tf.config.list_physical_devices("GPU")]


def _gpu_name(gpu: Any) -> str:
    name: str = tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    return name
