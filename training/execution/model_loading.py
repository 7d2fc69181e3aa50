"""Load the models of versions: policies, reward models and scorers."""

from training import artifacts
from training.forms.judges import STORY_REWARD_FUNCTION, canonical_scorer_name
from training.gpt.checkpoint import load_checkpoint
from training.gpt.config import HardwareConfig
from training.gpt.devices import choose_device, choose_precision
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion
from training.rlhf.reward.reward_model import Ensemble, RewardModel, load_reward_model
from training.rlhf.reward_functions import Scorer, story_reward_function


def load_policy(version: ModelVersion) -> tuple[GPT, Tokenizer]:
    """The model and tokenizer of a policy version. Checks the hash of its files."""
    with artifacts.local_folder(version) as folder:
        return load_checkpoint(folder)


def load_for_generation(version: ModelVersion, hardware: HardwareConfig) -> tuple[GPT, Tokenizer]:
    """A policy version for generation only, on the chosen device and in its precision."""
    device = choose_device(hardware.device)
    model, tokenizer = load_policy(version)
    return model.to(device, choose_precision(hardware.precision, device)), tokenizer


def load_reward(version: ModelVersion) -> RewardModel | Ensemble:
    """The reward model or ensemble of a version. Checks the hash of its files."""
    with artifacts.local_folder(version) as folder:
        return load_reward_model(folder)


def load_scorer(name: str) -> Scorer:
    """A scorer by name: the built-in reward function for stories, or a reward model."""
    if canonical_scorer_name(name) == STORY_REWARD_FUNCTION:
        return story_reward_function
    return load_reward(ModelVersion.objects.rewards().get(name=name)).score
