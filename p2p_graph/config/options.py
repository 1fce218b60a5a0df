"""All options of a run: a frozen record a concern, and the flat form of files and flags."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from p2p_graph.config import cross_checks
from p2p_graph.config.bulk_options import BulkOptions
from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.dataset_recipes import RECIPES
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.config.option_fields import (
    MOST_STEPS,
    Field,
    Record,
    from_flat,
    leaves,
    option,
    stored,
    to_flat,
)
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.config.training_options import (
    ExecutionOptions,
    LengthOptions,
    LossOptions,
    OptimizerOptions,
    ReportOptions,
    ValidationOptions,
)
from p2p_graph.utils.errors import UserError

_ALL = ("train", "test", "export")
FORMATS = (  # of exports
    "meta",
    "saved_model",
    "frozen",
    "onnx",
    "litert",
    "litert-fp16",
    "litert-int8-weights",
    "litert-int8",
    "web",
)


def _recipe_rule(name: str) -> str | None:
    return None if name in (*RECIPES, "none") else f"must be one of {', '.join(RECIPES)} or none"


def _format_rule(names: str) -> str | None:
    is_known = set(names.split(",")) <= set(FORMATS)
    return None if is_known else f"must be of {', '.join(FORMATS)}, joined by commas"


@dataclasses.dataclass(frozen=True)
class RunOptions(Record):
    """Which run this is, and where it goes."""

    mode: str = option(
        "train",
        "files",
        {
            program: f"only for old pix2pix.py commands: --mode {program} is accepted and changes "
            "nothing"
            for program in _ALL
        },
        programs=_ALL,
        choices=_ALL,
    )
    output_dir: str | None = option(
        None,
        "files",
        {
            "train": "folder of the run (default: runs/DATASET_DIRECTION)",
            "test": "folder to write to (default: a folder inside the checkpoint's, named "
            "facades_test for facades/test; with --step 300, facades_test_300)",
            "export": "folder to write to (default: export in the checkpoint's folder; with "
            "--step 300, export_300)",
        },
        programs=_ALL,
    )
    checkpoint: str | None = option(
        None,
        "files",
        {
            "train": "start from the checkpoint in this folder and count on from its step; used "
            "only if output_dir has no checkpoint yet",
            "test": "folder of the checkpoint (default: the run of the same data set in runs/)",
            "export": "folder of the checkpoint (required)",
        },
        programs=_ALL,
    )
    step: int | None = option(
        None,
        "files",
        "take the checkpoint of step N in the checkpoint's folder (default: the newest)",
        programs=("test", "export"),
        least=0,
        most=MOST_STEPS,
    )
    preset: str = option(
        "affinelayer",
        "training",
        "published system whose networks, losses, updates and data handling are the defaults",
        choices=tuple(PRESETS),
    )
    recipe: str | None = option(
        None,
        "training",
        "data set of the paper whose direction, epochs, batch size, jitter and mirroring are the "
        f"defaults: {', '.join(RECIPES)}, or none (default: by the name of the folder that holds "
        "train)",
        rule=_recipe_rule,
    )
    seed: int = option(
        0,
        "training",
        {
            "train": "seed of initial weights, image order, jitter and dropout",
            "test": "seed of the dropout masks",
            "export": "seed of the dropout masks",
        },
        programs=_ALL,
        least=0,
        below=2**31,
    )

    @property
    def step_suffix(self) -> str:
        """What the names of default folders end with: _300 with the step 300, otherwise nothing."""
        return "" if self.step is None else f"_{self.step}"


@dataclasses.dataclass(frozen=True)
class OutputOptions(Record):
    """The form of written images."""

    aspect_ratio: float = option(
        1.0,
        "data",
        "stretches the width of written images; of square ones, this is their width / height",
        programs=("train", "test"),
        least=0,
    )
    output_bits: int = option(
        8,
        "data",
        "bits a channel of the written PNG files, 8 or 16",
        programs=("test",),
        least=8,
        most=16,
        rule=lambda value: None if value in (8, 16) else "must be 8 or 16",
    )
    grid: bool = option(
        False,
        "reports",
        "also write the first images as one image grid, grid.png",
        programs=("test",),
    )
    format: str = option(
        "meta,saved_model",
        "files",
        "what is written, joined by commas: meta (the reference's meta graph), saved_model, frozen "
        "(frozen_graph.pb, a graph with the weights as constants), onnx (generator.onnx), litert "
        "(generator.tflite), of smaller LiteRT models litert-fp16 (weights of 16 bits), "
        "litert-int8-weights (of 8 bits) and litert-int8 (convolutions in 8 bits), and web (web/, "
        "a page to draw on that needs no server of this package)",
        programs=("export",),
        rule=_format_rule,
        metavar="NAMES",
    )
    calibration_dir: str | None = option(
        None,
        "files",
        "folder of images as in training, or of inputs with --inputs_only, from which litert-int8 "
        "takes the ranges of values; the first 100 are read",
        programs=("export",),
        metavar="DIR",
    )
    ort_dir: str | None = option(
        None,
        "files",
        "folder of an unpacked npm package onnxruntime-web, from which web copies what it needs "
        "(default: browsers take it from a public address)",
        programs=("export",),
        metavar="DIR",
    )
    examples: str | None = option(
        None,
        "files",
        "folder of example images for web (default: the test images beside those of training)",
        programs=("export",),
        metavar="DIR",
    )
    palette: str | None = option(
        None,
        "files",
        "colours of label images for web, as in tools/serve.py",
        programs=("export",),
        metavar="NAME",
    )
    output_filetype: str = option(
        "png",
        "files",
        "image format of the outputs of the meta graph and of the signature 'encoded'",
        programs=("export",),
        choices=("png", "jpeg"),
    )


@dataclasses.dataclass(frozen=True)
class Options(Record):
    """The options of one run, a record a concern.

    The flat names and defaults of the reference program are kept: `Options.of(ngf=32)` makes one
    from them, `flat` gives them back. Where the default of an option depends on others, `of` fills
    it in. Making one checks every value, then the values together.

    Raises:
      UserError: a value is out of its range, or values contradict each other.
    """

    run: RunOptions = dataclasses.field(default_factory=RunOptions)
    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    losses: LossOptions = dataclasses.field(default_factory=LossOptions)
    optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
    length: LengthOptions = dataclasses.field(default_factory=LengthOptions)
    execution: ExecutionOptions = dataclasses.field(default_factory=ExecutionOptions)
    reports: ReportOptions = dataclasses.field(default_factory=ReportOptions)
    validation: ValidationOptions = dataclasses.field(default_factory=ValidationOptions)
    outputs: OutputOptions = dataclasses.field(default_factory=OutputOptions)
    bulk: BulkOptions = dataclasses.field(default_factory=BulkOptions)

    def __post_init__(self) -> None:
        """Fills in what depends on other options, and checks the values together."""
        scaling, generator = self.data.scaling, self.model.generator
        cross_checks.check_original_size(scaling, self.run.mode, self.data.batches.batch_size)
        if generator.levels is None:
            levels = cross_checks.default_levels(generator, scaling.crop_size)
            generator = dataclasses.replace(generator, levels=levels)
            model = dataclasses.replace(self.model, generator=generator)
            object.__setattr__(self, "model", model)
        if scaling.scale_size is None:
            scaling = dataclasses.replace(
                scaling, scale_size=cross_checks.default_scale_size(scaling)
            )
            data = dataclasses.replace(self.data, scaling=scaling)
            object.__setattr__(self, "data", data)
        cross_checks.check_source(self.data.source, self.data.task)
        cross_checks.check_task(self.data.task, self.data.scaling)
        cross_checks.check_output_form(self.data.task, self.outputs.output_filetype)
        cross_checks.check_sizes(self.data.scaling, self.model.generator, self.outputs.aspect_ratio)
        cross_checks.check_losses(self.losses)
        height, width = scaling.crop_size
        shown_side = min(height, round(width * self.outputs.aspect_ratio))
        cross_checks.check_validation(self.validation, shown_side, grid=self.outputs.grid)
        cross_checks.check_frequencies(self.reports, self.execution.steps_per_run)

    @classmethod
    def of(cls, **flat: Any) -> "Options":
        """Makes options from values by flat name; the rest have their defaults.

        Raises:
          UserError: as making one, or a name is not known.
        """
        if unknown := sorted(set(flat) - set(FIELDS)):
            raise UserError(f"no option is called {unknown[0]}")
        made: Options = from_flat(cls, flat)
        return made

    def flat(self) -> dict[str, Any]:
        """All values by flat name, as options.json has them."""
        return to_flat(self)

    def replace(self, **flat: Any) -> "Options":
        """Makes a copy with some values changed, checked again."""
        return Options.of(**{**self.flat(), **flat})


# Every option by its flat name, in the order of the records.
FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for _, field in leaves(Options)})
RECORDS: Mapping[str, type] = MappingProxyType(
    {field.name: record for record, field in leaves(Options)}
)
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {name: stored(field.default) for name, field in FIELDS.items()}
)
