import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.gpt.tiny_models import LAYOUTS, tiny_model, tiny_tokenizer
from training.gpt.checkpoint import load_checkpoint, read_config, save_checkpoint
from training.gpt.errors import InputError
from training.gpt.tokenizer import SpecialTokens, Tokenizer

TOKENIZER = tiny_tokenizer()


def saved(folder: Path, **changes: object) -> Path:
    save_checkpoint(folder, tiny_model(vocab_size=TOKENIZER.vocab_size, **changes), TOKENIZER, {"step": 3})
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_survives_its_folder(layout: str, tmp_path: Path) -> None:
    model = tiny_model(vocab_size=TOKENIZER.vocab_size, **LAYOUTS[layout])
    save_checkpoint(tmp_path / "new" / "folder", model, TOKENIZER)
    again, tokenizer = load_checkpoint(tmp_path / "new" / "folder")
    tokens = torch.tensor([TOKENIZER.prompt("the cat sat")])
    assert torch.equal(again(tokens), model(tokens))
    assert again.config == model.config
    assert not again.training
    assert tokenizer.encode("the mat") == TOKENIZER.encode("the mat")


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    names = load_file(saved(tmp_path) / "model.safetensors").keys()
    assert "embedding.weight" in names
    assert "head.weight" not in names
    model, _ = load_checkpoint(tmp_path)
    assert model.head.weight is model.embedding.weight


def test_extra_values_are_kept(tmp_path: Path) -> None:
    assert read_config(saved(tmp_path))["extra"] == {"step": 3}


def test_nothing_but_the_three_files_is_left(tmp_path: Path) -> None:
    files = sorted(path.name for path in saved(tmp_path).iterdir())
    assert files == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        InputError, match=r"model\.safetensors: not a whole safetensors file .*copy the model again"
    ):
        load_checkpoint(tmp_path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    (saved(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not the configuration of a model"),
        (json.dumps({"architecture": "unheard-of", "model": {}}), "not the configuration of a model"),
        (json.dumps({"architecture": "gpt", "model": {"width": 32}}), "vocab_size is missing"),
    ],
)
def test_a_bad_config_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (saved(tmp_path) / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_checkpoint(tmp_path)


def test_a_checkpoint_keeps_what_begins_ends_and_pads(tmp_path: Path) -> None:
    special = SpecialTokens(end=(4, 0), begin=5, pad=None)
    tokenizer = Tokenizer(tiny_tokenizer()._backend, special)
    save_checkpoint(tmp_path, tiny_model(vocab_size=tokenizer.vocab_size), tokenizer)
    _, again = load_checkpoint(tmp_path)
    assert again.special == special


def change_config(folder: Path, **changes: object) -> None:
    config = read_config(folder)
    config["model"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    change_config(saved(tmp_path), width=64, hidden=128)
    with pytest.raises(InputError, match=r"is \[.*, 32\], but config\.json says \[.*, 64\]"):
        load_checkpoint(tmp_path)


def test_weights_of_another_layout_are_refused(tmp_path: Path) -> None:
    change_config(saved(tmp_path), layers=3)
    with pytest.raises(InputError, match=r"tensor 'blocks\.2\..*' is missing"):
        load_checkpoint(tmp_path)


def test_a_tokenizer_too_large_for_the_model_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    tiny_tokenizer("one two three four five six seven eight nine ten eleven twelve").save(
        tmp_path / "tokenizer.json"
    )
    with pytest.raises(InputError, match=r"tokenizer\.json: \d+ tokens, but the model knows \d+"):
        load_checkpoint(tmp_path)
