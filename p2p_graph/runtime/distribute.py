"""Chooses the replicas of a training run: GPUs, logical devices of a CPU, or several hosts."""

import tensorflow.compat.v1 as tf

from p2p_graph.runtime.cluster import Cluster
from p2p_graph.runtime.devices import Device
from p2p_graph.runtime.replicas import ONE, Replicas
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

ALL = "all"


def distribute(wanted: str, device: Device, cluster: Cluster | None) -> tuple[Replicas, Device]:
    """Chooses the replicas.

    Args:
      wanted: how many this process has, or `ALL` for all GPUs that it sees; a CPU has one then.
      device: from `devices.choose`.
      cluster: the processes of all hosts; None for this one alone.

    Returns:
      The replicas, and the device with the configuration that their sessions need.

    Raises:
      UserError: there are fewer GPUs, or a CPU of several hosts would have several replicas.
    """
    gpus = [] if device.is_cpu else tf.config.list_physical_devices("GPU")
    local = max(1, len(gpus)) if wanted == ALL else int(wanted)
    if gpus and local > len(gpus):
        raise UserError(f"replicas {local}: TensorFlow finds {counted(len(gpus), 'GPU')} here")
    if cluster:
        return _on_hosts(local, device, cluster)
    if local == 1:
        return ONE, device
    config = tf.ConfigProto()
    config.CopyFrom(device.config)
    kind = "cpu" if device.is_cpu else "gpu"
    if device.is_cpu:
        config.device_count["CPU"] = local
    with tf.Graph().as_default():  # otherwise it would configure eager execution
        strategy = tf.distribute.MirroredStrategy([f"/{kind}:{i}" for i in range(local)])
    name = f"{device.name}, {local} replicas"
    return Replicas(strategy, local), device._replace(config=config, name=name)


def _on_hosts(local: int, device: Device, cluster: Cluster) -> tuple[Replicas, Device]:
    if device.is_cpu and local > 1:
        raise UserError(
            f"replicas {local}: on several hosts a CPU has one replica each: leave the flag out"
        )
    job, index = cluster.task
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.jobs),
        task_type=job,
        task_id=index,
        num_accelerators={} if device.is_cpu else {"GPU": local},
    )
    with tf.Graph().as_default():
        strategy = tf.distribute.experimental.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    workers = len(cluster.addresses)
    name = f"{device.name}, worker {cluster.worker} of {workers}"
    name += f" with {counted(local, 'replica')} each"
    config = strategy.update_config_proto(device.config)
    return Replicas(strategy, local, workers, cluster.worker), device._replace(
        config=config, name=name
    )
