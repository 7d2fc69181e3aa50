"""Snapshots know the answers that they were made from, and can lose those that a person has deleted."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from django.db import migrations

REFUSE_OTHER_UPDATES = """
CREATE FUNCTION labeling_allow_withdrawal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.withdrawn > OLD.withdrawn
        AND NEW.withdrawn_at IS NOT NULL
        AND NEW.count <= OLD.count
        AND NEW.rating_count <= OLD.rating_count
        AND NEW.demonstration_count <= OLD.demonstration_count
        AND (NEW.id, NEW.project_id, NEW.hash, NEW.created) = (OLD.id, OLD.project_id, OLD.hash, OLD.created)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'rows of % only change when answers are withdrawn', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
DROP TRIGGER labeling_append_only ON labeling_preferencesnapshot;
CREATE TRIGGER labeling_append_only BEFORE UPDATE ON labeling_preferencesnapshot
FOR EACH ROW EXECUTE FUNCTION labeling_allow_withdrawal()
"""
REFUSE_ALL_UPDATES = """
DROP TRIGGER labeling_append_only ON labeling_preferencesnapshot;
CREATE TRIGGER labeling_append_only BEFORE UPDATE ON labeling_preferencesnapshot
FOR EACH ROW EXECUTE FUNCTION labeling_refuse_update();
DROP FUNCTION labeling_allow_withdrawal()
"""

BATCH = 5000


def groups_in(content: bytes) -> Iterator[int]:
    """The answers whose rows a snapshot holds: each row names its own."""
    seen = set()
    for line in gzip.decompress(content).splitlines():
        group = json.loads(line).get("group", "")
        if group.isdecimal() and group not in seen:
            seen.add(group)
            yield int(group)


def record_answers(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001
    """Record what each snapshot was made from."""
    snapshots = apps.get_model("labeling", "PreferenceSnapshot").objects
    annotations = apps.get_model("labeling", "Annotation").objects
    answers = apps.get_model("labeling", "SnapshotAnswer")
    for pk in snapshots.values_list("pk", flat=True):
        content = snapshots.values_list("content", flat=True).get(pk=pk)
        groups = list(groups_in(bytes(content)))
        for first in range(0, len(groups), BATCH):
            # Some may have been deleted since.
            there = (
                annotations.filter(pk__in=groups[first : first + BATCH])
                .order_by("pk")
                .values_list("pk", flat=True)
            )
            answers.objects.bulk_create(
                [answers(snapshot_id=pk, annotation_id=key) for key in there], ignore_conflicts=True
            )


class Migration(migrations.Migration):
    dependencies = [("labeling", "0007_roles_and_traces")]

    operations = [
        migrations.RunSQL(REFUSE_OTHER_UPDATES, REFUSE_ALL_UPDATES),
        migrations.RunPython(record_answers, migrations.RunPython.noop),
    ]
