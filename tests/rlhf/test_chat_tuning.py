"""Conversations in training: all read the same tokens, and only what the assistant wrote is learned."""

import json
from pathlib import Path

import pytest
import torch

from tests.gpt.chat_templates import FAMILIES, conversation, save_chat_folder
from tests.gpt.huggingface_folders import read_model
from training.formats.conversation import Conversation
from training.formats.messages import Message
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.huggingface.import_export import import_folder
from training.rlhf.config import DpoConfig, FinetuneConfig
from training.rlhf.feedback.demonstrations import Demonstration, read_demonstrations
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.tuning.dpo import ComparisonDataset
from training.rlhf.tuning.offline import completion_logprobs
from training.rlhf.tuning.policy_gradient import finetune
from training.rlhf.tuning.rollouts import sample
from training.rlhf.tuning.supervised import DemonstrationDataset

ASKED = conversation("Why is the sky blue?", "Because light scatters.", "Really?")
INSTRUCT = ["SmolLM2", "Qwen2.5", "Qwen3", "Llama 3", "Hone's own"]
"""Layouts that are read here, with the templates of their models."""


@pytest.mark.parametrize("name", INSTRUCT)
def test_policy_gradient_dpo_and_reward_model_read_the_same_tokens(name: str, tmp_path: Path) -> None:
    theirs = save_chat_folder(tmp_path, FAMILIES[name])
    model, tokenizer, _ = import_folder(tmp_path)
    prompt, answer = Conversation(ASKED), " Yes, most of it."
    pair = Comparison(str(prompt), answer, " No.", messages=tuple(ASKED))
    dataset = ComparisonDataset([pair], tokenizer, DpoConfig(), context=256)
    ((chosen, rejected),) = dataset.examples
    (demonstrated,) = DemonstrationDataset([Demonstration(prompt, answer)], tokenizer, context=256).texts
    (judged,) = RewardModel.from_policy(model, tokenizer, seed=0).encode([pair.prompt], [pair.chosen])
    rollouts = sample(model, tokenizer, [prompt], SamplingConfig(max_new_tokens=4), samples=1, generator=None)
    assert rollouts.prompts == [chosen.prompt] == [rejected.prompt] == [demonstrated.prompt]
    assert judged == [*chosen.prompt, *chosen.completion]
    assert demonstrated.completion == chosen.completion
    assert chosen.prompt == theirs.apply_chat_template(ASKED, add_generation_prompt=True)["input_ids"]
    # What the policy gradient would hand to the scorer, had the policy written these tokens.
    assert tokenizer.completion(prompt, chosen.prompt, chosen.completion) == answer
    assert chosen.completion[-1] in tokenizer.eos_ids


@pytest.mark.parametrize("name", ["ChatML for training", "Hone's own"])
def test_the_loss_is_that_of_transformers_with_its_mask_of_the_assistant(name: str, tmp_path: Path) -> None:
    theirs = save_chat_folder(tmp_path / "folder", FAMILIES[name])
    model, tokenizer, _ = import_folder(tmp_path / "folder")
    talk: list[Message] = [*ASKED, {"role": "assistant", "content": "Yes, most of it."}]
    path = tmp_path / "demonstrations.jsonl"
    path.write_text(json.dumps({"messages": talk}))
    dataset = DemonstrationDataset(read_demonstrations(path), tokenizer, context=256)
    sums = completion_logprobs(model, dataset.texts)
    ours = dataset.loss_and_metrics([0], sums[:, None], sums[:, None])["loss"].item()
    encoded = theirs.apply_chat_template(
        talk, return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
    )
    labels = encoded["input_ids"].masked_fill(encoded["assistant_masks"] == 0, -100)
    with torch.no_grad():
        expected = read_model(tmp_path / "folder")(input_ids=encoded["input_ids"], labels=labels).loss.item()
    assert ours == pytest.approx(expected, abs=1e-4)
    assert dataset.weights == [float((labels != -100).sum())]


def test_of_a_prompt_with_its_completion_only_the_completion_is_learned(tmp_path: Path) -> None:
    save_chat_folder(tmp_path / "folder", FAMILIES["ChatML for training"])
    _, tokenizer, _ = import_folder(tmp_path / "folder")
    path = tmp_path / "demonstrations.jsonl"
    answer = [{"role": "assistant", "content": "Yes."}]
    path.write_text(json.dumps({"prompt": ASKED, "completion": answer}))
    (turn,) = DemonstrationDataset(read_demonstrations(path), tokenizer, context=256).texts
    assert turn == tokenizer.chat.turn(ASKED, "Yes.")
    assert turn.learned is None


def test_a_conversation_that_does_not_fit_is_left_out_and_named(tmp_path: Path) -> None:
    save_chat_folder(tmp_path, FAMILIES["SmolLM2"], context=96)
    model, tokenizer, _ = import_folder(tmp_path)
    long = Conversation(conversation("Tell me a story about the sea.", "Once upon a time. " * 20, "Go on."))
    result = finetune(
        policy=model,
        tokenizer=tokenizer,
        scorer=lambda prompts, completions: [float(len(each)) for each in completions],
        prompts=[Conversation(conversation("Hi?")), long],
        heldout_prompts=[Conversation(conversation("Oh?"))],
        config=FinetuneConfig(steps=1, prompts_per_step=2, samples_per_prompt=2, max_new_tokens=4),
    )
    note = next(note for note in result.notes if note.startswith("1 of 2 prompts was left out"))
    assert "tokens leave no room in a context of 96; leave out its first turns" in note
    assert "Human: Tell me a story about the sea." in note


def test_a_conversation_that_its_template_refuses_is_named(tmp_path: Path) -> None:
    save_chat_folder(tmp_path, FAMILIES["Llama 2"])
    model, tokenizer, _ = import_folder(tmp_path)
    strange = Conversation(conversation("Why?", "So.", "Oh?")[1:])
    with pytest.raises(InputError, match="prompt: chat template: Conversation roles must alternate"):
        sample(model, tokenizer, [strange], SamplingConfig(), samples=1, generator=None)
