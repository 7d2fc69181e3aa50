"""Adding prompts to a project."""

import hashlib
from collections.abc import Iterable

from labeling.models import Project, Prompt
from labeling.models.projects import prompt_hash


def add_prompts(project: Project, texts: Iterable[str], split: str = Prompt.Split.TRAIN) -> list[Prompt]:
    """Add prompts to a project, each text once.

    A text that the project already has keeps its split. Returns the prompts of all given texts, old and new,
    in the order given, without duplicates.
    """
    if split not in Prompt.Split.values:
        raise ValueError(f"split: {split!r} is neither 'train' nor 'heldout'.")
    by_hash = {prompt_hash(text): text for text in texts}
    if any("\x00" in text for text in by_hash.values()):
        raise ValueError("prompts: a text contains a NUL character, which PostgreSQL cannot store.")
    Prompt.objects.bulk_create(
        (Prompt(project=project, text=text, split=split, hash=key) for key, text in by_hash.items()),
        batch_size=1000,
        ignore_conflicts=True,
    )
    keys = list(by_hash)
    rows: dict[str, Prompt] = {}
    for start in range(0, len(keys), 1000):
        batch = Prompt.objects.filter(project=project, hash__in=keys[start : start + 1000])
        rows.update((row.hash, row) for row in batch)
    return [rows[key] for key in keys]


def split_of(text: str, *, heldout: float) -> str:
    """The split of a prompt when a fraction `heldout` (0 to 1) is held out for evaluation.

    Its hash decides, so that the same prompt always gets the same split.
    """
    draw = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
    return Prompt.Split.HELDOUT if draw < heldout else Prompt.Split.TRAIN
