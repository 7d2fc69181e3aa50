#!/bin/bash
. "$(dirname "$0")/../common/lib.sh"
"$PY" "$COMMON/tiny_model.py" "$WORK/tiny" 64
manage import_model "$WORK/tiny" --name tiny
dj -c "import ready; ready.project('p', samples_per_task=2)"
manage add_prompts p --file "$CASE/prompts.jsonl" --heldout 0.2
manage sample --project p --policy tiny --tasks 60 --max-new-tokens 8
check "sample with one overlong prompt: opens tasks for the others, or refuses and shows which prompt" \
    sh -c "grep -q 'tasks' '$WORK/said' || grep -q 'Please read' '$WORK/said'"
for n in 1 2 3; do manage sample --project p --policy tiny --tasks 5 --max-new-tokens 8; S="${S:-}$STATUS"; done
check "five tasks at a time come through (exit statuses $S)" [ "$S" = 000 ]
dj -c "import ready; from labeling.models import Task; print('tasks opened so far:', Task.objects.count())"
manage train_reward --preferences "$CASE/prefs.jsonl" --policy tiny --epochs 1 --name r
manage finetune --project p --policy tiny --reward r --steps 12 --prompts-per-step 8 --samples-per-prompt 2 --max-new-tokens 8 --evaluate-every 20 --name tuned
check "finetune succeeds (a refusal before its first step is no shame either: see below)" status_is 0
dj -c "import ready
from training.models import Run
for run in Run.objects.order_by('pk'): print(run, run.status, 'steps measured:', run.points.count(), '|', run.error[:160])
last = Run.objects.filter(kind='finetune').order_by('-pk').first()
ready.check('no finetune that failed after updates had been made', not (last and last.status == 'failed' and last.points.count() > 1), last and last.error[:120])"
