"""Both sides of each comparison follow the same prompt, which keeps the token that begins a text."""

import sys
from pathlib import Path

from ready import check  # type: ignore[import-not-found]

from training.gpt.huggingface.import_export import import_folder
from training.rlhf.config import DpoConfig
from training.rlhf.feedback.preference_files import preferences_and_notes
from training.rlhf.tuning.dpo import ComparisonDataset

model, tokenizer, _ = import_folder(Path(sys.argv[1]))
comparisons = preferences_and_notes(sys.argv[2])[0]
pairs = ComparisonDataset(comparisons, tokenizer, DpoConfig(), context=model.config.context)
for number, (chosen, rejected) in enumerate(pairs.examples, start=1):
    check(f"pair {number}: both after the same prompt", chosen.prompt == rejected.prompt)
    check(f"pair {number}: the token that begins a text is kept", chosen.prompt[0] == tokenizer.bos_id)
