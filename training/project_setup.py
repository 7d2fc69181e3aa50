"""Setting up projects: prompts from files, held-out splits, and the built-in story project."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from labeling.models import Project, Prompt
from labeling.prompts import add_prompts, split_of
from training.formats.prompt_completions import ParsedPrompt
from training.formats.reader import AUTO, all_records, list_problems, parse_columns
from training.formats.rows import FileProblem, Problem
from training.gpt.corpus import stories
from training.gpt.errors import InputError


class FilePrompt(NamedTuple):
    """A prompt in a file, and the split that the file puts it in: `train`, `heldout` or empty."""

    prompt: ParsedPrompt
    split: str = ""


def read_prompts(
    path: Path,
    *,
    encoding: str = "",
    words: int = 0,
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: str = "",
) -> list[FilePrompt]:
    """The distinct prompts in a file of any format that `training.formats` reads, such as one a line.

    Answers beside a prompt are left out. `words` above 0 cuts each text to its first words, and drops those
    without more words than that, so that something is left to write. `columns` is as in `--columns`. Raises
    InputError naming the file, the rows and what is wrong with them.
    """
    try:
        mapping = parse_columns(columns)
        _, records = all_records(path, encoding=encoding, format=format, columns=mapping)
    except FileProblem as error:
        raise InputError(str(error)) from None
    found: dict[str, FilePrompt] = {}
    problems: list[Problem] = []
    for record in records:
        prompt = record.prompt
        if not prompt.text.strip():
            problems.append(Problem(record.row, "no prompt: name its column, as in --columns prompt=NAME."))
            continue
        if words:
            if prompt.messages:
                problems.append(Problem(record.row, "a conversation cannot be cut; leave out --words."))
                continue
            parts = prompt.text.split()
            if len(parts) <= words:
                continue
            prompt = ParsedPrompt(" ".join(parts[:words]))
        found.setdefault(prompt.text, FilePrompt(prompt, record.split))
    if problems:
        raise InputError(list_problems(str(path), problems))
    if not found:
        longer = f" of more than {words} words" if words else ""
        raise InputError(f"{path}: holds no prompts{longer}; put one on each line.")
    return list(found.values())


def fill_project(project: Project, prompts: Iterable[str | FilePrompt], *, heldout: float) -> int:
    """Add prompts to a project, all or none, holding out a share of about `heldout` of those without a split
    of their own; returns the number of new ones.

    The split is decided by the hash of the prompt, so that the same prompt always gets the same one.
    """
    if not 0 <= heldout < 1:
        raise InputError(f"heldout: {heldout} is not a share of at least 0 and below 1.")
    splits: dict[str, list[str | ParsedPrompt]] = {Prompt.Split.TRAIN: [], Prompt.Split.HELDOUT: []}
    for each in prompts:
        prompt, split = (ParsedPrompt(each), "") if isinstance(each, str) else each
        splits[split or split_of(prompt.text, heldout=heldout)].append(prompt)
    with transaction.atomic():
        before = project.prompts.count()
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
