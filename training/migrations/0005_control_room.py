"""What the control room keeps: decisions, gates, rounds, logs, excerpts."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


# What ended before there were notices is no news; a version belongs to the project of its run, and of several
# in production the newest stays.
WHAT_IS_KNOWN = """
UPDATE training_run SET announced_at = finished_at, seen_at = finished_at WHERE finished_at IS NOT NULL;
UPDATE training_modelversion AS version SET project_id = run.project_id
FROM training_run AS run WHERE run.id = version.run_id;
UPDATE training_modelversion AS version SET stage = 'archived'
WHERE stage = 'production' AND EXISTS (
    SELECT 1 FROM training_modelversion AS newer
    WHERE newer.stage = 'production' AND newer.kind = version.kind AND newer.id > version.id
    AND newer.project_id IS NOT DISTINCT FROM version.project_id
);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("labeling", "0007_roles_and_traces"),
        ("training", "0004_order_tasks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Automation",
            fields=[
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="automation",
                        serialize=False,
                        to="labeling.project",
                    ),
                ),
                ("is_on", models.BooleanField(default=False)),
                (
                    "every",
                    models.PositiveIntegerField(
                        default=1000,
                        help_text="New comparisons since the last reward model.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "train_reward",
                    models.JSONField(
                        blank=True, default=dict, help_text="Options that are not the defaults."
                    ),
                ),
                (
                    "finetune",
                    models.JSONField(
                        blank=True, default=dict, help_text="Options that are not the defaults."
                    ),
                ),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("promote", "Promoted"),
                            ("roll_back", "Rolled back to"),
                            ("archive", "Archived"),
                            ("restore", "Taken out of the archive"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "gate_was_met",
                    models.BooleanField(
                        default=True, help_text="False: promoted without, for the reason given."
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Excerpt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("step", models.PositiveIntegerField()),
                ("position", models.PositiveSmallIntegerField(help_text="Which of the prompts, from 0.")),
                ("prompt", models.TextField(blank=True)),
                ("text", models.TextField(blank=True)),
                (
                    "score",
                    models.FloatField(
                        blank=True, help_text="By whoever judges the run; empty: nobody.", null=True
                    ),
                ),
            ],
            options={
                "ordering": ["run", "position", "step"],
            },
        ),
        migrations.CreateModel(
            name="Gate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "most",
                    models.PositiveIntegerField(help_text="After so many compared prompts it is undecided."),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("open", "Being answered"),
                            ("met", "Met: people prefer the candidate"),
                            ("refused", "Not met: people prefer the version in production"),
                            ("undecided", "Not met: people see no clear difference"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                (
                    "evidence",
                    models.JSONField(blank=True, default=dict, help_text="The figures when it was closed."),
                ),
                ("opened_at", models.DateTimeField(auto_now_add=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="LogLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("attempt", models.PositiveIntegerField(help_text="Which attempt said it, from 1.")),
                (
                    "level",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("error", "Error")],
                        default="info",
                        max_length=7,
                    ),
                ),
                ("text", models.TextField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Round",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("is_automatic", models.BooleanField(default=False)),
                ("comparisons", models.PositiveIntegerField(help_text="There were so many when it began.")),
                (
                    "outcome",
                    models.CharField(
                        choices=[("going", "Going on"), ("done", "Done"), ("stopped", "Stopped")],
                        default="going",
                        max_length=10,
                    ),
                ),
                ("message", models.TextField(blank=True, help_text="Why it stopped.")),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AlterModelOptions(
            name="modelversion",
            options={
                "ordering": ["-id"],
                "permissions": [("promote_modelversion", "Can promote, archive and roll back versions")],
            },
        ),
        migrations.AddField(
            model_name="modelversion",
            name="project",
            field=models.ForeignKey(
                blank=True,
                help_text="The project in whose loop it was made, or first promoted; empty: none yet.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="labeling.project",
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="announced_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When its end was told by e-mail and webhook.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="code_version",
            field=models.CharField(
                blank=True, help_text="The code that executed its last attempt.", max_length=80
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="pause_requested",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name="run",
            name="resources",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What its process used at the last heartbeat, and at most.",
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="seen_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When its owner learned of its end on a page.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="status",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("running", "Running"),
                    ("succeeded", "Succeeded"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("paused", "Paused"),
                ],
                default="queued",
                max_length=10,
            ),
        ),
        migrations.RunSQL(WHAT_IS_KNOWN, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("stage", "production")),
                fields=("project", "kind"),
                name="version_one_in_production",
                nulls_distinct=False,
            ),
        ),
        migrations.AddField(
            model_name="automation",
            name="changed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="project",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="labeling.project",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="replaced",
            field=models.ForeignKey(
                blank=True,
                help_text="What was in production before, where that changed.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replaced_by",
                to="training.modelversion",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="training.modelversion",
            ),
        ),
        migrations.AddField(
            model_name="excerpt",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="excerpts", to="training.run"
            ),
        ),
        migrations.AddField(
            model_name="gate",
            name="against",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="gates_against",
                to="training.modelversion",
            ),
        ),
        migrations.AddField(
            model_name="gate",
            name="candidate",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="gates", to="training.modelversion"
            ),
        ),
        migrations.AddField(
            model_name="gate",
            name="opened_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="gate",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="gates", to="labeling.project"
            ),
        ),
        migrations.AddField(
            model_name="gate",
            name="run",
            field=models.ForeignKey(
                blank=True,
                help_text="It opened the tasks.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="gates",
                to="training.run",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="gate",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="training.gate",
            ),
        ),
        migrations.AddField(
            model_name="logline",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="log", to="training.run"
            ),
        ),
        migrations.AddField(
            model_name="round",
            name="finetune",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="round_of_policy",
                to="training.run",
            ),
        ),
        migrations.AddField(
            model_name="round",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="rounds", to="labeling.project"
            ),
        ),
        migrations.AddField(
            model_name="round",
            name="started_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="round",
            name="train_reward",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="round_of_reward",
                to="training.run",
            ),
        ),
        migrations.AddConstraint(
            model_name="excerpt",
            constraint=models.UniqueConstraint(
                fields=("run", "step", "position"), name="excerpt_once_per_step"
            ),
        ),
        migrations.AddConstraint(
            model_name="gate",
            constraint=models.CheckConstraint(
                condition=models.Q(("candidate", models.F("against")), _negated=True),
                name="gate_compares_two",
            ),
        ),
        migrations.AddConstraint(
            model_name="gate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at__isnull", True), ("outcome", "open")),
                    models.Q(models.Q(("outcome", "open"), _negated=True), ("closed_at__isnull", False)),
                    _connector="OR",
                ),
                name="gate_closed_has_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="gate",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "open")),
                fields=("project", "candidate", "against"),
                name="gate_open_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="round",
            constraint=models.UniqueConstraint(
                fields=("project", "number"), name="round_number_once_a_project"
            ),
        ),
        migrations.AddConstraint(
            model_name="round",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "going")), fields=("project",), name="round_one_at_a_time"
            ),
        ),
    ]
