"""Where the graph runs: on a GPU where there is one, else on the CPU."""

import os
import sys
from typing import Any

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from p2p_graph.utils.errors import UserError

# Notes on deprecation are for us, not for who runs a tool, and errors are raised besides.
tf.logging.set_verbosity(tf.logging.FATAL)


def is_cpu(device: str) -> bool:
    """Whether `choose` would take the CPU."""
    return not _gpus(device)


def _gpus(device: str) -> list[Any]:
    return [] if device == "cpu" else tf.config.list_physical_devices("GPU")


def choose(device: str, runs: int = 1, *, mixed: bool = False) -> tuple[str, tf.ConfigProto]:
    """Finds the device to use.

    Args:
      device: "auto", "cpu" or "gpu".
      runs: how many runs of the session go side by side.
      mixed: whether products may be of rounded values, as with `--precision mixed`.

    Returns:
      What was found, to be printed, and the configuration for a session that uses it. Memory on a
      GPU is taken as it is needed.

    Raises:
      UserError: a GPU was asked for, and TensorFlow sees none.
    """
    gpus = _gpus(device)
    if device == "gpu" and not gpus:
        raise UserError("device gpu: TensorFlow finds none; install the extra `gpu`, or use cpu")
    config = tf.ConfigProto(allow_soft_placement=True)
    # To fold the zeros that Adam's moments start from takes a second, and the constants that they
    # would be a session holds as long as it lives: as much memory as all weights.
    rewriting = config.graph_options.rewrite_options
    rewriting.constant_folding = RewriterConfig.OFF
    config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    if not gpus:
        config.device_count["GPU"] = 0
        # On a CPU, rewriting takes a second for every new set of fetches, and no step is faster.
        rewriting.disable_meta_optimizer = True
        if runs > 1:
            # Whole operations side by side cost less than each shared out among all cores.
            config.use_per_session_threads = True
            config.inter_op_parallelism_threads = runs
            config.intra_op_parallelism_threads = max(1, (os.cpu_count() or 1) // runs)
        return f"CPU, {os.cpu_count()} cores", config
    config.gpu_options.allow_growth = True
    # Its kernels are launched by threads that do nothing else; read when the GPU is first used.
    os.environ.setdefault("TF_GPU_THREAD_MODE", "gpu_private")
    # TensorFloat-32 rounds what is multiplied to 1 of 1024: not what fp32 stands for.
    tf.config.experimental.enable_tensor_float_32_execution(mixed)
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    return f"GPU, {name}", config


def peak_memory() -> str:
    """The most memory that this process has taken, in GB, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return "not known"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB"
