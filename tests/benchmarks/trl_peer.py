"""TRL's trainers, a step at a time: each line on stdin is a request for one, answered by a line of JSON.

Runs in the peer's environment, as a script: `trl_peer.py rloo|reward FOLDER`. The folder holds the model, its
tokenizer, `rows.json` with the data, and `settings.json`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

ANSWERS = os.fdopen(os.dup(sys.stdout.fileno()), "w")
sys.stdout = sys.stderr  # libraries print: only answers go to the parent


def main(kind: str, folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    rows = json.loads((folder / "rows.json").read_text())
    import torch
    import transformers
    from datasets import Dataset

    torch.set_num_threads(settings["threads"])
    transformers.logging.set_verbosity_error()
    options: dict[str, Any] = {
        "output_dir": str(folder / "trl"),
        "max_steps": settings["steps"],
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": not torch.cuda.is_available(),
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_dropout": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "model_init_kwargs": {"dtype": "float32"},
    }
    data, callbacks = Dataset.from_list(rows), [on_request(transformers)]
    build = rloo if kind == "rloo" else reward
    build(str(folder / "model"), data, options, settings, callbacks).train()


def rloo(
    model: str, data: Any, options: dict[str, Any], settings: dict[str, Any], callbacks: list[Any]
) -> Any:
    """One update from each batch of samples, the KL to a frozen reference in the reward."""
    from trl import RLOOConfig, RLOOTrainer

    config = RLOOConfig(
        **options,
        per_device_train_batch_size=settings["batch"],
        num_generations=settings["group"],
        max_completion_length=settings["new"],
        num_iterations=1,
        beta=0.05,
        temperature=1.0,
    )

    def lengths(completions: list[str], **_: object) -> list[float]:
        return [float(len(completion)) for completion in completions]

    return RLOOTrainer(model, reward_funcs=lengths, args=config, train_dataset=data, callbacks=callbacks)


def reward(
    model: str, data: Any, options: dict[str, Any], settings: dict[str, Any], callbacks: list[Any]
) -> Any:
    """The whole trunk and a head on pairs, by the Bradley-Terry loss."""
    from trl import RewardConfig, RewardTrainer

    config = RewardConfig(**options, per_device_train_batch_size=settings["batch"], max_length=None)
    return RewardTrainer(model, args=config, train_dataset=data, callbacks=callbacks)


def on_request(transformers: Any) -> Any:
    """A callback that holds each step until it is asked for, and answers with what was logged of it."""

    class OnRequest(transformers.TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: object, **__: object) -> None:
            answer({"ready": True})

        def on_step_begin(self, *_: object, **__: object) -> None:
            if not sys.stdin.readline():
                os._exit(0)  # the parent has seen enough

        def on_log(self, *_: object, logs: dict[str, float], **__: object) -> None:
            answer(logs)

    return OnRequest()


def answer(values: dict[str, Any]) -> None:
    print(json.dumps(values), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
