"""Rows of metrics are found by run and step, and the few of evaluations by an index of their own.

The index on the run alone goes: it made every insert dearer, and a planner without figures of a new run chose
it, to read all of the run's rows for each one that was wanted.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0006_decisions_stay")]

    operations = [
        migrations.AlterField(
            model_name="point",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="points",
                to="training.run",
            ),
        ),
        migrations.AddIndex(
            model_name="point",
            index=models.Index(
                fields=["run", "step"],
                name="point_of_evaluation",
                condition=models.Q(values__has_any_keys=["validation_loss", "heldout/loss", "heldout/kl"]),
            ),
        ),
    ]
