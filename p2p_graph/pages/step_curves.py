"""What a run's page shows of its steps: averaged losses, shares and validation, as curves."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from p2p_graph.pages.thinned_curve import ThinnedCurve
from p2p_graph.utils.json_values import is_number


class ValidationFigures(NamedTuple):
    """A metric of the validation images.

    Attributes:
      curve: of its values.
      newest: the newest step that has one, and the value.
      best: the step with the best value, and the value.
    """

    curve: ThinnedCurve
    newest: tuple[int, float]
    best: tuple[int, float]


class StepCurves:
    """Curves of the records in losses.jsonl and reports.jsonl, in bounded memory.

    Attributes:
      losses: averaged losses by name.
      shares: the values of reports by name.
      validation: the metrics of the validation images by name.
    """

    def __init__(
        self,
        losses: Sequence[str],
        shares: Sequence[str],
        larger_is_better: Mapping[str, bool],
        decay: float,
    ) -> None:
        """Begins without steps.

        Args:
          losses: names of losses in the records.
          shares: names of values in the records of reports.
          larger_is_better: by metric name; a record of losses holds metrics as "val_NAME".
          decay: of the moving averages, which start at 0 and are divided by 1 - decay^steps.
        """
        self.losses = {name: ThinnedCurve() for name in losses}
        self.shares = {name: ThinnedCurve() for name in shares}
        self.validation: dict[str, ValidationFigures] = {}
        self._larger_is_better, self._decay = larger_is_better, decay
        self._averages = dict.fromkeys(losses, 0.0)
        self._weight = 0.0  # of all losses so far in the averages

    def add_losses(self, record: Mapping[str, Any]) -> Mapping[str, float]:
        """Adds the losses of a step, and its figures of validation if there are any.

        Args:
          record: a line of losses.jsonl, of a later step than all before.

        Returns:
          The averaged losses by name; empty if the record lacks one.
        """
        step = record["step"]
        for name in self._larger_is_better:
            if is_number(record.get(f"val_{name}")):
                self._add_figure(name, step, record[f"val_{name}"])
        if not all(is_number(record.get(name)) for name in self.losses):
            return {}
        self._weight += (1 - self._weight) * (1 - self._decay)
        averages = {}
        for name, curve in self.losses.items():
            self._averages[name] += (record[name] - self._averages[name]) * (1 - self._decay)
            averages[name] = self._averages[name] / self._weight
            curve.add(step, averages[name])
        return averages

    def add_report(self, record: Mapping[str, Any]) -> None:
        """Adds a line of reports.jsonl, of a later step than all before."""
        for name, curve in self.shares.items():
            if is_number(record.get(name)):
                curve.add(record["step"], record[name])

    def _add_figure(self, name: str, step: int, value: float) -> None:
        former = self.validation.get(name)
        curve, best = (former.curve, former.best) if former else (ThinnedCurve(), (step, value))
        if value > best[1] if self._larger_is_better[name] else value < best[1]:
            best = step, value
        curve.add(step, value)
        self.validation[name] = ValidationFigures(curve, (step, value), best)
