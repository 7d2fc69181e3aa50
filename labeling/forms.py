"""Forms of the admin."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from labeling.models import Project, Prompt
from labeling.prompts import add_prompts


class ProjectForm(forms.ModelForm):
    """A project with its guidelines, and a place to paste prompts."""

    criteria = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"size": 60}),
        help_text="Score feedback: what is scored beside the overall impression, such as: kindness, fluency.",
    )
    guidelines_text = forms.CharField(
        label="Guidelines",
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 90}),
        help_text="Markdown. A change becomes a new version; answers keep the version they were given under.",
    )
    new_prompts = forms.CharField(
        label="Prompts",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 90}),
        help_text="One on each line. Those the project has already are left alone.",
    )
    new_prompts_split = forms.ChoiceField(
        label="They are for",
        choices=[("train", "Training"), ("heldout", "Evaluation only (held out)")],
        initial=Prompt.Split.TRAIN,
    )

    class Meta:
        model = Project
        fields = [
            "name",
            "slug",
            "feedback",
            "scale",
            "criteria",
            "samples_per_task",
            "annotations_per_task",
            "lease_minutes",
            "is_active",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["criteria"] = ", ".join(self.instance.criteria)
        if self.instance.pk and (guidelines := self.instance.guidelines):
            self.initial["guidelines_text"] = guidelines.text

    def clean_new_prompts(self) -> list[str]:
        """The lines that hold something, without the ends that a paste brings along."""
        text: str = self.cleaned_data["new_prompts"]
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    def clean_criteria(self) -> list[str]:
        """The names between the commas."""
        return [name.strip() for name in self.cleaned_data["criteria"].split(",") if name.strip()]

    def save_guidelines_and_prompts(self, *, author: User) -> int:
        """Store both for the saved project. Returns how many prompts are new."""
        text = self.cleaned_data["guidelines_text"]
        project: Project = self.instance
        if text or project.guidelines:
            project.revise_guidelines(text, author=author)
        before = project.prompts.count()
        add_prompts(project, self.cleaned_data["new_prompts"], self.cleaned_data["new_prompts_split"])
        return project.prompts.count() - before
