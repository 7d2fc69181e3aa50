"""The same ids and texts as `transformers`, for tokenizers read and for tokenizers written."""

import json
from pathlib import Path

import pytest

from tests.gpt import huggingface_folders
from tests.gpt.tiny_models import LAYOUTS, tiny_model, tiny_tokenizer
from training.gpt.checkpoint import load_checkpoint, save_checkpoint
from training.gpt.huggingface.import_export import export_folder, import_folder
from training.gpt.tokenizer import Tokenizer

families = pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "qwen3"])
TEXTS = [
    *huggingface_folders.TEXTS,
    "",
    "  two  spaces, 12345 digits\r\n\ttabs",
    "don't mark <|endoftext|> or <|begin|> in a text, but <tool> is a token",
    "e\u0301 is e with an accent",
]


def assert_same(ours: Tokenizer, theirs: object) -> None:
    for text in TEXTS:
        ids = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)  # type: ignore[attr-defined]
        assert ours.encode(text) == ids
        everything = [0, 1, *ids, 2]
        assert ours.decode(everything) == theirs.decode(everything, skip_special_tokens=True)  # type: ignore[attr-defined]


@families
def test_an_imported_tokenizer_gives_the_same_ids_and_texts(family: str, tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path / "theirs", family)
    theirs = huggingface_folders.read_tokenizer(tmp_path / "theirs")
    model, tokenizer, _ = import_folder(tmp_path / "theirs")
    assert_same(tokenizer, theirs)
    export_folder(tmp_path / "ours", model, tokenizer)
    again = huggingface_folders.read_tokenizer(tmp_path / "ours")
    assert_same(tokenizer, again)
    for text in TEXTS:
        assert again.encode(text) == theirs.encode(text)  # with what either puts around a text by itself
    assert again.eos_token_id == theirs.eos_token_id == tokenizer.eos_id
    assert again.pad_token_id == theirs.pad_token_id


@families
def test_an_imported_tokenizer_brings_its_special_tokens_and_keeps_them(family: str, tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path / "theirs", family)
    model, imported, origin = import_folder(tmp_path / "theirs")
    save_checkpoint(tmp_path / "ours", model, imported, origin)
    _, loaded = load_checkpoint(tmp_path / "ours")
    for tokenizer in (imported, loaded):
        assert tokenizer.eos_ids == (1,)
        assert tokenizer.eos_id == 1
        # Qwen's tokenizers name no token that begins a text: its config.json does.
        begin = 1 if family == "gpt2" else 0
        assert tokenizer.prompt("the") == [begin, *imported.encode("the")]
        assert tokenizer.pad_id == (0 if family == "gpt2" else 2)
        assert tokenizer.unknown_id is None
        assert tokenizer.decode([1, *tokenizer.encode("the <|endoftext|>"), 1]) == "the <|endoftext|>"


def test_a_tokenizer_in_the_manner_of_sentencepiece_keeps_its_spaces(tmp_path: Path) -> None:
    """Llama 2's: a space before the first word, and bytes for what the vocabulary lacks."""
    huggingface_folders.save_folder(tmp_path / "theirs", "llama")
    huggingface_folders.sentencepiece_tokenizer().save_pretrained(tmp_path / "theirs")
    theirs = huggingface_folders.read_tokenizer(tmp_path / "theirs")
    model, tokenizer, _ = import_folder(tmp_path / "theirs")
    assert_same(tokenizer, theirs)
    assert tokenizer.unknown_id == theirs.unk_token_id
    prompt = tokenizer.prompt("the cat")
    assert prompt == theirs.encode("the cat")
    for more in (" sat", "s sat", " 🙂"):
        ids = tokenizer.prompt(f"the cat{more}")[len(prompt) :]
        assert tokenizer.continuation(prompt, ids) == more
    export_folder(tmp_path / "ours", model, tokenizer)
    again = huggingface_folders.read_tokenizer(tmp_path / "ours")
    assert_same(tokenizer, again)
    assert again.encode("the cat") == prompt


