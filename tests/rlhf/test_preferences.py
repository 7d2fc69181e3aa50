from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons, split_by_prompt


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


def test_ratings_and_comparisons_of_a_prompt_are_on_one_side() -> None:
    given = [
        each
        for number in range(60)
        for each in (Comparison(f"p{number}", "a", "b"), Rating(f"p{number}", "a", 0.5))
    ]
    train, heldout = split_by_prompt(given, heldout=0.3, seed=0)
    assert len(train) + len(heldout) == 120
    assert heldout
    assert {each.prompt for each in train}.isdisjoint(each.prompt for each in heldout)
