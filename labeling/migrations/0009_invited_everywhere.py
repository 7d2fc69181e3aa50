"""An invitation says whether its role is one on the whole site or in its projects alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("labeling", "0008_answers_of_snapshots")]

    operations = [
        migrations.AddField(
            model_name="invitation",
            name="everywhere",
            field=models.BooleanField(
                default=True, help_text="The role is one on the whole site; otherwise in the projects alone."
            ),
        ),
    ]
