"""Prompts that were stored as the text of a dialogue get their messages; texts and hashes stay."""

from django.db import migrations

from training.formats.prompt_completions import parse_prompt


def add_messages(apps, schema_editor):
    """Parse the texts that have turns; a text that is not the rendering of its messages stays plain."""
    Prompt = apps.get_model("labeling", "Prompt")
    changed = []
    for prompt in Prompt.objects.filter(messages__isnull=True, text__endswith="\n\nAssistant:").iterator():
        try:
            parsed = parse_prompt(prompt.text)
        except ValueError:
            continue
        if parsed.messages and parsed.text == prompt.text:
            prompt.messages = list(parsed.messages)
            changed.append(prompt)
    Prompt.objects.bulk_update(changed, ["messages"], batch_size=500)


class Migration(migrations.Migration):
    dependencies = [
        ("labeling", "0011_prompt_messages"),
    ]

    operations = [
        migrations.RunPython(add_messages, migrations.RunPython.noop, elidable=True),
    ]
