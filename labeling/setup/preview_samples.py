"""Prompt and samples for the preview of the annotator's page: typed in, the project's own, or examples."""

from collections.abc import Mapping

from labeling.models import Project, Prompt
from training.formats.messages import parse_dialogue

EXAMPLE_PROMPT = "Write the beginning of a story about a lighthouse keeper and a gull, for children of six."
EXAMPLE_SAMPLES = (
    (
        "Every morning Mrs. Olsen climbed one hundred and twelve steps to wipe the salt from the great lamp. "
        "And every morning the same grey gull sat on the rail and watched her, as if it were counting."
    ),
    (
        "There was a lighthouse. A keeper lived there. There was also a gull. The gull was a bird. The "
        "keeper liked the gull and the gull liked the keeper and they were friends."
    ),
    (
        "“You again,” said the keeper. The gull said nothing, because its beak was full of her breakfast. It "
        "had taken the toast on Monday, the egg on Tuesday, and today, it seemed, the spoon."
    ),
    (
        "Once upon a time a keeper lost her light. The gull flew out over the dark sea, caught a star that "
        "had come too low, and carried it home in its beak."
    ),
    "The gull had a name, but nobody on the island could say it, so the keeper called him Tuesday.",
    "It was a stormy night, and the lamp would not burn.",
    "Lighthouses are towers that emit light to aid navigation. Keepers operated them until automation.",
    (
        "High on the rock, where the wind never sleeps, a keeper baked bread for one and always made enough "
        "for two."
    ),
    "The gull landed with a letter tied to its leg. It was addressed to the lamp.",
)


def preview_content(project: Project, *, data: Mapping[str, str]) -> tuple[Prompt, list[str], bool]:
    """A prompt, samples for it, and whether they are only examples.

    Typed-in texts (`example_prompt`, and `example_samples` separated by blank lines) take precedence over the
    project's own, and these over built-in examples. A prompt typed as `Human:` and `Assistant:` turns is a
    conversation.
    """
    count = project.samples_per_task
    typed = [block.strip() for block in data.get("example_samples", "").replace("\r", "").split("\n\n")]
    samples = [text for text in typed if text][:count]
    prompt = data.get("example_prompt", "").strip()
    task = project.tasks.ordinary().order_by("pk").first() if project.pk else None
    if task is not None and not (samples or prompt):
        own = [sample.text for sample in task.samples.order_by("task_samples__position")]
        return task.prompt, own, False
    first = project.prompts.first() if project.pk else None
    if prompt or first is None:
        first = Prompt(text=prompt or EXAMPLE_PROMPT, messages=parse_dialogue(prompt))
    # Filled up with examples to the project's number of samples.
    samples += [text for text in EXAMPLE_SAMPLES if text not in samples][: count - len(samples)]
    return first, samples, True
