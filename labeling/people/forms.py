"""Forms of people: an invitation, a part in a project, a new account."""

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User

from labeling.models import Invitation, Membership, Project
from labeling.people.memberships import may_change, may_give, roles_to_give, set_role

Role = Membership.Role


class InvitationForm(forms.ModelForm):
    """Whom to invite, as what, and where: only what the inviter could give to somebody who is here."""

    class Meta:
        model = Invitation
        fields = ["name", "role", "projects"]
        widgets = {"projects": forms.CheckboxSelectMultiple}

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by
        self.fields["role"].required = False
        self.fields["name"].label = "Name"
        self.is_for_the_site = may_give(by, Role.ANNOTATOR, None)
        projects = self.fields["projects"]
        assert isinstance(projects, forms.ModelMultipleChoiceField)
        projects.queryset = Project.objects.allowed(by, "labeling.invite").filter(is_active=True)

    def clean_role(self) -> str:
        """An annotator, unless it is said otherwise."""
        role: str = self.cleaned_data["role"]
        return role or Role.ANNOTATOR

    def clean(self) -> dict[str, Any]:
        """A role that the inviter may give, in each of the projects or on the whole site."""
        cleaned = super().clean() or {}
        role, projects = cleaned.get("role"), cleaned.get("projects")
        if role is None or projects is None:
            return cleaned
        if not projects and not self.is_for_the_site:
            self.add_error("projects", "Choose the projects to which you invite them.")
        elif not projects and not may_give(self.by, role, None):
            self.add_error("role", "Only superusers invite admins of the whole site: choose their projects.")
        for project in projects:
            if not may_give(self.by, role, project):
                self.add_error("role", f"You cannot give this role in “{project}”.")
        return cleaned


class MemberForm(forms.Form):
    """Somebody's role in one project; with `remove`, none any more."""

    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(required=False)
    remove = forms.CharField(required=False)

    def __init__(self, *args: Any, project: Project, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.project, self.by = project, by
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices = roles_to_give(by, project)
        self.fields["username"].widget.attrs |= {
            "autocapitalize": "none", "spellcheck": "false", "list": "known-people",
        }  # fmt: skip

    def clean_username(self) -> User:
        """The person of this name, in any case if there is but one; not oneself."""
        name = self.cleaned_data["username"]
        found = User.objects.filter(username=name).first()
        if found is None:
            alike = User.objects.filter(username__iexact=name)[:2]
            found = alike[0] if len(alike) == 1 else None
        if found is None:
            raise forms.ValidationError(f"Nobody here is called “{name}”: invite them, or mend the name.")
        if found == self.by:
            raise forms.ValidationError("Nobody changes their own part in a project: ask another admin.")
        return found

    def clean(self) -> dict[str, Any]:
        """A role, unless the membership ends."""
        cleaned = super().clean() or {}
        if not cleaned.get("role") and not cleaned.get("remove") and "role" not in self.errors:
            self.add_error("role", "Choose a role.")
        return cleaned

    def save(self) -> bool:
        """Store it; False if it was so before. Raises PermissionDenied."""
        role = None if self.cleaned_data["remove"] else self.cleaned_data["role"]
        return set_role(self.cleaned_data["username"], self.project, role, by=self.by)


class RolesForm(forms.Form):
    """One person's role in each of the projects whose people somebody looks after."""

    def __init__(self, *args: Any, person: User, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person, self.by = person, by
        self.projects = {f"role_{row.pk}": row for row in Project.objects.allowed(by, "labeling.invite")}
        held = {row.project_id: row for row in person.memberships.select_related("project")}
        for name, project in self.projects.items():
            membership = held.get(project.pk)
            none = "as everybody" if project.everybody else "not a member"
            field = forms.ChoiceField(
                label=project.name,
                required=False,
                choices=[("", none), *roles_to_give(by, project)],
                initial=membership.role if membership else "",
            )
            if by == person or (membership and not may_change(by, membership)):
                field.choices = [("", none), *Role.choices]
                field.disabled = True
            self.fields[name] = field

    def save(self) -> None:
        """Store what was changed. Raises PermissionDenied."""
        for name in self.changed_data:
            set_role(self.person, self.projects[name], self.cleaned_data[name] or None, by=self.by)


class AccountForm(UserCreationForm):
    """The name and password of whoever accepts an invitation, and nothing else of the account."""

    class Meta:
        model = User
        fields = ["username"]
        labels = {"username": "User name"}
