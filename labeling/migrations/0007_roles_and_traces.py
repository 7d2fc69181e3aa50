"""Roles in projects, and which answers a snapshot was made from."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


COPY_MEMBERS = """
INSERT INTO labeling_membership (project_id, person_id, role, created)
SELECT project_id, user_id, CASE WHEN is_staff THEN 'admins' ELSE 'annotators' END, now()
FROM labeling_project_members JOIN auth_user ON auth_user.id = user_id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("labeling", "0006_adjudication_may_keep_all"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[("annotators", "Annotator"), ("reviewers", "Reviewer"), ("admins", "Admin")],
                        default="annotators",
                        max_length=10,
                    ),
                ),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["person__username"],
            },
        ),
        migrations.CreateModel(
            name="SnapshotAnswer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
        ),
        migrations.AlterModelOptions(
            name="project",
            options={
                "ordering": ["name"],
                "permissions": [
                    ("label", "Can answer tasks"),
                    ("export", "Can export comparisons"),
                    ("review", "Can see how well people agree, and adjudicate"),
                    ("invite", "Can invite annotators"),
                    ("erase", "Can delete a person's answers"),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invitation",
            name="labeling_invitation_role_known",
        ),
        migrations.AddField(
            model_name="preferencesnapshot",
            name="withdrawn",
            field=models.PositiveIntegerField(
                default=0, help_text="Answers that were deleted since, and taken out of the content."
            ),
        ),
        migrations.AddField(
            model_name="preferencesnapshot",
            name="withdrawn_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="role",
            field=models.CharField(
                choices=[("annotators", "Annotator"), ("reviewers", "Reviewer"), ("admins", "Admin")],
                default="annotators",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["annotators", "reviewers", "admins"])),
                name="labeling_invitation_role_known",
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="person",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to="labeling.project"
            ),
        ),
        migrations.AddField(
            model_name="snapshotanswer",
            name="annotation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="labeling.annotation"
            ),
        ),
        migrations.AddField(
            model_name="snapshotanswer",
            name="snapshot",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="labeling.preferencesnapshot",
            ),
        ),
        migrations.AddField(
            model_name="preferencesnapshot",
            name="answers",
            field=models.ManyToManyField(
                help_text="What it was made from.",
                related_name="snapshots",
                through="labeling.SnapshotAnswer",
                to="labeling.annotation",
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("project", "person"), name="labeling_membership_once"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["annotators", "reviewers", "admins"])),
                name="labeling_membership_role_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="snapshotanswer",
            constraint=models.UniqueConstraint(
                fields=("snapshot", "annotation"), name="labeling_snapshot_answer_once"
            ),
        ),
        migrations.RunSQL(COPY_MEMBERS, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="project", name="members"),
        migrations.AddField(
            model_name="project",
            name="members",
            field=models.ManyToManyField(
                blank=True,
                related_name="projects",
                through="labeling.Membership",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
