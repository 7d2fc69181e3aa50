"""Setting up projects: prompts from files, held-out splits, and the built-in story project."""

import json
from collections.abc import Iterable
from pathlib import Path

from django.db import transaction

from labeling.models import Project, Prompt
from labeling.prompts import add_prompts, check_storable, split_of
from training.formats.prompt_completions import (
    ParsedPrompt,
    find_conversation,
    find_prompt,
    parse_prompt,
    parse_prompt_and_completions,
)
from training.gpt.corpus import stories
from training.gpt.errors import InputError


def read_prompts(path: Path, *, encoding: str = "utf-8", words: int = 0) -> list[ParsedPrompt]:
    """The distinct prompts in a file: one a line, or an object on each line of a `.jsonl` file.

    An object has a `prompt`, a text or a conversation, or the `messages` of a conversation; an answer at its
    end is left out. `words` above 0 cuts each text to its first words, and drops those without more words
    than that, so that something is left to write. Raises InputError naming the file and the line.
    """
    try:
        # Not splitlines: a text may hold other separators.
        lines = path.read_text(encoding=encoding).split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of prompts.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the byte at offset {error.start} is not {encoding}; "
            "name the file's encoding, such as latin-1."
        ) from None
    except LookupError:
        raise InputError(f"encoding: “{encoding}” is not known; try utf-8 or latin-1.") from None
    parse = parse_json_line if path.suffix == ".jsonl" else parse_prompt
    found: dict[str, ParsedPrompt] = {}
    for number, line in enumerate(lines, start=1):
        try:
            prompt = parse(line.strip()) if line.strip() else None
            check_storable(prompt.text if prompt else "")
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if prompt and words:
            if prompt.messages:
                raise InputError(f"{path}, line {number}: a conversation cannot be cut; leave out --words.")
            parts = prompt.text.split()
            prompt = ParsedPrompt(" ".join(parts[:words])) if len(parts) > words else None
        if prompt:
            found.setdefault(prompt.text, prompt)
    if not found:
        longer = f" of more than {words} words" if words else ""
        raise InputError(f"{path}: holds no prompts{longer}; put one on each line.")
    return list(found.values())


def parse_json_line(line: str) -> ParsedPrompt:
    """The prompt in one line of JSON Lines; raises ValueError if there is none, or an invalid one."""
    example = 'write {"prompt": "…"} or {"messages": [{"role": "user", "content": "…"}]}, or remove the line.'
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg}, column {error.colno}); {example}") from None
    except RecursionError:
        raise ValueError(f"is nested too deeply; {example}") from None
    if not isinstance(row, dict):
        raise ValueError(f'is not {{"prompt": "…"}}; {example}')
    name, value = find_prompt(row)
    if value is not None:
        return parse_prompt(value, name=name, row=row)
    name, value = find_conversation(row)
    if value is None:
        raise ValueError(f'is not {{"prompt": "…"}}; {example}')
    return parse_prompt_and_completions(None, {name: value}, row=row).prompt


def fill_project(project: Project, prompts: Iterable[str | ParsedPrompt], *, heldout: float) -> int:
    """Add prompts to a project, holding out a share of about `heldout`; returns the number of new ones.

    The split is decided by the hash of the prompt, so that the same prompt always gets the same one.
    """
    if not 0 <= heldout < 1:
        raise InputError(f"heldout: {heldout} is not a share of at least 0 and below 1.")
    before = project.prompts.count()
    splits: dict[str, list[str | ParsedPrompt]] = {Prompt.Split.TRAIN: [], Prompt.Split.HELDOUT: []}
    for prompt in prompts:
        splits[split_of(prompt if isinstance(prompt, str) else prompt.text, heldout=heldout)].append(prompt)
    for split, some in splits.items():
        add_prompts(project, some, split)
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
