"""Options of training: losses, optimizers, length, execution, reports, validation.

Those of batches are in `data_options`.
"""

import dataclasses
import re

from p2p_graph.config.listed_values import Folders
from p2p_graph.config.option_fields import MOST_STEPS, Record, option

_MOST_EPOCHS = 2**20

_BOTH = ("train", "test")


@dataclasses.dataclass(frozen=True)
class LossOptions(Record):
    """The losses of D and G (Isola et al. 2017, section 3.1)."""

    gan_loss: str = option(
        "eps",
        "training",
        "adversarial loss: cross-entropy with an epsilon in the logarithms (eps), of clipped "
        "probabilities (clip), of logits (logits); least squares (lsgan)",
        choices=("eps", "clip", "logits", "lsgan"),
    )
    d_scale: float = option(1.0, "training", "factor of the discriminator's loss", least=0)
    l1_weight: float = option(100.0, "training", "weight of L1 in the generator's loss", least=0)
    gan_weight: float = option(
        1.0,
        "training",
        "weight of the adversarial loss in the generator's; 0: no discriminator",
        least=0,
    )


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Record):
    """How the losses change the weights."""

    updates: str = option(
        "stored",
        "training",
        "what the generator's gradient passes through: stored activations and updated weights of "
        "the discriminator D (stored); a new forward pass of the updated D (fresh); D's old "
        "weights (simultaneous); new passes after updates of D on real and on generated pairs "
        "(alternate)",
        choices=("stored", "fresh", "simultaneous", "alternate"),
    )
    lr: float = option(0.0002, "training", "learning rate of Adam", least=0)
    beta1: float = option(
        0.5, "training", "decay rate of Adam's first-moment estimate", least=0, below=1
    )
    adam_epsilon: float = option(1e-8, "training", "epsilon of Adam", least=1e-12)
    lr_schedule: str = option(
        "constant",
        "training",
        "learning rate: constant, or linear decay to 0 over the second half of training",
        choices=("constant", "linear"),
    )


@dataclasses.dataclass(frozen=True)
class LengthOptions(Record):
    """The length of training or translation."""

    max_steps: int | None = option(
        None,
        "training",
        {
            "train": "total training steps, resumed ones included (default, or 0: by max_epochs)",
            "test": "maximum number of batches to translate (default, or 0: all)",
        },
        programs=_BOTH,
        least=0,
        most=MOST_STEPS,
    )
    max_epochs: int | None = option(
        None,
        "training",
        "total epochs, resumed ones included (default, or 0: 200)",
        least=0,
        most=_MOST_EPOCHS,
    )
    steps_per_epoch: int | None = option(
        None,
        "training",
        "steps that count as an epoch (default: as many as all images need)",
        least=1,
        most=MOST_STEPS // _MOST_EPOCHS,
    )


def _replicas_rule(value: str) -> str | None:
    if value == "all" or re.fullmatch(r"[1-9][0-9]{0,2}", value):
        return None
    return "must be a number from 1 to 999, or all"


@dataclasses.dataclass(frozen=True)
class ExecutionOptions(Record):
    """Where and how the graph is executed."""

    device: str = option(
        "auto",
        "training",
        "device of the graph; auto is a GPU if TensorFlow finds one",
        programs=_BOTH,
        choices=("auto", "cpu", "gpu"),
    )
    replicas: str = option(
        "1",
        "training",
        "copies of the networks, each on a GPU of its own and with batch_size images of a step: a "
        "number, or all; without a GPU they share the CPU, which is for trying only",
        rule=_replicas_rule,
        metavar="N",
    )
    xla: bool = option(
        False,
        "training",
        "compile each training step with XLA, for GPUs; dropout masks differ from those without",
    )
    steps_per_run: int = option(
        1,
        "training",
        "training steps per Session.run call; every --*_freq must be a multiple of N",
        least=1,
        most=2**16,
    )


@dataclasses.dataclass(frozen=True)
class ReportOptions(Record):
    """What a training run writes, and how often."""

    summary_freq: int = option(
        100,
        "reports",
        "write TensorBoard summaries every N steps, 0 for never",
        least=0,
        most=MOST_STEPS,
    )
    progress_freq: int = option(
        50,
        "reports",
        "print progress, and write the run's page (index.html), every N steps, 0 for never",
        least=0,
        most=MOST_STEPS,
    )
    open: bool = option(
        False,
        "reports",
        "open the run's page, index.html, in the browser when training starts",
    )
    trace_freq: int = option(
        0,
        "reports",
        "trace a step for TensorBoard's profile every N steps, 0 for never",
        least=0,
        most=MOST_STEPS,
    )
    display_freq: int = option(
        0,
        "reports",
        "write the training images of a step every N steps, 0 for never",
        least=0,
        most=MOST_STEPS,
    )
    save_freq: int = option(
        5000,
        "reports",
        "save a checkpoint every N steps and at the end; 0: only if a signal (Ctrl-C) stops "
        "training, not at the end",
        least=0,
        most=MOST_STEPS,
    )
    keep_checkpoints: int = option(
        1, "reports", "keep the last N checkpoints", least=1, most=MOST_STEPS
    )
    keep_every: int = option(
        0,
        "reports",
        "save a checkpoint every N steps and keep it for good, 0 for none",
        least=0,
        most=MOST_STEPS,
    )


def _sample_rule(value: str) -> str | None:
    if re.fullmatch(r"[0-9]{1,9}e?", value):
        return None
    return "must be a number of steps, or of epochs as in 2e"


@dataclasses.dataclass(frozen=True)
class ValidationOptions(Record):
    """Validation images: which, how often, and what follows from them."""

    sample_freq: str = option(
        "0",
        "reports",
        "translate the validation images every N steps, or every N epochs (2e): an image grid in "
        "samples/; L1, PSNR and SSIM in losses.jsonl; 0 for never",
        rule=_sample_rule,
        metavar="N[e]",
    )
    sample_count: int = option(
        5,
        "reports",
        {
            "train": "validate on the first N validation images; needs --sample_freq",
            "test": "number of images in grid.png; needs --grid",
        },
        programs=_BOTH,
        least=1,
        most=2**16,
    )
    val_dir: str | None = option(
        None,
        "reports",
        "validation images: a folder of images or of TFRecord shards, an .npz archive or a CSV "
        "file (default: what --split leaves out, otherwise the folder val or test beside "
        "input_dir); needs --sample_freq",
    )
    val_target_dir: str | None = option(
        None,
        "reports",
        "folder of the validation targets (default: the folder beside target_dir with val_dir's "
        "name)",
    )
    val_more_inputs: Folders | None = option(
        None,
        "reports",
        "folder of further validation inputs, once for each of --more_inputs (default: the folders "
        "beside those, with val_dir's name)",
        metavar="DIR",
    )
    keep_best: str = option(
        "none",
        "reports",
        "keep the checkpoint with the best value of this metric in best/; needs --sample_freq",
        choices=("none", "l1", "psnr", "ssim"),
    )

    @property
    def is_on(self) -> bool:
        """Whether validation images are translated while training."""
        return int(self.sample_freq.removesuffix("e")) > 0
