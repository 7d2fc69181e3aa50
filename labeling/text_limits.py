"""How long texts may be, in characters: the same from import through draft to answer."""

MAX_TEXT_LENGTH = 100_000
"""A prompt, a sample, or a text that somebody writes."""
MAX_COMMENT_LENGTH = 2000
MAX_NAME_LENGTH = 150
"""The name of a generator or an annotator."""
MAX_SAMPLES = 9  # one digit key each
MAX_DRAFT_LENGTH = (MAX_SAMPLES + 2) * MAX_TEXT_LENGTH
"""All texts of a draft: a rewrite keeps one for each sample, and one from scratch."""
