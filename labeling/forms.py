"""Forms for projects and imports, on the setup pages and in the admin."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.text import slugify

from labeling.feedback import KINDS
from labeling.imports import DEFAULT_GENERATOR, DEFAULT_HELDOUT, IMPORT_AS
from labeling.imports.uploads import MAX_UPLOAD_BYTES
from labeling.models import Project
from labeling.people.memberships import can_open_project, ensure_membership
from labeling.text_limits import MAX_NAME_LENGTH
from training.formats.encodings import ENCODINGS
from training.formats.reader import AUTO, FORMATS
from training.formats.text_rows import normalise_name

DEPENDENT_FIELDS = ("feedback", "samples_per_task")
"""Fields that are validated together."""
EXISTING_PROJECT_FIELDS = ("everybody", "is_active")
"""Fields that a new project does not have yet: it starts active and open to every annotator."""
ADVANCED_FIELDS = (
    "annotations_per_task", "lease_minutes", "gold_percent", "repeat_percent", "entry_percent",
    "adjudicate_percent", "chosen_percent", "daily_goal", "limit_per_day", "limit_per_person",
)  # fmt: skip
"""Fields under "Quality and limits", which have defaults."""


class ProjectForm(forms.ModelForm):
    """A project with its guidelines."""

    criteria = forms.CharField(
        required=False,
        max_length=200,
        help_text="At most four, separated by commas, such as: kindness, fluency.",
    )
    guidelines_text = forms.CharField(
        label="Guidelines",
        required=False,
        max_length=50_000,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text="Markdown. Changes become a new version; answers keep the version they were given under.",
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
            "text_format": "Text format",
            "annotations_per_task": "Annotations per task",
            "lease_minutes": "Lease, minutes",
            "gold_percent": "Gold, percent",
            "repeat_percent": "Repeats, percent",
            "entry_percent": "Entry test, percent",
            "adjudicate_percent": "Adjudication, percent",
            "chosen_percent": "Actively chosen tasks, percent",
            "limit_per_day": "Daily limit per person",
            "limit_per_person": "Total limit per person",
            "is_active": "Active",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        project: Project = self.instance
        self.initial["criteria"] = ", ".join(project.criteria)
        if project.pk and (guidelines := project.guidelines):
            self.initial["guidelines_text"] = guidelines.text

    def clean_name(self) -> str:
        """Collapse white space to single spaces."""
        return " ".join(self.cleaned_data["name"].split())

    def clean_criteria(self) -> list[str]:
        """Split at commas."""
        return [name.strip() for name in self.cleaned_data["criteria"].split(",") if name.strip()]

    def clean(self) -> dict[str, Any]:
        """Set the number of samples for kinds that have a fixed one."""
        cleaned = super().clean() or {}
        kind = KINDS.get(cleaned.get("feedback", ""))
        if kind is not None and kind.min_samples == kind.max_samples:
            cleaned["samples_per_task"] = kind.min_samples
            self.errors.pop("samples_per_task", None)
        return cleaned

    @property
    def valid_names(self) -> list[str]:
        """The model's fields that are valid and can be saved even if others are not."""
        names = [name for name in self.Meta.fields if name in self.cleaned_data and name not in self.errors]
        if any(name in self.errors for name in DEPENDENT_FIELDS):
            names = [name for name in names if name not in DEPENDENT_FIELDS]
        return names

    def valid_project(self) -> Project:
        """The stored project with the valid changes applied, not saved. Call `is_valid` first."""
        pk = self.instance.pk
        project = Project.objects.get(pk=pk) if pk else Project()
        for name in self.valid_names:
            setattr(project, name, self.cleaned_data[name])
        return project

    def save_valid(self, *, author: User) -> Project:
        """Save the valid fields."""
        project = self.valid_project()
        self.save_with_guidelines(project, author=author)
        return project

    def save_with_guidelines(self, project: Project, *, author: User) -> None:
        """Save a project, with a new slug if it has none, and changed guidelines as a new version."""
        if not project.slug:
            project.slug = unique_slug(project.name)
        project.save()
        ensure_membership(project, by=author)
        text = self.cleaned_data.get("guidelines_text")
        if text is not None and (text or project.guidelines):
            project.revise_guidelines(text.replace("\r\n", "\n"), author=author)


class SetupForm(ProjectForm):
    """The project form on the setup page, where other forms lie between its sections."""

    form_id = "settings"

    @property
    def advanced_fields(self) -> list[forms.BoundField]:
        """The collapsed fields."""
        return [self[name] for name in ADVANCED_FIELDS]

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            for name in EXISTING_PROJECT_FIELDS:
                del self.fields[name]
        elif not can_open_project(by):
            self.fields["everybody"].disabled = True
        for field in self.fields.values():
            field.widget.attrs["form"] = self.form_id


