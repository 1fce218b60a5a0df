"""The options of an evaluation: one frozen record, checked when it is made."""

import dataclasses
from pathlib import Path

from p2p_graph.metrics.registry import METRIC_NAMES
from p2p_graph.utils.errors import UserError, check_bounds
from p2p_graph.utils.outside_files import real_path

_REPORT_FOLDER, _COMPARISON_FOLDER = "evaluation", "comparison"


_MOST_SAMPLES = 10**6  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, by which metrics, and where the report goes.

    Attributes:
      results_dir: a folder that tools/test.py has written; or the next two are given.
      outputs_dir: translated images.
      targets_dir: their targets, of the same names.
      inputs_dir: the inputs of the images in outputs_dir, of the same names.
      compare_dir: what results_dir or outputs_dir are compared with: a folder of the same kind.
      metrics: names in `METRIC_NAMES`; None for all metrics that the other options suffice for.
      palette: the palette of label images: the name of a built-in one, or a CSV file.
      segmenter: what reads labels off photos, as `segmentation.segmenters.load` takes it.
      labels_dir: files of true labels for the segmenter; None if the inputs are label images.
      self_check: whether the segmenter is evaluated on the targets, too.
      report_sensitivity: whether the segmenter is evaluated on distorted targets, too.
      inception: the frozen Inception graph of 2015, for FID and KID.
      features: another network, whose features give a Fréchet distance and a KID of their own:
        "efficientnet_lite0", or module:function.
      lpips_weights: AlexNet's or VGG-16's ImageNet weights, for LPIPS.
      target_statistics: an .npz file that caches the targets' Inception features.
      bootstrap: the number of bootstrap samples; 0 for no intervals.
      seed: the seed of the bootstrap's samples and KID's subsets.
      output_dir: the report's folder; None for the default, see `report_folder`.

    Raises:
      UserError: a value is out of range, or options contradict each other.
    """

    results_dir: Path | None = None
    outputs_dir: Path | None = None
    targets_dir: Path | None = None
    inputs_dir: Path | None = None
    compare_dir: Path | None = None
    metrics: tuple[str, ...] | None = None
    palette: str | None = None
    segmenter: str | None = None
    labels_dir: Path | None = None
    self_check: bool = False
    report_sensitivity: bool = False
    inception: Path | None = None
    features: str | None = None
    lpips_weights: Path | None = None
    target_statistics: Path | None = None
    bootstrap: int = 1000
    seed: int = 0
    output_dir: Path | None = None

    def __post_init__(self) -> None:
        """Checks each value, and the values together."""
        check_bounds("bootstrap", self.bootstrap, 0, _MOST_SAMPLES)
        check_bounds("seed", self.seed, 0, 2**31 - 1)
        unknown = [name for name in self.metrics or () if name not in METRIC_NAMES]
        if unknown:
            raise UserError(f"metrics must be of {', '.join(METRIC_NAMES)}, not {unknown[0]!r}")
        for name in ("palette", "segmenter", "features"):
            if getattr(self, name) == "":
                raise UserError(f"{name} must not be empty")
        of_segmenter = ("self_check", "report_sensitivity", "labels_dir")
        given = [name for name in of_segmenter if getattr(self, name)]
        if given and not self.segmenter:
            raise UserError(f"{given[0]} is for a segmenter: name one (--segmenter)")
        if self.target_statistics and not self.inception:
            raise UserError("target_statistics are Inception's: name its graph (--inception)")
        if self.results_dir and (self.outputs_dir or self.targets_dir or self.inputs_dir):
            raise UserError(
                "results_dir contradicts outputs_dir, targets_dir and inputs_dir: give one of them"
            )
        if not self.results_dir and not (self.outputs_dir and self.targets_dir):
            raise UserError(
                "results_dir is missing: name a folder that tools/test.py has written "
                "(--results_dir), or two folders of images (--outputs_dir, --targets_dir)"
            )
        if self.compare_dir and real_path(self.compare_dir) == real_path(self.evaluated_folder):
            raise UserError(
                f"compare_dir {self.compare_dir} is the folder that is evaluated: name another one"
            )

    @property
    def evaluated_folder(self) -> Path:
        """The folder whose images are evaluated: results_dir or outputs_dir."""
        folder = self.results_dir or self.outputs_dir
        assert folder is not None
        return folder

    @property
    def report_folder(self) -> Path:
        """output_dir; by default `evaluation` in results_dir, or OUTPUTS_DIR-evaluation.

        With compare_dir, `comparison` takes the place of `evaluation`.
        """
        if self.output_dir:
            return self.output_dir
        name = _COMPARISON_FOLDER if self.compare_dir else _REPORT_FOLDER
        if self.results_dir:
            return self.results_dir / name
        outputs = real_path(self.evaluated_folder)
        return outputs.with_name(f"{outputs.name}-{name}")
