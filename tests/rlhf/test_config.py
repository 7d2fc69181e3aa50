import subprocess
import sys

import pytest

from training.gpt.errors import InputError
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig, RewardConfig, SimulatedAnnotatorsConfig


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (RewardConfig, "trunk", "thawed"),
        (RewardConfig, "heldout", 1.0),
        (RewardConfig, "batch_size", 0),
        (FinetuneConfig, "estimator", "ppo2"),
        (FinetuneConfig, "temperature", 0.0),
        (FinetuneConfig, "accumulate", 3),
        (EarlyStoppingConfig, "kl_budget", -1.0),
        (FinetuneConfig, "samples_per_prompt", 1),
        (SimulatedAnnotatorsConfig, "noise", -0.1),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(kind: type, field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        kind(**{field: value})


def test_one_sample_a_prompt_is_enough_for_reinforce() -> None:
    assert FinetuneConfig(estimator="reinforce", samples_per_prompt=1).samples_per_prompt == 1


def test_what_the_web_reads_does_not_load_torch() -> None:
    names = (
        "config", "reward_functions", "feedback.preferences", "feedback.simulated_annotators",
        "evaluation.win_rate", "evaluation.text_statistics",
    )  # fmt: skip
    imports = "".join(f"import training.rlhf.{name}\n" for name in names)
    code = f"import sys\n{imports}sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
