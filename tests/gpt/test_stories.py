import random
import re
from collections import Counter

from training.gpt.corpus.stories import (
    BAD_ENDINGS,
    GOOD_ENDINGS,
    GRAMMAR,
    KIND,
    UNKIND,
    Grammar,
    count_stories,
    first_sentence,
    story_traits,
    write_stories,
    write_story,
)

STORIES = write_stories(4000, seed=1)


def first_options(grammar: Grammar, size: int) -> Grammar:
    return {name: options[:size] if name != "story" else options for name, options in grammar.items()}


def test_there_are_at_least_ten_million() -> None:
    assert count_stories() >= 10**7


def test_the_count_is_the_number_of_different_stories() -> None:
    """A grammar cut down to one or two options a slot can be drawn from until no new story comes."""
    pairs = {name: GRAMMAR[name][:2] for name in ("ending", "deed", "thing", "name")}
    small = {**first_options(GRAMMAR, 1), **pairs}
    rng = random.Random(0)
    assert count_stories(small) == 4 * 2 * 2 * 2 * 2
    assert len({write_story(rng, small) for _ in range(2000)}) == count_stories(small)


def test_they_hardly_ever_repeat() -> None:
    assert len(set(STORIES)) == len(STORIES)


def test_the_same_seed_writes_the_same() -> None:
    assert write_stories(20, seed=4) == write_stories(20, seed=4)
    assert write_stories(20, seed=4) != write_stories(20, seed=5)


def test_they_have_two_to_four_sentences_of_clean_text() -> None:
    for story in STORIES:
        sentences = re.split(r"(?<=\.) ", story)
        assert 2 <= len(sentences) <= 4
        assert all(re.fullmatch(r"[A-Z][A-Za-z, ]+\.", sentence) for sentence in sentences), story


def test_every_option_is_used() -> None:
    text = "\n".join(STORIES)
    for name in ("name", "weather", "place", "thing", "later"):
        assert all(option in text for option in GRAMMAR[name])
    assert all(re.search(rf"\b{word}\b", text) for word in KIND | UNKIND | GOOD_ENDINGS | BAD_ENDINGS)


def test_kindness_and_ending_can_be_told_and_are_independent() -> None:
    pairs = Counter((reading.kindness, reading.ending) for reading in map(story_traits, STORIES))
    assert set(pairs) == {(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)}
    # Each a quarter of 4,000: a deviation of 27.
    assert all(abs(count - 1000) < 130 for count in pairs.values())


def test_the_opening_gives_nothing_away() -> None:
    for story in STORIES:
        prompt = first_sentence(story)
        assert story.startswith(prompt + " ")
        assert prompt.endswith(".")
        assert story_traits(prompt) == story_traits("")


def test_the_four_word_lists_share_no_word() -> None:
    assert len(KIND | UNKIND | GOOD_ENDINGS | BAD_ENDINGS) == sum(
        map(len, (KIND, UNKIND, GOOD_ENDINGS, BAD_ENDINGS))
    )
    assert len(KIND) == len(UNKIND) == len(GOOD_ENDINGS) == len(BAD_ENDINGS)


def test_any_text_can_be_read() -> None:
    assert (story_traits("").kindness, story_traits("").ending) == (0.0, 0.0)
    assert story_traits("helped helped HELPED. and mocked,").kindness == 0.5
    assert story_traits("she Danced \x00 <|endoftext|> �").ending == 1.0


def test_the_opening_of_a_broken_text_is_all_there_is() -> None:
    assert first_sentence("no end in sight") == "no end in sight"
    assert first_sentence("  One. Two.") == "One."
    assert first_sentence("") == ""
