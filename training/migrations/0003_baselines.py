"""Two more kinds of run: supervised fine-tuning and direct preference optimisation."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0002_resume")]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="kind",
            field=models.CharField(
                choices=[
                    ("pretrain", "Pretrain"),
                    ("sample", "Sample"),
                    ("train_reward", "Train a reward model"),
                    ("finetune", "Fine-tune"),
                    ("supervised", "Supervised fine-tune"),
                    ("dpo", "Direct preference optimisation"),
                    ("evaluate", "Evaluate"),
                ],
                max_length=20,
            ),
        ),
    ]