def unique_slug(name: str) -> str:
    """An unused slug for a project of this name: stories, stories-2, stories-3."""
    base = slugify(name)[:40].strip("-") or "project"
    slug, number = base, 1
    while slug == "new" or Project.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{base}-{number}"
    return slug


class UploadForm(forms.Form):
    """What is to be imported: pasted text or a file."""

    text = forms.CharField(
        label="Paste prompts",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "dir": "auto"}),
    )
    file = forms.FileField(
        label="or choose a file",
        required=False,
        allow_empty_file=True,
        help_text="JSON Lines, JSON, CSV, Parquet, Arrow or plain text; also gz, zst or zip. At most 2 GB.",
    )

    def clean_file(self) -> Any:
        """Limit the size."""
        file = self.cleaned_data["file"]
        if file and file.size > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(
                f"This file has {file.size / 2**30:.1f} GB; at most {MAX_UPLOAD_BYTES / 2**30:.0f} GB can be "
                "uploaded. Import it with “manage.py import”, or in parts."
            )
        if file and not file.size:
            raise forms.ValidationError("This file is empty.")
        return file

    def clean(self) -> dict[str, Any]:
        """Allow only one source."""
        cleaned = super().clean() or {}
        if cleaned.get("file") and cleaned.get("text", "").strip():
            raise forms.ValidationError("Choose either a file or pasted text, not both.")
        return cleaned


LEFT_OUT = "-"
COLUMN_ROLES = {
    "": "as recognised",
    LEFT_OUT: "left out",
    **dict.fromkeys(
        ("prompt", "messages", "chosen", "rejected", "completion", "response_1", "response_2", "response_3",
         "response_4", "label", "score", "margin", "annotator", "split", "model", "gold_answer", "group")
    ),
}  # fmt: skip
"""What a column can be taken for, by hand."""


class ImportOptionsForm(forms.Form):
    """How an upload is read, and what is made of it."""

    import_as = forms.ChoiceField(
        label="Import", required=False, choices=[(name, what) for name, what in IMPORT_AS.items()]
    )
    format = forms.ChoiceField(
        label="Format", required=False, choices=[(AUTO, "Detect"), *((name, name) for name in FORMATS)]
    )
    paragraphs = forms.ChoiceField(
        label="Each prompt is",
        required=False,
        choices=[("lines", "one line"), ("blocks", "a block, separated by blank lines")],
        initial="lines",
    )
    heldout = forms.IntegerField(
        label="Held out, percent",
        required=False,
        min_value=0,
        max_value=99,
        initial=round(DEFAULT_HELDOUT * 100),
        help_text="Prompts reserved for evaluation. A row with its own split (train or heldout) keeps it.",
    )
    generator = forms.CharField(
        label="Generator of the samples",
        required=False,
        max_length=MAX_NAME_LENGTH,
        initial=DEFAULT_GENERATOR,
        help_text="Used for rows that do not name one. Annotators never see it.",
    )
    encoding = forms.ChoiceField(
        label="File encoding",
        required=False,
        choices=[("", "Detect (UTF-8)"), *list(ENCODINGS.items())[1:]],
    )
    leave_out = forms.BooleanField(label="Leave these rows out", required=False)

    def __init__(self, data: Any = None, *, columns: Iterable[str] = (), **kwargs: Any) -> None:
        """`columns` are the names of the file's columns, each of which can be given a role."""
        super().__init__(data, **kwargs)
        self.columns = list(columns)
        mapped = {column: role for role, column in (self.initial.get("columns") or {}).items()}
        absent = {role for role, column in (self.initial.get("columns") or {}).items() if not column}
        for number, column in enumerate(self.columns):
            role = mapped.get(column, LEFT_OUT if normalise_name(column) in absent else "")
            roles = [(value, label or value) for value, label in COLUMN_ROLES.items()]
            self.fields[f"column-{number}"] = forms.ChoiceField(
                label=f"Column {column}", required=False, choices=roles, initial=role
            )

    def column_fields(self) -> list[forms.BoundField]:
        """The fields of the columns, in their order."""
        return [self[f"column-{number}"] for number in range(len(self.columns))]

    def clean(self) -> dict[str, Any]:
        """Fill in defaults; give each role to one column only."""
        cleaned = super().clean() or {}
        for name in ("paragraphs", "heldout"):
            if cleaned.get(name) in (None, ""):
                cleaned[name] = self.fields[name].initial
        columns: dict[str, str] = {}
        for number, column in enumerate(self.columns):
            role = cleaned.pop(f"column-{number}", "")
            if role == LEFT_OUT:
                columns.setdefault(normalise_name(column), "")
            elif role and columns.get(role):
                raise forms.ValidationError(f"Two columns are taken for “{role}”: choose one of them.")
            elif role:
                columns[role] = column
        return cleaned | {"columns": columns}

    @property
    def options(self) -> dict[str, Any]:
        """The options to keep with the upload. The form must be valid."""
        given = self.cleaned_data
        return {**given, "heldout": given["heldout"] / 100}
