"""Bad input gives one line that names the file, line or option and what to do, and leaves nothing behind."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from labeling.models import Project
from tests.training.factories import make_policy, make_project, make_reward
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)


def refusal(command: str, *arguments: str) -> str:
    """The message of a command that must fail, and must leave neither run nor version."""
    versions = ModelVersion.objects.count()
    with pytest.raises(CommandError) as caught:
        call_command(command, *arguments)
    assert not Run.objects.exists()
    assert ModelVersion.objects.count() == versions
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_corpus_that_is_not_there() -> None:
    message = refusal("pretrain", "--source", "nowhere.txt")
    assert "--source" in message
    assert "nowhere.txt" in message


def test_an_empty_corpus(tmp_path: Path) -> None:
    file = tmp_path / "empty.txt"
    file.write_text(" \n\n")
    assert str(file) in refusal("pretrain", "--source", str(file))


def test_a_corpus_shorter_than_one_context(tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("".join(f"line {number}\n" for number in range(80)))
    message = refusal("pretrain", "--source", str(file), "--documents", "line", "--context", "2048")
    assert str(file) in message
    assert "one context" in message


def test_a_corpus_of_one_document(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("All in one line.\n")
    assert str(file) in refusal("pretrain", "--source", str(file))


def test_a_corpus_in_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes("naïve\n".encode("latin-1"))
    message = refusal("pretrain", "--source", str(file))
    assert "offset 2" in message
    assert "latin-1" in message


def test_a_preferences_file_with_a_malformed_line(tmp_path: Path) -> None:
    make_policy()
    good = json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"})
    file = tmp_path / "pairs.jsonl"
    file.write_text(f"{good}\n" * 6 + '{"prompt": "a", "chosen"\n' + f"{good}\n")
    message = refusal("train_reward", "--preferences", str(file), "--policy", "base")
    assert f"{file}, row 7" in message


def test_an_unknown_model_name() -> None:
    make_policy()
    make_project()
    message = refusal("sample", "--policy", "bsae", "--project", "letters")
    assert "--policy" in message
    assert "bsae" in message
    assert "there are: base" in message


def test_an_unknown_model_name_to_generate_from() -> None:
    make_policy()
    assert "there are: base" in refusal("generate", "--policy", "bsae")


def test_a_policy_to_train_further_brings_its_own_shape_and_tokenizer() -> None:
    make_policy()
    assert refusal("pretrain", "--policy", "base", "--preset", "gpt2").startswith("--preset: leave it out")
    assert refusal("pretrain", "--policy", "base", "--tokenizer", "char").startswith("--tokenizer")
    assert "there are: base" in refusal("pretrain", "--policy", "bsae")


def test_a_finetune_without_a_reward_model() -> None:
    make_policy()
    make_project()
    message = refusal("finetune", "--policy", "base", "--project", "letters")
    assert "--reward" in message
    assert "train_reward" in message


def test_a_policy_in_place_of_a_reward_model() -> None:
    make_policy()
    make_project()
    assert "--reward" in refusal("finetune", "--policy", "base", "--project", "letters", "--reward", "base")


def test_a_project_without_prompts() -> None:
    make_policy()
    make_reward()
    Project.objects.create(slug="bare", name="Bare")
    for command in (["sample"], ["finetune", "--reward", "taste"]):
        message = refusal(*command, "--policy", "base", "--project", "bare")
        assert "no prompts" in message
        assert "add_prompts" in message


def test_a_project_without_answers() -> None:
    make_policy()
    make_project()
    message = refusal("train_reward", "--policy", "base", "--project", "letters")
    assert "no comparisons yet" in message


def test_a_value_out_of_range() -> None:
    assert refusal("pretrain", "--batch-size", "0").startswith("--batch-size")
    assert refusal("pretrain", "--batch-size", "many").startswith("--batch-size")


def test_an_unknown_choice_names_the_choices() -> None:
    assert "tiny" in refusal("pretrain", "--preset", "huge")


def test_a_name_that_is_taken() -> None:
    make_policy()
    assert "taken" in refusal("pretrain", "--name", "base")


def test_a_loop_with_an_unknown_taste() -> None:
    message = refusal("loop", "--annotators", "simulated:nobody")
    assert "nobody" in message
    assert "story-reward-function" in message


def test_a_loop_with_neither_people_nor_a_taste() -> None:
    assert "simulated:NAME" in refusal("loop", "--annotators", "robots")


def test_a_loop_in_an_unknown_project() -> None:
    make_policy()
    assert "--prompts" in refusal("loop", "--project", "nowhere", "--policy", "base")


def test_a_loop_whose_prompts_file_is_empty(tmp_path: Path) -> None:
    make_policy()
    file = tmp_path / "prompts.txt"
    file.write_text("\n")
    refusal("loop", "--project", "new", "--policy", "base", "--prompts", str(file))
    assert not Project.objects.filter(slug="new").exists()
