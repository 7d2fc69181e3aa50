"""What an import did, or would do, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from labeling.imports.options import ImportResult


def count(number: int, noun: str) -> str:
    """A number with its noun, such as `1,200 prompts`."""
    plural = {"skip": "skipped tasks", "gold task": "gold and training tasks"}.get(noun, f"{noun}s")
    one = {"skip": "skipped task"}.get(noun, noun)
    return f"{number:,} {one if number == 1 else plural}"


def describe_new(result: ImportResult) -> str:
    """What is new, such as `3 prompts (1 held out), 2 tasks with 4 samples, 2 answers by 1 annotator`."""
    return describe_json(result.as_json())


def describe_json(counts: Mapping[str, Any]) -> str:
    """The same from a result as it is kept."""
    parts = []
    if counts["prompts"]:
        heldout = f" ({counts['heldout']:,} held out)" if counts["heldout"] else ""
        parts.append(count(counts["prompts"], "prompt") + heldout)
    if counts["tasks"]:
        parts.append(f"{count(counts['tasks'], 'task')} with {count(counts['samples'], 'sample')}")
    if counts["gold"]:
        parts.append(count(counts["gold"], "gold task"))
    if counts["answers"]:
        parts.append(f"{count(counts['answers'], 'answer')} by {count(counts['annotators'], 'annotator')}")
    if counts["skips"]:
        parts.append(count(counts["skips"], "skip"))
    return ", ".join(parts) or "nothing new"


def describe_rest(result: ImportResult) -> Iterator[str]:
    """What is not new, not used or changed."""
    if result.known:
        rows, are = count(result.known, "row"), "is" if result.known == 1 else "are"
        yield f"{rows} {are} in the project already, or repeated in the file."
    if result.unused_answers:
        yield f"{count(result.unused_answers, 'answer')} in the file not used."
    if result.rounded:
        yield f"{count(result.rounded, 'score')} rounded to a step of the project's scale."
    if result.generators:
        most = ", ".join(f"{name} ({number:,})" for name, number in result.generators.most_common(8))
        yield f"Written by: {most}{', …' if len(result.generators) > 8 else ''}."


def summarize(result: ImportResult, *, dry_run: bool) -> Iterator[str]:
    """The lines that a command prints."""
    if result.problem_count:
        yield f"{count(result.problem_count, 'problem')}:"
        yield from (f"  {problem}" for problem in result.problems)
        if result.problem_count > len(result.problems):
            yield f"  … and {result.problem_count - len(result.problems):,} more."
    if not result.stored and not dry_run:
        return
    verb = "Would import" if dry_run else "Imported"
    yield f"{verb}: {describe_new(result)}." if not result.is_empty else "Nothing new to import."
    yield from describe_rest(result)
