"""Plain names: `Excerpt` is `RunSample`, `Point` is `MetricPoint`, a gate's `most` is `max_prompts`.

Tables and columns keep their names, so no rows move. Permissions on the renamed models follow.
"""

import django.db.models.deletion
from django.db import migrations, models

RENAMED_MODELS = {"excerpt": "runsample", "point": "metricpoint"}
VERBOSE_NAMES = {
    "excerpt": "excerpt",
    "runsample": "run sample",
    "point": "point",
    "metricpoint": "metric point",
}


def rename_permissions(apps, names):
    permissions = apps.get_model("auth", "Permission").objects
    for old, new in names.items():
        for action in ("add", "change", "delete", "view"):
            permissions.filter(content_type__app_label="training", codename=f"{action}_{old}").update(
                codename=f"{action}_{new}", name=f"Can {action} {VERBOSE_NAMES[new]}"
            )


def rename_forwards(apps, schema_editor):
    rename_permissions(apps, RENAMED_MODELS)


def rename_backwards(apps, schema_editor):
    rename_permissions(apps, {new: old for old, new in RENAMED_MODELS.items()})


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("training", "0007_points_of_evaluations"),
    ]

    operations = [
        # With the table pinned first, renaming a model changes nothing in the database but its content type.
        migrations.AlterModelTable(name="excerpt", table="training_excerpt"),
        migrations.AlterModelTable(name="point", table="training_point"),
        migrations.RenameModel(old_name="Excerpt", new_name="RunSample"),
        migrations.RenameModel(old_name="Point", new_name="MetricPoint"),
        migrations.RunPython(rename_forwards, rename_backwards),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE training_excerpt"
                    " RENAME CONSTRAINT excerpt_once_per_step TO run_sample_once_per_step",
                    "ALTER TABLE training_excerpt"
                    " RENAME CONSTRAINT run_sample_once_per_step TO excerpt_once_per_step",
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="runsample", name="excerpt_once_per_step"),
                migrations.AddConstraint(
                    model_name="runsample",
                    constraint=models.UniqueConstraint(
                        fields=("run", "step", "position"), name="run_sample_once_per_step"
                    ),
                ),
                migrations.RenameField(model_name="gate", old_name="most", new_name="max_prompts"),
                migrations.AlterField(
                    model_name="gate",
                    name="max_prompts",
                    field=models.PositiveIntegerField(
                        db_column="most",
                        help_text="After this many compared prompts without a result it is undecided.",
                    ),
                ),
            ],
        ),
    ]
