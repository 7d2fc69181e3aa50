from pathlib import Path

import pytest

from training.gpt.errors import InputError
from training.rlhf.preferences import Comparison, ranking_to_comparisons, read_preferences, split_by_prompt

GOOD = '{"prompt": "p", "chosen": " a", "rejected": " b"}'


def write(folder: Path, *lines: str) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_it_reads_pairs_with_and_without_the_optional_fields(tmp_path: Path) -> None:
    full = (
        '{"prompt": "p", "chosen": "a", "rejected": "b",'
        ' "tie": true, "margin": 1, "group": "g", "annotator": "ann"}'
    )
    assert read_preferences(write(tmp_path, GOOD, "", full, '{"chosen": "x", "rejected": "y"}')) == [
        Comparison(prompt="p", chosen=" a", rejected=" b"),
        Comparison(prompt="p", chosen="a", rejected="b", tie=True, margin=1.0, group="g", annotator="ann"),
        Comparison(prompt="", chosen="x", rejected="y"),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"prompt": "p", "chosen": "a"', "not JSON"),
        ('["a", "b"]', "not a JSON object"),
        ('{"prompt": "p", "chosen": "a"}', 'no "rejected"'),
        ('{"prompt": 3, "chosen": "a", "rejected": "b"}', '"prompt" is not a string'),
        ('{"chosen": "a", "rejected": "b", "margin": "much"}', '"margin" is not a finite number'),
        ('{"chosen": "a", "rejected": "b", "margin": NaN}', '"margin" is not a finite number'),
        ('{"chosen": "a", "rejected": "b", "tie": 1}', '"tie" is neither true nor false'),
    ],
)
def test_a_malformed_line_is_named_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path, *[GOOD] * 6, line, GOOD)
    with pytest.raises(InputError) as error:
        read_preferences(path)
    message = str(error.value)
    assert message.startswith(f"{path}, line 7: ")
    assert says in message
    assert "\n" not in message


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"chosen": "caf\xe9", "rejected": "b"}\n')
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        read_preferences(path)


def test_an_empty_and_a_missing_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.jsonl: no comparison"):
        read_preferences(write(tmp_path, ""))
    with pytest.raises(InputError, match=r"none\.jsonl: No such file"):
        read_preferences(tmp_path / "none.jsonl")


def test_a_ranking_gives_all_its_pairs_with_the_better_one_chosen() -> None:
    pairs = ranking_to_comparisons(
        prompt="p", completions=["a", "b", "c"], ranks=[2, 1, 2], group="g", annotator="ann"
    )
    assert [(pair.chosen, pair.rejected, pair.tie) for pair in pairs] == [
        ("b", "a", False),
        ("a", "c", True),
        ("b", "c", False),
    ]
    assert {(pair.prompt, pair.group, pair.annotator) for pair in pairs} == {("p", "g", "ann")}


def test_no_prompt_is_on_both_sides_of_the_split() -> None:
    pairs = [
        Comparison(prompt=f"p{number % 50}", chosen=f"a{number}", rejected=f"b{number}")
        for number in range(300)
    ]
    train, heldout = split_by_prompt(pairs, heldout=0.2, seed=0)
    assert {pair.prompt for pair in train}.isdisjoint(pair.prompt for pair in heldout)
    assert len(train) + len(heldout) == 300
    assert 0.08 < len(heldout) / 300 < 0.36


def test_a_prompt_stays_on_its_side_when_comparisons_are_added() -> None:
    pairs = [Comparison(prompt=f"p{number}", chosen="a", rejected="b") for number in range(100)]
    _, before = split_by_prompt(pairs[:60], heldout=0.2, seed=3)
    _, after = split_by_prompt(pairs, heldout=0.2, seed=3)
    assert set(before) <= set(after)
    assert set(after) & set(pairs[:60]) == set(before)


def test_pairs_without_a_prompt_share_no_text_across_the_split() -> None:
    pairs = [
        Comparison(prompt="", chosen=f"good {number}", rejected=f"bad {(number + shift) % 200}")
        for number in range(200)
        for shift in (0, 1)
    ]
    train, heldout = split_by_prompt(pairs, heldout=0.1, seed=0)
    texts = [{text for pair in side for text in (pair.chosen, pair.rejected)} for side in (train, heldout)]
    assert heldout
    assert texts[0].isdisjoint(texts[1])
    assert len(train) > 280


def test_two_prompts_are_enough_for_a_prompt_on_each_side() -> None:
    pairs = [Comparison(prompt=prompt, chosen="a", rejected="b") for prompt in ("p", "q")]
    for seed in range(5):
        train, heldout = split_by_prompt(pairs, heldout=0.1, seed=seed)
        assert (len(train), len(heldout)) == (1, 1)
    assert split_by_prompt(pairs[:1], heldout=0.1, seed=0) == (pairs[:1], [])
