"""Load the models of versions: policies, reward models and scorers."""

from collections.abc import Sequence

from training import artifacts
from training.formats.conversation import messages_of
from training.forms.judges import STORY_REWARD_FUNCTION, canonical_scorer_name
from training.gpt.checkpoint import load_checkpoint, load_vocabulary
from training.gpt.config import HardwareConfig
from training.gpt.devices import choose_device, choose_precision
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion, Run
from training.rlhf.reward.reward_model import Ensemble, RewardModel, load_reward_model
from training.rlhf.reward_functions import Scorer, story_reward_function


def load_policy(version: ModelVersion, *, chat: bool = False) -> tuple[GPT, Tokenizer]:
    """The model and tokenizer of a policy version. Checks the hash of its files.

    With `chat`, every prompt is read through its chat template, as for a version that was made so. Raises
    InputError if it has none.
    """
    with artifacts.local_folder(version) as folder:
        model, tokenizer = load_checkpoint(folder)
    if chat and tokenizer.chat_template is None:
        raise InputError(
            f"chat: “{version}” has no chat template; `pretrain --chat` and `import_model` make versions that"
            " have one."
        )
    return model, tokenizer.with_chat(always=True) if chat else tokenizer


def load_tokenizer(version: ModelVersion) -> tuple[Tokenizer, int]:
    """The tokenizer of a policy version, and the length of its context in tokens."""
    with artifacts.local_folder(version) as folder:
        config, tokenizer = load_vocabulary(folder)
    return tokenizer, config.context


def load_policy_of(run: Run) -> tuple[GPT, Tokenizer]:
    """The model and tokenizer of the run's policy, which reads prompts as the run's option `chat` says."""
    assert run.policy is not None
    return load_policy(run.policy, chat=run.parameters.get("chat", False))


def load_for_generation(
    version: ModelVersion, hardware: HardwareConfig, *, chat: bool = False
) -> tuple[GPT, Tokenizer]:
    """A policy version for generation only, on the chosen device and in its precision."""
    device = choose_device(hardware.device)
    model, tokenizer = load_policy(version, chat=chat)
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


def check_reads_alike(
    policy: Tokenizer, reward_model: Tokenizer, prompts: Sequence[str], *, reward: str
) -> None:
    """Raise InputError if a prompt is plain, and only one of the two reads it as a turn of a conversation."""
    has_plain = any(messages_of(prompt) is None for prompt in prompts)
    both = policy.chat_template is not None and reward_model.chat_template is not None
    if both and has_plain and policy.always_chat != reward_model.always_chat:
        raise InputError(
            f"chat: the reward model “{reward}” was trained "
            + (
                "with --chat, and reads a plain prompt as a turn of the user; add --chat."
                if reward_model.always_chat
                else "without --chat, and reads a plain prompt as text; train it again with --chat."
            )
        )
