"""Chat templates in model folders: read in every form they are published in, kept, and written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpt.chat_templates import CHATML, FAMILIES, conversation, save_chat_folder
from tests.gpt.huggingface_folders import read_tokenizer
from tests.gpt.tiny_models import tiny_model, tiny_tokenizer
from training.formats.conversation import Conversation
from training.gpt.checkpoint import load_checkpoint, save_checkpoint
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.generate import complete
from training.gpt.generation.streaming import stream_text
from training.gpt.huggingface.import_export import export_folder, import_folder

ASKED = conversation("Why is the sky blue?", "Light.", "Oh?")


def in_config(folder: Path, template: Any) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    (folder / "chat_template.jinja").unlink()


def in_json(folder: Path, template: Any) -> None:
    in_config(folder, None)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))


FORMS: dict[str, Callable[[Path], None]] = {
    "chat_template.jinja": lambda folder: None,
    "chat_template.json": lambda folder: in_json(folder, CHATML),
    "tokenizer_config.json": lambda folder: in_config(folder, CHATML),
    "several with names": lambda folder: in_config(
        folder, [{"name": "tool_use", "template": "?"}, {"name": "default", "template": CHATML}]
    ),
    "one with a name": lambda folder: in_config(folder, [{"name": "chat", "template": CHATML}]),
    "several by name": lambda folder: in_config(folder, {"rag": "?", "default": CHATML}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_template_of_a_folder_is_kept(form: str, tmp_path: Path) -> None:
    save_chat_folder(tmp_path, FAMILIES["ChatML"])
    FORMS[form](tmp_path)
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.chat_template is not None
    assert tokenizer.chat_template.source == CHATML


@pytest.mark.parametrize("name", ["SmolLM2", "Qwen2.5", "Qwen3", "Llama 2", "Llama 3"])
def test_a_model_that_was_imported_kept_and_exported_reads_conversations_alike(
    name: str, tmp_path: Path
) -> None:
    theirs = save_chat_folder(tmp_path / "theirs", FAMILIES[name])
    model, tokenizer, origin = import_folder(tmp_path / "theirs")
    save_checkpoint(tmp_path / "kept", model, tokenizer.with_chat(always=True), origin)
    model, tokenizer = load_checkpoint(tmp_path / "kept")
    assert tokenizer.always_chat
    export_folder(tmp_path / "ours", model, tokenizer)
    expected = theirs.apply_chat_template(ASKED, add_generation_prompt=True)["input_ids"]
    assert tokenizer.prompt(Conversation(ASKED)) == expected
    again = read_tokenizer(tmp_path / "ours")
    assert again.apply_chat_template(ASKED, add_generation_prompt=True)["input_ids"] == expected
    assert again.chat_template == theirs.chat_template


def test_the_token_that_ends_a_turn_ends_what_is_generated(tmp_path: Path) -> None:
    theirs = save_chat_folder(tmp_path / "folder", FAMILIES["Gemma"])
    model, tokenizer, _ = import_folder(tmp_path / "folder")
    end_of_turn = theirs.convert_tokens_to_ids("<end_of_turn>")
    assert tokenizer.eos_ids == (theirs.eos_token_id, end_of_turn)
    export_folder(tmp_path / "ours", model, tokenizer)
    generation = json.loads((tmp_path / "ours" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [theirs.eos_token_id, end_of_turn]


def test_a_plain_prompt_is_text_or_one_turn_of_the_user(tmp_path: Path) -> None:
    theirs = save_chat_folder(tmp_path, FAMILIES["ChatML"])
    _, tokenizer, _ = import_folder(tmp_path)
    assert tokenizer.prompt("Why?") == [tokenizer.bos_id, *tokenizer.encode("Why?")]
    turn = theirs.apply_chat_template(conversation("Why?"), add_generation_prompt=True)["input_ids"]
    assert tokenizer.with_chat(always=True).prompt("Why?") == turn
    assert tokenizer.with_chat(always=True).prompt("") == [tokenizer.bos_id]


@pytest.mark.parametrize("name", ["ChatML", "Hone's own"])
def test_an_answer_is_stored_after_one_space_whatever_its_template_writes_there(
    name: str, tmp_path: Path
) -> None:
    save_chat_folder(tmp_path, FAMILIES[name])
    model, tokenizer, _ = import_folder(tmp_path)
    asked = Conversation(ASKED)
    sampling = SamplingConfig(max_new_tokens=12, seed=1)
    ((written,),) = complete(model, tokenizer, [asked], sampling)
    said = tokenizer.continuation(tokenizer.prompt(asked), written.tokens)
    said = said.removeprefix(" ") if name == "Hone's own" else said
    assert written.text.rstrip("\ufffd") == f" {said}".rstrip("\ufffd")
    assert "".join(stream_text(model, tokenizer, asked, sampling)) == written.text


def test_a_model_without_a_template_writes_up_to_where_a_person_would_speak() -> None:
    dialogue = "\n\nHuman: ab\n\nAssistant: ba"
    tokenizer = tiny_tokenizer(dialogue * 9, kind="char")
    model = tiny_model(vocab_size=tokenizer.vocab_size, context=96)
    ids = torch.tensor([tokenizer.prompt(dialogue * 3)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        logits = model(ids[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[0, 1:]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    asked = Conversation(conversation("ab"))
    sampling = SamplingConfig(max_new_tokens=24, temperature=0)
    ((written,),) = complete(model, tokenizer, [asked], sampling)
    ((text,),) = complete(model, tokenizer, [str(asked)], sampling)
    assert written.text == " ba"
    assert text.text.startswith(" ba\n\nHuman: ")


def test_an_answer_that_ends_at_once_is_an_empty_text(tmp_path: Path) -> None:
    save_chat_folder(tmp_path, FAMILIES["ChatML"])
    _, tokenizer, _ = import_folder(tmp_path)
    asked = Conversation(ASKED)
    assert tokenizer.completion(asked, tokenizer.prompt(asked), [tokenizer.eos_id]) == ""


def test_the_conversation_that_a_template_refuses_is_named(tmp_path: Path) -> None:
    save_chat_folder(tmp_path, FAMILIES["Gemma"])
    _, tokenizer, _ = import_folder(tmp_path)
    asked = Conversation(conversation("Why is it so?", system="Be brief."))
    message = r"not supported; the conversation begins “Be brief\. Human: Why is it so\? Assistant:”"
    with pytest.raises(InputError, match=message):
        tokenizer.encode_turns([asked], [" So."])


FAULTS = {
    "a template that tries to leave its sandbox": (
        "{{ ''.__class__.__mro__[1] }}",
        "tries to leave its sandbox",
    ),
    "a template that fails": ("{{ nobody.knows.this }}", "undefined"),
    "several templates, none of them default": ({"a": "?", "b": "?"}, "name one default"),
    "a template that is a number": (3, "neither a template"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_template_is_refused_and_can_be_left_out(fault: str, tmp_path: Path) -> None:
    save_chat_folder(tmp_path, FAMILIES["ChatML"])
    template, reason = FAULTS[fault]
    in_config(tmp_path, template)
    with pytest.raises(InputError, match=reason) as caught:
        import_folder(tmp_path)
    assert "tokenizer_config.json" in str(caught.value)
    assert "--no-chat-template" in str(caught.value)
    _, tokenizer, _ = import_folder(tmp_path, chat_template=False)
    assert tokenizer.chat_template is None


def test_a_stored_template_that_is_gone_is_named(tmp_path: Path) -> None:
    save_chat_folder(tmp_path / "theirs", FAMILIES["ChatML"])
    model, tokenizer, _ = import_folder(tmp_path / "theirs")
    save_checkpoint(tmp_path / "kept", model, tokenizer)
    (tmp_path / "kept" / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"chat_template\.jinja"):
        load_checkpoint(tmp_path / "kept")
