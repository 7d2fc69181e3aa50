"""Forms for invitations, project members, roles and new accounts."""

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User

from labeling.models import Invitation, Membership, Project
from labeling.people.memberships import can_change_membership, can_grant_role, grantable_roles, set_role

Role = Membership.Role


class InvitationForm(forms.ModelForm):
    """An invitation, with the roles and projects that the inviter may grant."""

    class Meta:
        model = Invitation
        fields = ["name", "role", "projects"]
        widgets = {"projects": forms.CheckboxSelectMultiple}

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by
        self.fields["role"].required = False
        self.fields["name"].label = "Name"
        self.is_for_the_site = can_grant_role(by, Role.ANNOTATOR, None)
        projects = self.fields["projects"]
        assert isinstance(projects, forms.ModelMultipleChoiceField)
        projects.queryset = Project.objects.allowed(by, "labeling.invite").filter(is_active=True)

    def clean_role(self) -> str:
        """Annotator by default."""
        role: str = self.cleaned_data["role"]
        return role or Role.ANNOTATOR

    def clean(self) -> dict[str, Any]:
        """The inviter must be able to grant the role in each of the projects, or on the whole site."""
        cleaned = super().clean() or {}
        role, projects = cleaned.get("role"), cleaned.get("projects")
        if role is None or projects is None:
            return cleaned
        if not projects and not self.is_for_the_site:
            self.add_error("projects", "Choose at least one project.")
        elif not projects and not can_grant_role(self.by, role, None):
            self.add_error("role", "Only superusers can invite admins of the whole site. Choose projects.")
        for project in projects:
            if not can_grant_role(self.by, role, project):
                self.add_error("role", f"You cannot grant this role in “{project}”.")
        return cleaned


class MemberForm(forms.Form):
    """A person's role in one project; `remove` ends the membership."""

    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(required=False)
    remove = forms.CharField(required=False)

    def __init__(self, *args: Any, project: Project, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.project, self.by = project, by
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices = grantable_roles(by, project)
        self.fields["username"].widget.attrs |= {
            "autocapitalize": "none", "spellcheck": "false", "list": "known-people",
        }  # fmt: skip

    def clean_username(self) -> User:
        """The user with this name, ignoring case if that is unambiguous; not oneself."""
        name = self.cleaned_data["username"]
        found = User.objects.filter(username=name).first()
        if found is None:
            alike = User.objects.filter(username__iexact=name)[:2]
            found = alike[0] if len(alike) == 1 else None
        if found is None:
            raise forms.ValidationError(f"There is no user “{name}”. Check the name, or invite them.")
        if found == self.by:
            raise forms.ValidationError("You cannot change your own role. Ask another admin.")
        return found

    def clean(self) -> dict[str, Any]:
        """A role is required unless the membership ends."""
        cleaned = super().clean() or {}
        if not cleaned.get("role") and not cleaned.get("remove") and "role" not in self.errors:
            self.add_error("role", "Choose a role.")
        return cleaned

    def save(self) -> bool:
        """Save the role; False if nothing changed. Raises PermissionDenied."""
        role = None if self.cleaned_data["remove"] else self.cleaned_data["role"]
        return set_role(self.cleaned_data["username"], self.project, role, by=self.by)


class RolesForm(forms.Form):
    """One person's role in each of the projects whose members `by` manages."""

    def __init__(self, *args: Any, person: User, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person, self.by = person, by
        self.projects = {f"role_{row.pk}": row for row in Project.objects.allowed(by, "labeling.invite")}
        held = {row.project_id: row for row in person.memberships.select_related("project")}
        for name, project in self.projects.items():
            membership = held.get(project.pk)
            none = "not a member (open project)" if project.everybody else "not a member"
            field = forms.ChoiceField(
                label=project.name,
                required=False,
                choices=[("", none), *grantable_roles(by, project)],
                initial=membership.role if membership else "",
            )
            if by == person or (membership and not can_change_membership(by, membership)):
                field.choices = [("", none), *Role.choices]
                field.disabled = True
            self.fields[name] = field

    def save(self) -> None:
        """Save the changed roles. Raises PermissionDenied."""
        for name in self.changed_data:
            set_role(self.person, self.projects[name], self.cleaned_data[name] or None, by=self.by)


class AccountForm(UserCreationForm):
    """User name and password of a new account, for accepting an invitation."""

    class Meta:
        model = User
        fields = ["username"]
        labels = {"username": "User name"}
