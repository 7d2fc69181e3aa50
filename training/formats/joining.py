"""How a text that a person wrote follows its prompt."""

from collections import Counter
from collections.abc import Iterable


def joining_whitespace(prompt: str, samples: Iterable[str]) -> str:
    """The white space between a prompt and a completion: the most common leading white space of the samples.

    Without samples, a space, unless the prompt is empty or ends in white space.
    """
    texts = [text for text in samples if text.strip()]
    if texts:
        return Counter(text[: len(text) - len(text.lstrip())] for text in texts).most_common(1)[0][0]
    return " " if prompt and not prompt[-1].isspace() else ""
