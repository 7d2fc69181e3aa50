"""What the reference policy writes: the texts that give a reward its scale."""

from itertools import cycle, islice

from labeling.models import Sample
from training.gpt.config import SamplingConfig
from training.gpt.generation.generate import complete
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import Run

TARGET_SAMPLES = 256  # Ziegler et al. 2019
MAX_NEW_TOKENS = 64  # tokens of a sample that is written for this


def reference_samples(
    run: Run, policy: GPT, tokenizer: Tokenizer, prompts: list[str], *, seed: int
) -> list[tuple[str, str]]:
    """Prompts and completions by the run's policy: what it had written in the project, and as much as is
    missing from enough, written now to these prompts."""
    there = stored_samples(run)
    return there + generate_samples(policy, tokenizer, prompts, count=TARGET_SAMPLES - len(there), seed=seed)


def stored_samples(run: Run) -> list[tuple[str, str]]:
    """What the policy had written to the project's prompts, held-out ones apart, when the run was started:
    resumed, it has the same."""
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
    return [(sample.prompt.text, sample.text) for sample in samples]


def generate_samples(
    policy: GPT, tokenizer: Tokenizer, prompts: list[str], *, count: int, seed: int
) -> list[tuple[str, str]]:
    """So many samples, to those of the prompts that leave room for one; none where none is missing."""
    if count <= 0:
        return []
    context = policy.config.context
    room = min(MAX_NEW_TOKENS, context // 2)
    fitting = [prompt for prompt in prompts[:count] if len(tokenizer.prompt(prompt)) + room <= context]
    asked = list(islice(cycle(fitting or [""]), count))
    sampling = SamplingConfig(max_new_tokens=room, seed=seed)
    completions = complete(policy, tokenizer, asked, sampling)
    return [(prompt, first.text) for prompt, (first,) in zip(asked, completions, strict=True)]
