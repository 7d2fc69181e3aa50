"""Snapshots hold ratings beside comparisons."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("labeling", "0002_append_only")]

    operations = [
        migrations.AddField(
            model_name="preferencesnapshot",
            name="rating_count",
            field=models.PositiveIntegerField(
                default=0,
                help_text="Number of ratings: of score projects, one for each sample of each answer.",
            ),
        ),
        migrations.AlterField(
            model_name="preferencesnapshot",
            name="hash",
            field=models.CharField(help_text="SHA-256 of the rows as JSON Lines.", max_length=64),
        ),
        migrations.AlterField(
            model_name="preferencesnapshot",
            name="content",
            field=models.BinaryField(help_text="The comparisons, then the ratings, as JSON Lines, gzipped."),
        ),
    ]
