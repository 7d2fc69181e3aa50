"""A short text for an answer, for lists of answers: "2 › 1 = 3", "First: much better"."""

from labeling.feedback import Answer

GRADE_LABELS = {
    -3: "First: much better",
    -2: "First: better",
    -1: "First: slightly better",
    0: "About the same",
    1: "Second: slightly better",
    2: "Second: better",
    3: "Second: much better",
}
MAX_CHARACTERS = 80


def summarize_answer(answer: Answer) -> str:
    """The answer in a few words; samples are named by their numbers on the page."""
    if answer.all_bad:
        return "All bad"
    if answer.grade is not None:
        return GRADE_LABELS[answer.grade]
    if answer.best is not None:
        return f"{answer.best} is best"
    if answer.ranks:
        return _ranking_text(answer.ranks)
    if answer.scores:
        return "Scores " + ", ".join(map(str, answer.scores))
    return _excerpt(answer.text)


def _ranking_text(ranks: tuple[int, ...]) -> str:
    """Sample numbers from best to worst: "2 › 1 = 3"."""
    groups = {
        rank: " = ".join(str(number) for number, given in enumerate(ranks, start=1) if given == rank)
        for rank in sorted(set(ranks))
    }
    return " › ".join(groups.values())


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[: MAX_CHARACTERS - 1]}…”" if len(line) > MAX_CHARACTERS else f"“{line}”"
