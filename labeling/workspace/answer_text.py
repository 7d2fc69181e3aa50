"""An answer in a few words, as its page says it: for a list of one's own answers, and of others'."""

from labeling.feedback import Answer

GRADES = {
    -3: "First: much better",
    -2: "First: better",
    -1: "First: slightly better",
    0: "About the same",
    1: "Second: slightly better",
    2: "Second: better",
    3: "Second: much better",
}
LONGEST = 80


def in_words(answer: Answer) -> str:
    """What was said, by the numbers that the samples had on the page."""
    if answer.all_bad:
        return "All bad"
    if answer.grade is not None:
        return GRADES[answer.grade]
    if answer.best is not None:
        return f"{answer.best} is best"
    if answer.ranks:
        return _order(answer.ranks)
    if answer.scores:
        return "Scores " + ", ".join(map(str, answer.scores))
    return _excerpt(answer.text)


def _order(ranks: tuple[int, ...]) -> str:
    """From best to worst: "2 › 1 = 3"."""
    groups = {
        rank: " = ".join(str(number) for number, given in enumerate(ranks, start=1) if given == rank)
        for rank in sorted(set(ranks))
    }
    return " › ".join(groups.values())


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[: LONGEST - 1]}…”" if len(line) > LONGEST else f"“{line}”"
