"""Samples during training: the same prompts completed at the first evaluation and at a selected one."""

from dataclasses import dataclass

from training.models import Run, RunSample


@dataclass(frozen=True)
class SamplePair:
    """One prompt with its samples of the first and the selected step."""

    prompt: str
    first: RunSample | None
    selected: RunSample | None


@dataclass(frozen=True)
class SampleHistory:
    """The samples of two steps; `index` is the selected one among the `steps` of evaluations, from 0."""

    steps: list[int]
    index: int
    pairs: list[SamplePair]

    @property
    def first(self) -> int:
        return self.steps[0]

    @property
    def selected(self) -> int:
        return self.steps[self.index]

    @property
    def last_index(self) -> int:
        return len(self.steps) - 1


def sample_history(run: Run, *, index: int | None = None) -> SampleHistory | None:
    """The samples of the first step and of that at `index` (default: the last); None if there are none."""
    steps = list(run.samples.order_by("step").values_list("step", flat=True).distinct())
    if not steps:
        return None
    last = len(steps) - 1
    index = last if index is None else max(0, min(index, last))
    rows = run.samples.filter(step__in={steps[0], steps[index]}).order_by("position")
    prompts: dict[int, str] = {}
    found: dict[tuple[int, int], RunSample] = {}
    for row in rows:
        prompts.setdefault(row.position, row.prompt)
        found[row.position, row.step] = row
    pairs = [
        SamplePair(prompt, found.get((position, steps[0])), found.get((position, steps[index])))
        for position, prompt in prompts.items()
    ]
    return SampleHistory(steps, index, pairs)