def test_the_tokenizers_own_end_comes_first_among_those_of_the_model(tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path, "llama", eos_token_id=[3, 1])
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.eos_ids == (1, 3)


def test_an_end_that_the_vocabulary_lacks_gives_way_to_the_tokenizers_own(tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path, "llama", eos_token_id=315)
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.eos_ids == (1,)


def test_a_word_that_a_configuration_names_by_default_does_not_begin_a_text(tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path, "qwen2", bos_token_id=50)
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.bos_id == tokenizer.eos_id


def test_what_a_file_says_about_length_is_not_obeyed(tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path, "llama")
    _, tokenizer, _ = import_folder(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 2,
        "pad_type_id": 0,
        "pad_token": "<|pad|>",
    }
    path.write_text(json.dumps(content))
    _, careless, _ = import_folder(tmp_path)
    for text in TEXTS:
        assert careless.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("layout", ["gpt2", "llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_our_own_tokenizers_are_read_as_what_they_are(layout: str, kind: str, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(*TEXTS, kind=kind)
    model = tiny_model(vocab_size=tokenizer.vocab_size, **LAYOUTS[layout])
    family = export_folder(tmp_path / "folder", model, tokenizer)
    # Whatever tokenizer.json says, transformers gives a Qwen2 model the tokenizer of Qwen2.
    assert family == ("llama" if layout == "qwen2" else layout)
    theirs = huggingface_folders.read_tokenizer(tmp_path / "folder")
    assert_same(tokenizer, theirs)
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.eos_id, tokenizer.pad_id)
    assert theirs.unk_token_id == tokenizer.unknown_id
    _, again, _ = import_folder(tmp_path / "folder")
    assert again.special.end == tokenizer.special.end
    assert (again.bos_id, again.pad_id, again.unknown_id) == (
        tokenizer.bos_id,
        tokenizer.pad_id,
        tokenizer.unknown_id,
    )
    for text in TEXTS:
        assert again.encode(text) == tokenizer.encode(text)


def gpt2_of_two_files(folder: Path, *, vocab_size: int, added: dict[str, int]) -> None:
    """A folder as GPT-2 was first published, and tokens that were added later."""
    huggingface_folders.save_folder(folder, "gpt2", vocab_size=vocab_size)
    stored = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(stored["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in stored["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "tokenizer.json").unlink()


def test_tokens_in_a_file_of_their_own_are_read(tmp_path: Path) -> None:
    added = {"<|call|>": 310, "<|turn|>": 311}
    gpt2_of_two_files(tmp_path, vocab_size=320, added=added)
    named = {"eos_token": "<|turn|>", "additional_special_tokens": ["<|call|>"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    for name in ("config.json", "generation_config.json"):
        stored = json.loads((tmp_path / name).read_text())
        (tmp_path / name).write_text(json.dumps(stored | {"eos_token_id": 311}))
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.eos_ids == (311,)
    assert [tokenizer.token(each) for each in added.values()] == list(added)
    assert tokenizer.decode([*tokenizer.encode("the cat"), 310, 311]) == "the cat"
    assert tokenizer.vocab_size == 312


def test_a_pad_that_the_model_does_not_embed_is_left_out(tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path, "llama", vocab_size=311, pad_token_id=None)
    theirs = huggingface_folders.read_tokenizer(tmp_path)
    theirs.add_special_tokens({"pad_token": "[PAD]"})
    assert theirs.pad_token_id == 311
    theirs.save_pretrained(tmp_path)
    model, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.vocab_size == model.config.vocab_size == 311
    assert tokenizer.pad_id not in tokenizer.eos_ids
    assert tokenizer.pad_id < 311
    assert tokenizer.decode(tokenizer.encode("a [PAD] b")) == "a [PAD] b"


def test_an_id_without_a_token_is_spelled_by_its_number_and_decoded_to_nothing(tmp_path: Path) -> None:
    huggingface_folders.save_folder(tmp_path, "llama", vocab_size=340)
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.token(339) == "<id 339>"
    cat = tokenizer.encode("the cat")
    assert tokenizer.decode([*cat, 339]) == tokenizer.decode(cat)
