"""The claim as one SQL statement: pick a task, take a slot, move the cursor, lease it.

The task is one the annotator lost (`lost`), else the next ordinary one after their cursor (`following`), or
instead of it, if `draw` says so and one exists, gold (`gold`) or a repeat (`again`). Control tasks only come
while an ordinary task waits: on an empty queue they would be recognised.

An annotator can get tasks that they neither hold nor have answered or skipped. An expired or released
assignment is leased again with its original sample order. Nobody gets gold for a task they know, or the
original of gold they know.
"""

CLAIM = """
WITH lost AS (
    SELECT task.id
    FROM (
        SELECT task_id, finished
        FROM labeling_assignment
        WHERE annotator_id = %(annotator)s AND project_id = %(project)s AND state IN ('expired', 'released')
        ORDER BY finished DESC
        LIMIT %(remembered)s
    ) AS latest
    JOIN labeling_task AS task ON task.id = latest.task_id
    WHERE task.open > 0
      AND (task.kind = 'ordinary' OR task.kind IN ('gold', 'repeat') AND %(control_tasks)s)
    ORDER BY latest.finished DESC
    LIMIT 1
    FOR NO KEY UPDATE OF task SKIP LOCKED
), following AS (
    SELECT task.id, task.priority
    FROM labeling_task AS task
    WHERE NOT EXISTS (SELECT FROM lost)
      AND task.project_id = %(project)s
      AND task.open > 0
      AND task.kind = 'ordinary'
      AND (task.priority, task.id) > (%(priority)s, %(after)s)
      AND NOT EXISTS (
          SELECT FROM labeling_assignment AS theirs
          WHERE theirs.task_id = task.id
            AND theirs.annotator_id = %(annotator)s
            AND theirs.state IN ('leased', 'submitted', 'skipped')
      )
      AND NOT EXISTS (
          SELECT FROM labeling_task AS copy
          JOIN labeling_assignment AS theirs ON theirs.task_id = copy.id
          WHERE copy.origin_id = task.id AND theirs.annotator_id = %(annotator)s
      )
    ORDER BY task.priority, task.id
    LIMIT 1
    FOR NO KEY UPDATE OF task SKIP LOCKED
), gold AS (
    SELECT task.id
    FROM labeling_task AS task
    WHERE %(draw)s = 'gold'
      AND EXISTS (SELECT FROM following)
      AND task.project_id = %(project)s
      AND task.open > 0
      AND task.kind = 'gold'
      AND NOT EXISTS (
          SELECT FROM labeling_task AS same
          JOIN labeling_assignment AS theirs ON theirs.task_id = same.id
          WHERE task.origin_id IN (same.id, same.origin_id) AND theirs.annotator_id = %(annotator)s
      )
    ORDER BY random()
    LIMIT 1
    FOR NO KEY UPDATE OF task SKIP LOCKED
), first_time AS (
    SELECT answered.task_id, answered.shown_order
    FROM (
        SELECT task_id, shown_order
        FROM labeling_assignment
        WHERE annotator_id = %(annotator)s AND project_id = %(project)s AND state = 'submitted'
        ORDER BY finished DESC
        OFFSET %(apart)s
        LIMIT %(reach)s
    ) AS answered
    WHERE %(draw)s = 'repeat'
      AND EXISTS (SELECT FROM following)
      -- A few look-ups, where a join would read all tasks of a small table.
      AND (SELECT kind FROM labeling_task WHERE id = answered.task_id) = 'ordinary'
      AND NOT EXISTS (
          SELECT FROM labeling_task AS copy
          JOIN labeling_assignment AS theirs ON theirs.task_id = copy.id
          WHERE copy.origin_id = answered.task_id
            AND copy.kind = 'repeat'
            AND theirs.annotator_id = %(annotator)s
      )
    ORDER BY random()
    LIMIT 1
), again AS (
    INSERT INTO labeling_task
        (project_id, prompt_id, priority, need, open, kind, origin_id, choice, created)
    SELECT project_id, prompt_id, priority, 1, 0, 'repeat', id, choice, statement_timestamp()
    FROM labeling_task
    WHERE id IN (SELECT task_id FROM first_time)
    RETURNING id, origin_id
), placed AS (
    INSERT INTO labeling_tasksample (task_id, sample_id, position)
    SELECT again.id, place.sample_id, place.position
    FROM again
    JOIN labeling_tasksample AS place ON place.task_id = again.origin_id
), taken AS (
    UPDATE labeling_task AS task
    SET open = task.open - 1
    FROM (
        SELECT id FROM lost
        UNION ALL
        SELECT id FROM gold
        UNION ALL
        SELECT id FROM following
        WHERE NOT EXISTS (SELECT FROM gold) AND NOT EXISTS (SELECT FROM first_time)
    ) AS picked
    WHERE task.id = picked.id
    RETURNING task.id
), moved AS (
    UPDATE labeling_cursor AS place
    SET priority = following.priority, after = following.id
    FROM following
    JOIN taken ON taken.id = following.id
    WHERE place.annotator_id = %(annotator)s AND place.project_id = %(project)s
)
INSERT INTO labeling_assignment
    (task_id, project_id, annotator_id, state, shown_order, lease_until, claimed, skip_reason)
SELECT
    shown.task_id, %(project)s, %(annotator)s, 'leased', shown.samples,
    statement_timestamp() + make_interval(mins => %(lease_minutes)s), statement_timestamp(), ''
FROM (
    SELECT
        id AS task_id,
        ARRAY(SELECT sample_id FROM labeling_tasksample WHERE task_id = taken.id ORDER BY random()) AS samples
    FROM taken
    UNION ALL
    SELECT
        again.id,
        ARRAY(
            SELECT sample FROM unnest(shown_order) WITH ORDINALITY AS was (sample, place) ORDER BY place DESC
        )
    FROM again, first_time
) AS shown
ON CONFLICT (task_id, annotator_id) DO UPDATE
SET state = 'leased', lease_until = EXCLUDED.lease_until, claimed = EXCLUDED.claimed, finished = NULL
RETURNING id
"""
