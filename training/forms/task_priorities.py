"""What can be asked of the order of a project's tasks."""

from typing import Any

from django import forms

from labeling.models import Project, Task
from labeling.task_priorities import orderable
from training.config_form import NamedChoiceField
from training.forms.base import RunForm, require_comparisons
from training.gpt.config import HardwareConfig
from training.models import ModelVersion, Run

MEASURES = [(str(each), each.label) for each in Task.Choice if each != Task.Choice.RANDOM]


class OrderTasksForm(RunForm):
    kind = Run.Kind.ORDER_TASKS
    summary = "Order a project's waiting tasks by how much their answers would teach a reward model."
    configs = (HardwareConfig,)

    project = NamedChoiceField(
        Project.objects.all(),
        by="slug",
        missing="name a project (its slug).",
        help_text="The project whose waiting tasks are ordered.",
    )
    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        missing="name a reward model; `manage.py train_reward --members 4` makes one from people's answers.",
        help_text="The reward model that is to learn from the answers.",
    )
    by = forms.ChoiceField(
        required=False,
        initial=Task.Choice.DISAGREEMENT.value,
        choices=MEASURES,
        help_text="What makes a task useful",
    )
    share = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        help_text="Of a hundred tasks, how many are chosen; the others come at random, so that figures about "
        "people stay unbiased (default: the project's setting).",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        project = cleaned.get("project")
        if project is None:
            return cleaned
        if cleaned.get("share") is None:
            cleaned["share"] = project.chosen_percent
        require_comparisons(self, project)
        reward = cleaned.get("reward")
        if cleaned.get("by") == Task.Choice.DISAGREEMENT and reward is not None and is_single(reward):
            self.add_error(
                "reward",
                f"“{reward}” is a single model, and nobody is there to disagree with it; train one with "
                f"`manage.py train_reward --members 4`, or choose --by {Task.Choice.CLOSENESS}.",
            )
        if not self.errors and not orderable(project).exists():
            self.add_error(
                "project",
                f"“{project.slug}” has no waiting task that nobody has begun; "
                f"`manage.py sample --project {project.slug}` opens some.",
            )
        return cleaned


def is_single(reward: ModelVersion) -> bool:
    """Whether a reward model is known to have one member; where no run says, only its files do."""
    return reward.run is not None and reward.run.parameters.get("members", 1) == 1
