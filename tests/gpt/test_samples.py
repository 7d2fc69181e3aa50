"""A training that is watched shows what its model writes, and learns exactly what it would have."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.gpt.tiny_models import shards_of, tiny_tokenizer
from tests.gpt.tiny_pretraining import SENTENCES, TOKENIZER, Log, shards_in
from training.gpt.config import PretrainConfig
from training.gpt.pretraining import pretrain
from training.gpt.samples import document_openings
from training.gpt.training_loop import Callbacks, Sample


@pytest.mark.usefixtures("a_mouse")
def test_to_show_what_it_writes_changes_nothing_of_what_it_learns(tmp_path: Path) -> None:
    config = PretrainConfig(
        minutes=0, steps=4, batch_size=8, learning_rate=1e-2, evaluate_every=2, dropout=0.1, device="cpu"
    )
    shards = shards_in(tmp_path / "shards")
    shown: dict[int, Sequence[Sample]] = {}
    plain, watched = Log(), Log()
    for log, callbacks in (
        (plain, Callbacks(on_step=plain)),
        (watched, Callbacks(on_step=watched, on_samples=shown.__setitem__)),
    ):
        pretrain(
            splits=shards,
            tokenizer=TOKENIZER,
            config=config,
            folder=tmp_path / str(id(log)),
            callbacks=callbacks,
        )
    assert plain.losses() == watched.losses()
    assert list(shown) == [0, 2, 4]
    assert [each.prompt for each in shown[0]] == [each.prompt for each in shown[4]]
    assert shown[0][0].prompt == ""
    assert shown[0] != shown[4]


def test_its_prompts_are_how_documents_of_the_split_begin(tmp_path: Path) -> None:
    split = shards_in(tmp_path).validation
    begun = document_openings(split, TOKENIZER, count=2, length=2)
    assert len(begun) == 2
    assert all(any(sentence.startswith(text) for sentence in SENTENCES) for text in begun)
    assert document_openings(split, TOKENIZER, count=9, length=100) == [
        " ".join(sentence.split()[:3]) for sentence in SENTENCES
    ]


def test_a_prompt_ends_with_a_whole_word(tmp_path: Path) -> None:
    letters = tiny_tokenizer(*SENTENCES, kind="char")
    split = shards_of(letters, tmp_path, train=SENTENCES, validation=SENTENCES).validation
    assert document_openings(split, letters, count=1, length=9) == ["the cat"]
    assert document_openings(split, letters, count=1, length=7) == ["the cat"]
