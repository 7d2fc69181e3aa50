"""The few rows of evaluations among the many of a long run are found by an index of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0006_decisions_stay")]

    operations = [
        migrations.AddIndex(
            model_name="point",
            index=models.Index(
                fields=["run", "step"],
                name="point_of_evaluation",
                condition=models.Q(values__has_any_keys=["validation_loss", "heldout/loss", "heldout/kl"]),
            ),
        ),
    ]
