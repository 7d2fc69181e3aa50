"""The form that prioritises a project's tasks."""

from typing import Any

from django import forms

from labeling.models import Project, Task
from labeling.task_priorities import prioritisable_tasks
from training.config_form import NamedChoiceField
from training.forms.base import RunForm, require_comparisons
from training.gpt.config import HardwareConfig
from training.models import ModelVersion, Run

ACQUISITION_FUNCTIONS = [
    (str(each), each.label) for each in (Task.Choice.DISAGREEMENT, Task.Choice.CLOSENESS)
]


class OrderTasksForm(RunForm):
    kind = Run.Kind.ORDER_TASKS
    summary = "Prioritise a project's open tasks by how much they would teach a reward model."
    configs = (HardwareConfig,)

    project = NamedChoiceField(
        Project.objects.all(),
        by="slug",
        missing="name a project (its slug).",
        help_text="The project whose open tasks are prioritised.",
    )
    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        missing="name a reward model; `manage.py train_reward --members 4` makes one from annotations.",
        help_text="The reward model that will learn from the annotations.",
    )
    by = forms.ChoiceField(
        required=False,
        initial=Task.Choice.DISAGREEMENT.value,
        choices=ACQUISITION_FUNCTIONS,
        help_text="Acquisition function",
    )
    share = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        help_text="Percent of the tasks that are selected; the others stay random, which keeps quality "
        "metrics unbiased (default: the project's setting).",
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
                f"“{reward}” is a single model without an ensemble to disagree; train one with "
                f"`manage.py train_reward --members 4`, or choose --by {Task.Choice.CLOSENESS}.",
            )
        if not self.errors and not prioritisable_tasks(project).exists():
            self.add_error(
                "project",
                f"“{project.slug}” has no open task that nobody has started; "
                f"`manage.py sample --project {project.slug}` opens some.",
            )
        return cleaned


def is_single(reward: ModelVersion) -> bool:
    """Whether the run of a reward model says that it has one member; without a run only its files tell."""
    return reward.run is not None and reward.run.parameters.get("members", 1) == 1
