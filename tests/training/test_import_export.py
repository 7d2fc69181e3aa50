"""Policies from Hugging Face folders, through the whole loop, and back into folders."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from labeling.models import Sample
from tests.gpt import huggingface_folders
from tests.training.factories import execute_run, make_policy, make_project, make_reward
from training import artifacts
from training.execution.model_loading import load_policy
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)

LLAMA: dict[str, Any] = {"eos_token_id": [1, 3], "num_hidden_layers": 1}


def output_of(command: str, *arguments: str) -> str:
    """What a command prints."""
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def import_folder(tmp_path: Path, *arguments: str) -> str:
    """Import a small Llama as `little`; what the command printed."""
    huggingface_folders.save_folder(tmp_path / "Llama 3 (tiny)", "llama", **LLAMA)
    return output_of("import_model", str(tmp_path / "Llama 3 (tiny)"), *arguments)


def refusal(command: str, *arguments: str) -> str:
    """The one line with which a command fails; it leaves no version and no file."""
    versions = ModelVersion.objects.count()
    with pytest.raises(CommandError) as caught:
        call_command(command, *arguments)
    assert "\n" not in str(caught.value)
    assert ModelVersion.objects.count() == versions
    return str(caught.value)


def test_an_imported_policy_says_where_it_came_from(tmp_path: Path) -> None:
    printed = import_folder(tmp_path, "--name", "little", "--context", "48")
    version = ModelVersion.objects.get(name="little")
    assert version.kind == ModelVersion.Kind.POLICY
    assert version.generator is not None
    assert version.run is None
    model, tokenizer = load_policy(version)
    assert version.metrics == {
        "origin": "Llama 3 (tiny)",
        "family": "llama",
        "parameters": model.config.parameters,
        "context": 48,
        "vocab_size": 320,
    }
    assert tokenizer.eos_ids == (1, 3)
    assert printed == (
        f"little: llama model, {model.config.parameters:,} parameters, vocabulary 320, context 48\n"
    )


def test_an_imported_policy_is_named_after_its_folder(tmp_path: Path) -> None:
    import_folder(tmp_path)
    output_of("import_model", str(tmp_path / "Llama 3 (tiny)"))
    names = set(ModelVersion.objects.values_list("name", flat=True))
    assert names == {"Llama-3-tiny", "Llama-3-tiny-2"}


def test_an_imported_policy_goes_through_the_whole_loop(tmp_path: Path) -> None:
    import_folder(tmp_path, "--name", "little")
    project = make_project(train=8, heldout=4)
    completed = output_of("generate", "The cat", "--policy", "little", "--max-new-tokens", "4")
    assert completed.startswith("The cat")
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="little", tasks=2, max_new_tokens=4)
    assert Sample.objects.filter(generator__name="little").count() == 6
    pairs = tmp_path / "pairs.jsonl"
    row = {"chosen": " cat", "rejected": " mat"}
    pairs.write_text("".join(json.dumps({"prompt": f"the {place}", **row}) + "\n" for place in range(20)))
    execute_run(Run.Kind.TRAIN_REWARD, preferences=str(pairs), policy="little", name="judge", epochs=1)
    execute_run(
        Run.Kind.FINETUNE,
        project=project.slug,
        policy="little",
        reward="judge",
        name="tuned",
        steps=1,
        prompts_per_step=2,
        samples_per_prompt=2,
        max_new_tokens=4,
    )
    text = tmp_path / "text.txt"
    text.write_text("The cat sat on the mat.\n\nAnd so did I.\n\n" * 5)
    run = execute_run(Run.Kind.EVALUATE, policy="tuned", source=str(text), split="all")
    assert run.metrics["perplexity"] > 1
    # The tokens that end, begin and pad a text have come all the way.
    _, before = load_policy(ModelVersion.objects.get(name="little"))
    _, after = load_policy(ModelVersion.objects.get(name="tuned"))
    assert after.special == before.special
    output_of("export_model", "tuned", str(tmp_path / "tuned"))
    assert huggingface_folders.read_model(tmp_path / "tuned").generation_config.eos_token_id == [1, 3]


def test_an_exported_policy_is_read_by_transformers(tmp_path: Path) -> None:
    make_policy()
    folder = tmp_path / "out"
    printed = output_of("export_model", "base", str(folder), "--dtype", "bf16", "--max-shard-size", "0.00001")
    assert printed == f"base exported to {folder} as a qwen3 model\n"
    assert huggingface_folders.read_model(folder).config.model_type == "qwen3"
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    _, tokenizer = load_policy(ModelVersion.objects.get(name="base"))
    assert huggingface_folders.read_tokenizer(folder).encode("abc") == tokenizer.encode("abc")


def test_bad_input_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    make_policy()
    make_reward()
    huggingface_folders.save_folder(tmp_path / "llama", "llama", **LLAMA)
    folder = str(tmp_path / "llama")
    assert refusal("import_model", str(tmp_path / "none")).endswith(
        "none/config.json: no such file; give the folder of a Hugging Face model"
    )
    assert "“base” is taken" in refusal("import_model", folder, "--name", "base")
    assert refusal("import_model", folder, "--name", "a/b").startswith(
        "--name: Start the name with a letter or digit"
    )
    assert "context: 4096 is more than the model's 64" in refusal("import_model", folder, "--context", "4096")
    assert refusal("import_model", folder, "--context", "1").startswith("--context: ")
    assert not artifacts_beside("base", "taste")
    new = str(tmp_path / "new")
    assert refusal("export_model", "bsae", new) == "POLICY: there is no “bsae”; there are: taste, base."
    assert refusal("export_model", "taste", new).startswith("POLICY: “taste” is a reward model")
    assert refusal("export_model", "base", new, "--dtype", "int8").startswith("--dtype: “int8” is unknown")
    assert refusal("export_model", "base", new, "--max-shard-size", "0").startswith("--max-shard-size: must")
    assert "is there already" in refusal("export_model", "base", folder)
    assert not Path(new).exists()


def artifacts_beside(*names: str) -> set[str]:
    """Folders in the artifact storage that belong to no version of these names."""
    kept = set(ModelVersion.objects.filter(name__in=names).values_list("artifact", flat=True))
    return set(artifacts.artifact_storage().listdir("")[0]) - kept
