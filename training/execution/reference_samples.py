"""Samples of the reference policy, which set the scale of a reward model."""

from itertools import cycle, islice

from labeling.models import Sample
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.generate import complete
from training.gpt.generation.prompts import sift_prompts
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import Run

TARGET_SAMPLES = 256  # Ziegler et al. 2019
MAX_NEW_TOKENS = 64  # tokens of a sample that is written for this


def reference_samples(
    run: Run, policy: GPT, tokenizer: Tokenizer, prompts: list[str], *, seed: int
) -> list[tuple[str, str]]:
    """Prompts and completions by the run's policy: the stored ones, and new ones up to the target."""
    stored = stored_samples(run)
    return stored + generate_samples(
        policy, tokenizer, prompts, count=TARGET_SAMPLES - len(stored), seed=seed
    )


def stored_samples(run: Run) -> list[tuple[str, str]]:
    """The policy's samples for the project's training prompts when the run was created, so that a resumed run
    gets the same ones."""
    if run.project is None or run.policy is None:
        return []
    samples = (
        Sample.objects.filter(
            generator=run.policy.generator,
            prompt__project=run.project,
            prompt__split="train",
            created__lte=run.created_at,
        )
        .select_related("prompt")
        .order_by("pk")[:TARGET_SAMPLES]
    )
    return [(sample.prompt.for_models, sample.text) for sample in samples]


def generate_samples(
    policy: GPT, tokenizer: Tokenizer, prompts: list[str], *, count: int, seed: int
) -> list[tuple[str, str]]:
    """`count` new samples for those of the prompts that leave room in the context."""
    if count <= 0:
        return []
    context = policy.config.context
    room = min(MAX_NEW_TOKENS, context // 2)
    try:
        fitting = sift_prompts(tokenizer, prompts, context=context, room=room, count=count).kept
    except InputError:
        fitting = []  # the samples only set a scale: those of an empty prompt do too
    target_prompts = list(islice(cycle(fitting or [""]), count))
    sampling = SamplingConfig(max_new_tokens=room, seed=seed)
    completions = complete(policy, tokenizer, target_prompts, sampling)
    return [(prompt, first.text) for prompt, (first,) in zip(target_prompts, completions, strict=True)]
