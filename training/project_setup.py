"""Setting up projects: prompts from a file, some kept back for evaluation; the story project."""

import json
from collections.abc import Sequence
from pathlib import Path

from django.db import transaction

from labeling.models import Project, Prompt
from labeling.prompts import add_prompts, split_of
from training.gpt.corpus import stories
from training.gpt.errors import InputError


def read_prompts(path: Path, *, encoding: str = "utf-8", words: int = 0) -> list[str]:
    """The prompts in a file, each once: a line each, or `{"prompt": …}` objects in a `.jsonl` file.

    `words` above 0 cuts each to its first so many words, and drops those that have no more than that: a
    prompt must leave something to be written. Raises InputError naming the file and the line.
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
        prompt_of(path, number, line) if path.suffix == ".jsonl" else line.strip()
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


def prompt_of(path: Path, number: int, line: str) -> str:
    """The prompt in one line of JSON Lines."""
    try:
        prompt = json.loads(line)["prompt"]
    except (ValueError, KeyError, TypeError):
        prompt = None
    if not isinstance(prompt, str):
        raise InputError(f'{path}, line {number}: is not {{"prompt": "…"}}; mend the line or take it out.')
    return prompt


def fill_project(project: Project, prompts: Sequence[str], *, heldout: float) -> int:
    """Add prompts to a project, about a share `heldout` of them held out; returns how many were new.

    A prompt's own hash decides its split, so that the same prompt always falls on the same side.
    """
    if not 0 <= heldout < 1:
        raise InputError(f"heldout: {heldout} is not a share from 0 to below 1.")
    before = project.prompts.count()
    sides: dict[str, list[str]] = {Prompt.Split.TRAIN: [], Prompt.Split.HELDOUT: []}
    for prompt in prompts:
        sides[split_of(prompt, heldout=heldout)].append(prompt)
    for split, texts in sides.items():
        add_prompts(project, texts, split)
    return project.prompts.count() - before


STORIES = "stories"
STORY_PROMPTS = 1500
STORY_GUIDELINES = """\
Put the story you would rather read first.

- **Kind** beats unkind: somebody helps, shares or comforts.
- **A good ending** beats a sad one.
- **Well told** beats muddled: no broken sentences, nothing said twice.

Two stories that are equally good may share a place. If none of them is worth reading, say *all bad*.
"""


def story_project() -> Project:
    """The project of the story corpus, made the first time: prompts are openings that leave all else open."""
    with transaction.atomic():
        project, created = Project.objects.get_or_create(slug=STORIES, defaults={"name": "Short stories"})
        if created:
            project.revise_guidelines(STORY_GUIDELINES)
            openings = (stories.opening(text) for text in stories.write_stories(STORY_PROMPTS, PROMPT_SEED))
            fill_project(project, list(dict.fromkeys(openings)), heldout=0.2)
    return project


PROMPT_SEED = 20_000_003
"""Far from the seeds that people give corpora, so that prompts and corpus are different stories."""
