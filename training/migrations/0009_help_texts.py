"""Labels and help texts in plain words: nothing changes in the database."""

import datetime
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0008_plain_names"),
    ]

    operations = [
        migrations.AlterField(
            model_name="automation",
            name="every",
            field=models.PositiveIntegerField(
                default=1000,
                help_text="Start a round after this many new comparisons since the last reward model.",
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AlterField(
            model_name="automation",
            name="finetune",
            field=models.JSONField(
                blank=True, default=dict, help_text="Options that differ from the defaults."
            ),
        ),
        migrations.AlterField(
            model_name="automation",
            name="train_reward",
            field=models.JSONField(
                blank=True, default=dict, help_text="Options that differ from the defaults."
            ),
        ),
        migrations.AlterField(
            model_name="decision",
            name="gate_was_met",
            field=models.BooleanField(
                default=True, help_text="False: promoted without a met gate, for the reason given."
            ),
        ),
        migrations.AlterField(
            model_name="decision",
            name="replaced",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that was in production before, if that changed.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replaced_by",
                to="training.modelversion",
            ),
        ),
        migrations.AlterField(
            model_name="gate",
            name="evidence",
            field=models.JSONField(blank=True, default=dict, help_text="The results when it was closed."),
        ),
        migrations.AlterField(
            model_name="gate",
            name="run",
            field=models.ForeignKey(
                blank=True,
                help_text="The run that opened the tasks.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="gates",
                to="training.run",
            ),
        ),
        migrations.AlterField(
            model_name="logline",
            name="attempt",
            field=models.PositiveIntegerField(help_text="The attempt that logged it, from 1."),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="generator",
            field=models.OneToOneField(
                blank=True,
                help_text="Its name as the author of samples; empty for reward models.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="model_version",
                to="labeling.generator",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="name",
            field=models.CharField(
                max_length=80,
                unique=True,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Za-z0-9][A-Za-z0-9._-]*\\Z",
                        "Start the name with a letter or digit, followed by letters, digits, '.', '_' or '-'.",
                    )
                ],
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                help_text="The version its weights were initialised from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="children",
                to="training.modelversion",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="project",
            field=models.ForeignKey(
                blank=True,
                help_text="The project it was made or first promoted in; empty: none yet.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="labeling.project",
            ),
        ),
        migrations.AlterField(
            model_name="round",
            name="comparisons",
            field=models.PositiveIntegerField(help_text="Comparisons available when it started."),
        ),
        migrations.AlterField(
            model_name="round",
            name="outcome",
            field=models.CharField(
                choices=[("going", "In progress"), ("done", "Done"), ("stopped", "Stopped")],
                default="going",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="announced_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When its end was announced by e-mail and webhook.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="detached",
            field=models.BooleanField(
                default=True, help_text="Executed by a worker; otherwise by the command that started it."
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="kind",
            field=models.CharField(
                choices=[
                    ("pretrain", "Pretrain"),
                    ("sample", "Sample"),
                    ("train_reward", "Train a reward model"),
                    ("order_tasks", "Prioritise tasks"),
                    ("finetune", "Fine-tune"),
                    ("supervised", "Supervised fine-tune"),
                    ("dpo", "Direct preference optimisation"),
                    ("evaluate", "Evaluate"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="metrics",
            field=models.JSONField(default=dict, help_text="The final metrics."),
        ),
        migrations.AlterField(
            model_name="run",
            name="parameters",
            field=models.JSONField(default=dict, help_text="The validated parameters."),
        ),
        migrations.AlterField(
            model_name="run",
            name="policy",
            field=models.ForeignKey(
                blank=True,
                help_text="The policy this run starts from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="runs_as_policy",
                to="training.modelversion",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="resources",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="Resource usage of its process at the last heartbeat, and peaks.",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="saved_step",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="The step of the state saved in its folder; empty: no saved state.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="seen_at",
            field=models.DateTimeField(
                blank=True, editable=False, help_text="When its owner saw its end on a page.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="spent",
            field=models.DurationField(
                default=datetime.timedelta(0),
                help_text="Execution time up to the last heartbeat, over all attempts.",
            ),
        ),
        migrations.AlterField(
            model_name="runsample",
            name="position",
            field=models.PositiveSmallIntegerField(help_text="The index of the prompt, from 0."),
        ),
        migrations.AlterField(
            model_name="runsample",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="samples", to="training.run"
            ),
        ),
        migrations.AlterField(
            model_name="runsample",
            name="score",
            field=models.FloatField(
                blank=True, help_text="By the run's reward function or reward model; empty: none.", null=True
            ),
        ),
    ]
