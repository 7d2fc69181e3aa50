"""Decisions are append-only: PostgreSQL itself refuses to change or delete one.

Only who made it may be emptied, which is what becomes of it when that person's account is deleted.
"""

from django.db import migrations

CREATE_FUNCTION = """
CREATE FUNCTION training_keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.by_id IS NULL AND to_jsonb(NEW) - 'by_id' = to_jsonb(OLD) - 'by_id' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("training", "0005_control_room")]

    operations = [
        migrations.RunSQL(CREATE_FUNCTION, "DROP FUNCTION training_keep_decision()"),
        migrations.RunSQL(
            "CREATE TRIGGER training_append_only BEFORE UPDATE OR DELETE ON training_decision "
            "FOR EACH ROW EXECUTE FUNCTION training_keep_decision()",
            "DROP TRIGGER training_append_only ON training_decision",
        ),
    ]
