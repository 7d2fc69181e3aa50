"""What a run's model wrote to the same prompts at its evaluations: first, and at a step that is chosen."""

from dataclasses import dataclass

from training.models import Run, RunSample


@dataclass(frozen=True)
class Pair:
    """One prompt: what was written to it first, and at the chosen step."""

    prompt: str
    first: RunSample | None
    chosen: RunSample | None


@dataclass(frozen=True)
class Excerpts:
    """All prompts at two steps; `place` is that of the chosen one among the steps of evaluations, from 0."""

    steps: list[int]
    place: int
    pairs: list[Pair]

    @property
    def first(self) -> int:
        return self.steps[0]

    @property
    def chosen(self) -> int:
        return self.steps[self.place]

    @property
    def last_place(self) -> int:
        return len(self.steps) - 1


def excerpts(run: Run, *, place: int | None = None) -> Excerpts | None:
    """What was written at the chosen of the steps, the last unless `place` says which; None if there is
    nothing."""
    steps = list(run.samples.order_by("step").values_list("step", flat=True).distinct())
    if not steps:
        return None
    last = len(steps) - 1
    place = last if place is None else max(0, min(place, last))
    rows = run.samples.filter(step__in={steps[0], steps[place]}).order_by("position")
    prompts: dict[int, str] = {}
    found: dict[tuple[int, int], RunSample] = {}
    for row in rows:
        prompts.setdefault(row.position, row.prompt)
        found[row.position, row.step] = row
    pairs = [
        Pair(prompt, found.get((position, steps[0])), found.get((position, steps[place])))
        for position, prompt in prompts.items()
    ]
    return Excerpts(steps, place, pairs)
