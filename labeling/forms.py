"""Forms of the set-up pages and of the admin: a project, an import."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.text import slugify

from labeling.feedback import KINDS
from labeling.models import Project
from labeling.people.memberships import keep, may_open
from labeling.setup.imports import ENCODINGS, LARGEST

TOGETHER = ("feedback", "samples_per_task")
"""Fields that are only right or wrong together."""
LATER = ("everybody", "is_active")
"""What is not asked of a new project: it is open to every annotator."""
QUALITY = (
    "annotations_per_task", "lease_minutes", "gold_percent", "repeat_percent", "entry_percent",
    "adjudicate_percent", "chosen_percent", "daily_goal", "limit_per_day", "limit_per_person",
)  # fmt: skip
"""What is folded away on the set-up page: good as it is."""


class ProjectForm(forms.ModelForm):
    """A project with its guidelines."""

    criteria = forms.CharField(
        required=False,
        max_length=200,
        help_text="At most four, with commas between them, such as: kindness, fluency.",
    )
    guidelines_text = forms.CharField(
        label="Guidelines",
        required=False,
        max_length=50_000,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text="Markdown. A change becomes a new version; answers keep the version they were given under.",
    )

    class Meta:
        model = Project
        fields = [
            "name",
            "feedback",
            "scale",
            "criteria",
            "samples_per_task",
            "text_format",
            "annotations_per_task",
            "lease_minutes",
            "daily_goal",
            "limit_per_day",
            "limit_per_person",
            "gold_percent",
            "repeat_percent",
            "entry_percent",
            "adjudicate_percent",
            "chosen_percent",
            "everybody",
            "is_active",
        ]
        labels = {
            "scale": "Highest score",
            "text_format": "Texts are",
            "annotations_per_task": "People for each task",
            "lease_minutes": "Minutes a task is held",
            "gold_percent": "Gold, percent",
            "repeat_percent": "Repeats, percent",
            "entry_percent": "Entry test, percent",
            "adjudicate_percent": "Adjudication, percent",
            "chosen_percent": "Chosen tasks, percent",
            "limit_per_day": "Limit a day",
            "limit_per_person": "Limit a person",
            "is_active": "Hands out tasks",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        project: Project = self.instance
        self.initial["criteria"] = ", ".join(project.criteria)
        if project.pk and (guidelines := project.guidelines):
            self.initial["guidelines_text"] = guidelines.text

    def clean_name(self) -> str:
        """The name on one line, which leaves something for an address."""
        return " ".join(self.cleaned_data["name"].split())

    def clean_criteria(self) -> list[str]:
        """The names between the commas."""
        return [name.strip() for name in self.cleaned_data["criteria"].split(",") if name.strip()]

    def clean(self) -> dict[str, Any]:
        """A kind that takes one number of samples only brings that number along."""
        cleaned = super().clean() or {}
        kind = KINDS.get(cleaned.get("feedback", ""))
        if kind is not None and kind.fewest_samples == kind.most_samples:
            cleaned["samples_per_task"] = kind.fewest_samples
            self.errors.pop("samples_per_task", None)
        return cleaned

    @property
    def valid_names(self) -> list[str]:
        """The model's fields whose values can be kept even if others are wrong."""
        names = [name for name in self.Meta.fields if name in self.cleaned_data and name not in self.errors]
        if any(name in self.errors for name in TOGETHER):
            names = [name for name in names if name not in TOGETHER]
        return names

    def valid_project(self) -> Project:
        """The project as it is stored, changed by what is valid; not saved. Call `is_valid` first."""
        pk = self.instance.pk
        project = Project.objects.get(pk=pk) if pk else Project()
        for name in self.valid_names:
            setattr(project, name, self.cleaned_data[name])
        return project

    def save_valid(self, *, author: User) -> Project:
        """Store what is valid of the form."""
        project = self.valid_project()
        self.save_with_guidelines(project, author=author)
        return project

    def save_with_guidelines(self, project: Project, *, author: User) -> None:
        """Store a project, with an address if it has none, and the guidelines as a new version if changed."""
        if not project.slug:
            project.slug = free_slug(project.name)
        project.save()
        keep(project, by=author)
        text = self.cleaned_data.get("guidelines_text")
        if text is not None and (text or project.guidelines):
            project.revise_guidelines(text.replace("\r\n", "\n"), author=author)


class SetupForm(ProjectForm):
    """The same on the set-up page, where other forms stand between its sections."""

    form_id = "settings"

    @property
    def quality(self) -> list[forms.BoundField]:
        """The settings that are folded away."""
        return [self[name] for name in QUALITY]

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            for name in LATER:
                del self.fields[name]
        elif not may_open(by):
            self.fields["everybody"].disabled = True
        for field in self.fields.values():
            field.widget.attrs["form"] = self.form_id


def free_slug(name: str) -> str:
    """An address for a project of this name that no project has: stories, stories-2, stories-3."""
    base = slugify(name)[:40].strip("-") or "project"
    slug, number = base, 1
    while slug == "new" or Project.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{base}-{number}"
    return slug


class ImportForm(forms.Form):
    """Where prompts and samples come from."""

    text = forms.CharField(
        label="Paste prompts",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "dir": "auto"}),
    )
    paragraphs = forms.ChoiceField(
        label="A prompt is",
        required=False,
        choices=[("lines", "one line"), ("blocks", "a block, with blank lines between")],
        initial="lines",
        widget=forms.RadioSelect,
    )
    file = forms.FileField(
        label="or choose a file",
        required=False,
        allow_empty_file=True,
        help_text="CSV, JSON Lines, JSON or plain text, at most 20 MB.",
    )
    heldout = forms.IntegerField(
        label="Held out, percent",
        required=False,
        min_value=0,
        max_value=100,
        initial=10,
        help_text="Prompts that training never sees, for evaluation; a row may say train or heldout itself.",
    )
    generator = forms.CharField(
        label="Who wrote the samples",
        required=False,
        max_length=150,
        initial="import",
        help_text="Where a row does not say it. Annotators never see it.",
    )
    encoding = forms.ChoiceField(
        label="Encoding of the file",
        required=False,
        choices=[("", "UTF-8, or as the file says"), *list(ENCODINGS.items())[1:]],
    )
    leave_out = forms.BooleanField(label="Leave these rows out", required=False)

    def clean_file(self) -> Any:
        """Nothing that would take minutes to read."""
        file = self.cleaned_data["file"]
        if file and file.size > LARGEST:
            megabytes = file.size / 1024 / 1024
            raise forms.ValidationError(
                f"This file has {megabytes:.0f} MB; at most 20 are taken. Import it in parts."
            )
        return file

    def clean_generator(self) -> str:
        """A name, in any case."""
        name: str = self.cleaned_data["generator"].strip()
        return name or "import"

    def clean(self) -> dict[str, Any]:
        """Defaults where nothing was given; one source, not two."""
        cleaned = super().clean() or {}
        for name in ("paragraphs", "heldout"):
            if cleaned.get(name) in (None, ""):
                cleaned[name] = self.fields[name].initial
        if cleaned.get("file") and cleaned.get("text", "").strip():
            raise forms.ValidationError("There is a file and a pasted text: take one of them away.")
        return cleaned
