"""What a run left to go on from, and the time it was executed apart from the time between its attempts."""

import datetime

from django.db import migrations, models
from django.db.models import F


def fill_spent(apps, schema_editor):
    ended = apps.get_model("training", "Run").objects.filter(
        started_at__isnull=False, finished_at__isnull=False
    )
    ended.update(spent=F("finished_at") - F("started_at"))


class Migration(migrations.Migration):
    dependencies = [("training", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="saved_step",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="The step that the state in its folder stands at; empty: no state.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="spent",
            field=models.DurationField(
                default=datetime.timedelta(0),
                help_text="Time in execution up to the last heartbeat, all attempts together.",
            ),
        ),
        migrations.RunPython(fill_spent, migrations.RunPython.noop),
    ]
