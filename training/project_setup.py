"""Setting up projects: prompts from files, held-out splits, and the built-in story project."""

import json
from collections.abc import Sequence
from pathlib import Path

from django.db import transaction

from labeling.models import Project, Prompt
from labeling.prompts import add_prompts, split_of
from training.gpt.corpus import stories
from training.gpt.errors import InputError


def read_prompts(path: Path, *, encoding: str = "utf-8", words: int = 0) -> list[str]:
    """The distinct prompts in a file: one a line, or `{"prompt": …}` objects in a `.jsonl` file.

    `words` above 0 cuts each prompt to its first words, and drops those without more words than that, so that
    something is left to write. Raises InputError naming the file and the line.
    """
    try:
        lines = path.read_text(encoding=encoding).splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of prompts.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the byte at offset {error.start} is not {encoding}; "
            "name the file's encoding, such as latin-1."
        ) from None
    except LookupError:
        raise InputError(f"encoding: “{encoding}” is not known; try utf-8 or latin-1.") from None
    texts = [
        parse_prompt_line(path, number, line) if path.suffix == ".jsonl" else line.strip()
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if words:
        texts = [" ".join(parts[:words]) for parts in map(str.split, texts) if len(parts) > words]
    prompts = list(dict.fromkeys(texts))
    if not prompts:
        longer = f" of more than {words} words" if words else ""
        raise InputError(f"{path}: holds no prompts{longer}; put one on each line.")
    return prompts


def parse_prompt_line(path: Path, number: int, line: str) -> str:
    """The prompt in one line of JSON Lines."""
    try:
        prompt = json.loads(line)["prompt"]
    except (ValueError, KeyError, TypeError):
        prompt = None
    if not isinstance(prompt, str):
        raise InputError(f'{path}, line {number}: is not {{"prompt": "…"}}; correct or remove the line.')
    return prompt


def fill_project(project: Project, prompts: Sequence[str], *, heldout: float) -> int:
    """Add prompts to a project, holding out a share of about `heldout`; returns the number of new ones.

    The split is decided by the hash of the prompt, so that the same prompt always gets the same one.
    """
    if not 0 <= heldout < 1:
        raise InputError(f"heldout: {heldout} is not a share of at least 0 and below 1.")
    before = project.prompts.count()
    splits: dict[str, list[str]] = {Prompt.Split.TRAIN: [], Prompt.Split.HELDOUT: []}
    for prompt in prompts:
        splits[split_of(prompt, heldout=heldout)].append(prompt)
    for split, texts in splits.items():
        add_prompts(project, texts, split)
    return project.prompts.count() - before


STORIES = "stories"
STORY_PROMPTS = 1500
STORY_GUIDELINES = """\
Put the story you would rather read first.

- **Kind** beats unkind: somebody helps, shares or comforts.
- **A good ending** beats a sad one.
- **Well written** beats muddled: no broken sentences, nothing repeated.

Two stories that are equally good may share a place. If none of them is worth reading, say *all bad*.
"""


def story_project() -> Project:
    """The project of the story corpus, created on first use; its prompts are openings of stories."""
    with transaction.atomic():
        project, created = Project.objects.get_or_create(slug=STORIES, defaults={"name": "Short stories"})
        if created:
            project.revise_guidelines(STORY_GUIDELINES)
            openings = (
                stories.first_sentence(text) for text in stories.write_stories(STORY_PROMPTS, PROMPT_SEED)
            )
            fill_project(project, list(dict.fromkeys(openings)), heldout=0.2)
    return project


PROMPT_SEED = 20_000_003
"""Far from the seeds people choose for corpora, so that prompts and corpus are different stories."""
