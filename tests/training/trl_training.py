"""Two steps of a TRL trainer on an export, with its defaults: `trl_training.py TRAINER MODEL KIND PATH OUT`.

Runs in the peer's environment, as a script. `KIND` and `PATH` are what `datasets.load_dataset` gets. The last
line of its output is JSON: the columns, the number of rows, and the loss.
"""

import json
import sys

import torch
import trl
from datasets import load_dataset


def main(trainer_name: str, model: str, kind: str, path: str, out: str) -> None:
    torch.set_num_threads(1)
    if kind == "folder":
        data = load_dataset(path, split="train", cache_dir=f"{out}/cache")
    else:
        data = load_dataset(kind, data_files=path, split="train", cache_dir=f"{out}/cache")
    columns, rows = data.column_names, len(data)
    config = {"RewardTrainer": "RewardConfig", "DPOTrainer": "DPOConfig", "KTOTrainer": "KTOConfig"}
    arguments = getattr(trl, config.get(trainer_name, "SFTConfig"))(
        output_dir=out,
        max_steps=2,
        report_to="none",
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = getattr(trl, trainer_name)(model=model, args=arguments, train_dataset=data)
    result = trainer.train()
    print(json.dumps({"columns": columns, "rows": rows, "loss": result.training_loss}))


if __name__ == "__main__":
    main(*sys.argv[1:])
