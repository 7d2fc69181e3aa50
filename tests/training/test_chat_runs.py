"""Conversations through commands and runs: a small instruct model from a folder, and one made here."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from labeling.models import Project, Sample, Task
from labeling.prompts import add_prompts
from tests.gpt.chat_templates import FAMILIES, conversation, save_chat_folder
from tests.gpt.huggingface_folders import read_tokenizer
from tests.training.factories import execute_run, make_policy, make_project, queue_run
from training.execution.executor import execute
from training.execution.model_loading import load_policy, load_reward
from training.execution.simulated_annotators import answer_open_tasks
from training.formats.prompt_completions import parse_prompt
from training.models import ModelVersion, Run
from training.rlhf.config import SimulatedAnnotatorsConfig

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = {
    "project": "talk",
    "max_new_tokens": 6,
    "evaluate_every": 2,
    "heldout_prompts": 4,
    "device": "cpu",
}
TALKS = [conversation("Why?", "Light.", f"Oh, {word}?", system="Be brief.") for word in "abcdefgh"]


def output_of(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def talking_project() -> Project:
    """A project whose prompts are conversations."""
    project = make_project("talk", train=0, heldout=0)
    add_prompts(project, [parse_prompt(talk) for talk in TALKS[:6]], "train")
    add_prompts(project, [parse_prompt(talk) for talk in TALKS[6:]], "heldout")
    return project


def likes_short(prompts: Any, completions: Any, /) -> list[float]:
    return [-float(len(completion)) for completion in completions]


def only_error(kind: str, **parameters: Any) -> str:
    """The error of a run that fails, and leaves no version behind."""
    versions = ModelVersion.objects.count()
    run = queue_run(kind, **parameters)
    assert not execute(run)
    assert ModelVersion.objects.count() == versions
    return str(run.error)


@pytest.mark.parametrize("name", ["SmolLM2", "Qwen2.5", "Qwen3"])
def test_a_small_instruct_model_is_imported_tuned_on_conversations_and_exported(
    name: str, tmp_path: Path, as_admin: Client
) -> None:
    theirs = save_chat_folder(tmp_path / "instruct", FAMILIES[name])
    assert output_of("import_model", str(tmp_path / "instruct")).endswith("with a chat template\n")
    project = talking_project()
    execute_run(Run.Kind.SAMPLE, project="talk", policy="instruct", tasks=6, max_new_tokens=6)
    answer_open_tasks(project, likes_short, SimulatedAnnotatorsConfig(noise=0.0))
    execute_run(
        Run.Kind.TRAIN_REWARD, project="talk", policy="instruct", name="taste", epochs=1, heldout=0.0,
        device="cpu",
    )  # fmt: skip
    talks = tmp_path / "talks.jsonl"
    said = [*TALKS[0], {"role": "assistant", "content": "So."}]
    talks.write_text("".join(json.dumps({"messages": said}) + "\n" for _ in range(4)))
    options: dict[str, Any] = {"policy": "instruct", "reward": "taste", **QUICK}
    execute_run(Run.Kind.FINETUNE, name="by-reward", steps=1, prompts_per_step=2, **options)
    execute_run(Run.Kind.DPO, name="by-pairs", epochs=1, batch_size=4, **options)
    execute_run(
        Run.Kind.SUPERVISED, name="by-talks", epochs=1, batch_size=2, demonstrations=str(talks), **options
    )
    asked = theirs.apply_chat_template(TALKS[0], add_generation_prompt=True)["input_ids"]
    for made in ("by-reward", "by-pairs", "by-talks"):
        output_of("export_model", made, str(tmp_path / made))
        again = read_tokenizer(tmp_path / made)
        assert again.apply_chat_template(TALKS[0], add_generation_prompt=True)["input_ids"] == asked
        page = as_admin.get(f"/models/{made}/").content.decode()
        assert "Chat template" in page
    tokenizer = load_reward(ModelVersion.objects.get(name="taste")).tokenizer
    assert tokenizer.chat_template is not None
    assert tokenizer.chat_template.source == theirs.chat_template


def dialogues(path: Path) -> Path:
    """Whole dialogues as texts, as in hh-rlhf."""
    rows = [
        f"\n\nHuman: Why {word}?\n\nAssistant: Light {word}.\n\nHuman: Oh?\n\nAssistant: So."
        for word in "abcdefghijklmnop" * 4
    ]
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"chosen": row}) + "\n" for row in rows)
    return path


def messages_file(path: Path) -> Path:
    """The same as messages, under the field that usually holds them."""
    talks = [conversation(f"Why {word}?", f"Light {word}.", "Oh?", "So.") for word in "abcdefghijklmnop" * 4]
    path.write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    return path


def test_a_model_pretrained_on_dialogues_answers_and_so_do_its_versions(tmp_path: Path) -> None:
    made: dict[str, Any] = {"vocab_size": 300, "context": 64, "batch_size": 4, "steps": 4, "minutes": 0}
    texts = dialogues(tmp_path / "hh.jsonl.gz")
    execute_run(Run.Kind.PRETRAIN, source=str(texts), field="chosen", chat=True, name="talker", **made)
    talks = messages_file(tmp_path / "talks.jsonl")
    execute_run(Run.Kind.PRETRAIN, source=str(talks), chat=True, name="same", **made)
    policy = ModelVersion.objects.get(name="talker")
    _, tokenizer = load_policy(policy)
    assert tokenizer.always_chat
    assert tokenizer.fingerprint == load_policy(ModelVersion.objects.get(name="same"))[1].fingerprint
    first, second = (ModelVersion.objects.get(name=name).run for name in ("talker", "same"))
    assert first is not None
    assert second is not None
    assert first.metrics["documents"] == second.metrics["documents"] == 64
    talking_project()
    execute_run(Run.Kind.SAMPLE, project="talk", policy="talker", tasks=2, max_new_tokens=6)
    assert Task.objects.count() == 2
    assert all(sample.text.startswith(" ") for sample in Sample.objects.all())
    measured = execute_run(
        Run.Kind.EVALUATE, policy="talker", source=str(talks), chat=True, split="all", device="cpu"
    )
    assert measured.metrics["documents"] == 64
    talks.write_text(json.dumps({"prompt": "Why?", "completion": " So."}) + "\n")
    execute_run(
        Run.Kind.SUPERVISED, policy="talker", name="calm", epochs=1, demonstrations=str(talks), heldout=0.0,
        gold="story-reward-function", **QUICK,
    )  # fmt: skip
    _, kept = load_policy(ModelVersion.objects.get(name="calm"))
    assert kept.always_chat
    assert (
        kept.prompt("Why?")
        == tokenizer.prompt("Why?")
        == [tokenizer.eos_id, *tokenizer.encode("\n\nHuman: Why?\n\nAssistant:")]
    )


def test_what_a_model_learns_from_a_conversation_is_what_its_template_writes(tmp_path: Path) -> None:
    talks = messages_file(tmp_path / "talks.jsonl")
    run = execute_run(
        Run.Kind.PRETRAIN, source=str(talks), chat=True, vocab_size=300, context=64, steps=2, minutes=0,
        batch_size=4, name="talker",
    )  # fmt: skip
    _, tokenizer = load_policy(run.version)
    from training.execution.corpora import corpora_folder
    from training.gpt.config import CorpusConfig
    from training.gpt.corpus.prepare import ALL, tokenize

    split = tokenize(CorpusConfig(source=str(talks), chat=True), tokenizer, corpora_folder(), part=ALL)
    talk = conversation("Why a?", "Light a.", "Oh?", "So.")
    ids = tokenizer.chat.text(talk)
    assert ids.count(tokenizer.eos_id) == 3
    assert split.tokens[: len(ids)].tolist() == ids
    assert split.starts is not None
    assert split.starts[:2].tolist() == [0, len(ids) - 1]


def test_a_source_without_conversations_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "\\n\\nHuman: Hi\\n\\nAssistant: Yo"}\n{"text": "Once upon a time."}\n')
    made: dict[str, Any] = {"vocab_size": 300, "context": 64, "steps": 2, "minutes": 0}
    error = only_error(Run.Kind.PRETRAIN, source=str(path), chat=True, **made)
    assert f"{path}, line 2: 'text': no conversation" in error
    path.write_text('{"messages": [{"role": "narrator", "content": "Once"}]}\n')
    assert "unknown role" in only_error(Run.Kind.PRETRAIN, source=str(path), chat=True, **made)
    path.write_text('{"messages": []}\n')
    assert "is empty" in only_error(Run.Kind.PRETRAIN, source=str(path), chat=True, **made)


def test_chat_needs_a_chat_template(tmp_path: Path) -> None:
    make_policy()
    make_project()
    error = only_error(Run.Kind.SAMPLE, project="letters", policy="base", tasks=2, chat=True)
    assert "“base” has no chat template; `pretrain --chat` and `import_model` make versions" in error
    with pytest.raises(CommandError, match="“base” has no chat template"):
        call_command("generate", "ab", "--policy", "base", "--chat")


def test_a_reward_model_must_read_plain_prompts_as_its_policy_does(tmp_path: Path) -> None:
    save_chat_folder(tmp_path / "instruct", FAMILIES["SmolLM2"])
    call_command("import_model", str(tmp_path / "instruct"), stdout=io.StringIO())
    make_project("talk", train=4, heldout=2)
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Why {n}?", "chosen": " So.", "rejected": " No."} for n in range(4)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, chat in (("turns", True), ("texts", False)):
        execute_run(
            Run.Kind.TRAIN_REWARD, preferences=str(pairs), policy="instruct", chat=chat, name=name, epochs=1,
            heldout=0.0, device="cpu",
        )  # fmt: skip
    options: dict[str, Any] = {"policy": "instruct", "steps": 1, **QUICK}
    assert "“turns” was trained with --chat" in only_error(Run.Kind.FINETUNE, reward="turns", **options)
    error = only_error(Run.Kind.FINETUNE, reward="texts", chat=True, **options)
    assert "“texts” was trained without --chat" in error
    run = execute_run(Run.Kind.FINETUNE, reward="turns", chat=True, prompts_per_step=2, **options)
    assert load_policy(run.version)[1].always_chat


def test_a_conversation_that_does_not_fit_is_named_and_no_task_opened(tmp_path: Path) -> None:
    save_chat_folder(tmp_path / "instruct", FAMILIES["Qwen2.5"], context=64)
    call_command("import_model", str(tmp_path / "instruct"), stdout=io.StringIO())
    project = make_project("talk", train=0, heldout=0)
    long = conversation("Tell me of the sea.", "Once upon a time. " * 20, "Go on.")
    add_prompts(project, [parse_prompt(long)], "train")
    error = only_error(Run.Kind.SAMPLE, project="talk", policy="instruct", tasks=1, max_new_tokens=6)
    assert "tokens leave no room in a context of 64; leave out its first turns" in error
    assert "it begins “Human: Tell me of the sea." in error
    assert not Sample.objects.exists()


def test_an_import_whose_template_tries_to_escape_leaves_nothing(tmp_path: Path) -> None:
    save_chat_folder(tmp_path / "instruct", FAMILIES["ChatML"])
    (tmp_path / "instruct" / "chat_template.jinja").write_text(
        "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    )
    with pytest.raises(
        CommandError, match=r"chat_template\.jinja: chat template: tries to leave its sandbox"
    ):
        call_command("import_model", str(tmp_path / "instruct"))
    assert not ModelVersion.objects.exists()
    printed = output_of("import_model", str(tmp_path / "instruct"), "--no-chat-template")
    assert "chat template" not in printed


def test_generate_answers_prompts_or_holds_a_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_chat_folder(tmp_path / "instruct", FAMILIES["Qwen2.5"])
    call_command("import_model", str(tmp_path / "instruct"), stdout=io.StringIO())
    options = ["--policy", "instruct", "--chat", "--seed", "1", "--max-new-tokens", "8"]
    answers = output_of("generate", "Why?", *options)
    assert output_of("generate", "Why?", "--stream", *options) == answers
    row = json.loads(output_of("generate", "Why?", "--json", *options))
    assert row["completion"] == f" {answers.removesuffix(chr(10))}"
    assert row["prompt"] == "\n\nHuman: Why?\n\nAssistant:"
    assert output_of("generate", "Why?", "--system", "Rhyme.", *options) != answers
    assert row["messages"] == conversation("Why?")
    monkeypatch.setattr("sys.stdin", io.StringIO("Why?\n\nReally?\n"))
    talk = output_of("generate", *options)
    assert talk.startswith(answers)
    assert len(talk) > len(answers)
    monkeypatch.setattr("sys.stdin", io.StringIO("Why? " * 200))
    with pytest.raises(CommandError, match="leave no room in a context of 256; leave out its first turns"):
        call_command("generate", *options)
    with pytest.raises(CommandError, match="--system: only a conversation has a system message"):
        call_command("generate", "Why?", "--system", "Rhyme.", "--policy", "instruct")
