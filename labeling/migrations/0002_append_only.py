"""Samples, answers and snapshots never change: PostgreSQL itself refuses the update."""

from django.db import migrations

TABLES = [
    "labeling_sample",
    "labeling_annotation",
    "labeling_judgement",
    "labeling_preferencesnapshot",
    "labeling_guidelines",
]

CREATE_FUNCTION = """
CREATE FUNCTION labeling_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("labeling", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE_FUNCTION, "DROP FUNCTION labeling_refuse_update()"),
        *(
            migrations.RunSQL(
                f"CREATE TRIGGER labeling_append_only BEFORE UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION labeling_refuse_update()",
                f"DROP TRIGGER labeling_append_only ON {table}",
            )
            for table in TABLES
        ),
    ]
