"""Adding prompts to a project, and choosing those that need tasks."""

import hashlib
from collections.abc import Collection, Iterable

from django.db.models import Count

from labeling.models import Project, Prompt
from labeling.models.projects import prompt_hash
from training.formats.prompt_completions import ParsedPrompt


def add_prompts(
    project: Project, prompts: Iterable[str | ParsedPrompt], split: str = Prompt.Split.TRAIN
) -> list[Prompt]:
    """Add prompts to a project, each text once; conversations are given as ParsedPrompts.

    A text that the project already has keeps its split, and gets the messages given if it had none. Returns
    the prompts of all given texts, old and new, in the order given, without duplicates.
    """
    if split not in Prompt.Split.values:
        raise ValueError(f"split: {split!r} is neither 'train' nor 'heldout'.")
    by_hash: dict[str, ParsedPrompt] = {}
    for prompt in prompts:
        parsed = ParsedPrompt(prompt) if isinstance(prompt, str) else prompt
        check_storable(parsed.text)
        by_hash.setdefault(prompt_hash(parsed.text), parsed)
    Prompt.objects.bulk_create(
        (
            Prompt(project=project, text=each.text, messages=each.messages, split=split, hash=key)
            for key, each in by_hash.items()
        ),
        batch_size=1000,
        ignore_conflicts=True,
    )
    keys = list(by_hash)
    rows: dict[str, Prompt] = {}
    for start in range(0, len(keys), 1000):
        batch = Prompt.objects.filter(project=project, hash__in=keys[start : start + 1000])
        rows.update((row.hash, row) for row in batch)
    stored_as_text = [row for row in rows.values() if row.messages is None and by_hash[row.hash].messages]
    for row in stored_as_text:
        row.messages = by_hash[row.hash].messages
    Prompt.objects.bulk_update(stored_as_text, ["messages"], batch_size=1000)
    return [rows[key] for key in keys]


def check_storable(text: str) -> None:
    """Raise ValueError if PostgreSQL cannot store the text."""
    if "\x00" in text:
        raise ValueError("a NUL character: the file is damaged or not a text file.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate): save the file again as UTF-8.") from None


def split_of(text: str, *, heldout: float) -> str:
    """The split of a prompt when a fraction `heldout` (0 to 1) is held out for evaluation.

    Its hash decides, so that the same prompt always gets the same split.
    """
    draw = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
    return Prompt.Split.HELDOUT if draw < heldout else Prompt.Split.TRAIN


def prompts_with_fewest_tasks(
    project: Project, *, count: int | None = None, without: Collection[int] = ()
) -> list[Prompt]:
    """At most `count` training prompts of the project, those with the fewest tasks first, in random order.

    `without` are the ids of prompts to leave out.
    """
    prompts = project.prompts.filter(split=Prompt.Split.TRAIN).exclude(pk__in=without)
    return list(prompts.annotate(had=Count("tasks")).order_by("had", "?")[:count])
