#!/bin/bash
. "$(dirname "$0")/../common/lib.sh"
"$PY" "$CASE/make.py" "$WORK"
manage import_model "$WORK/other-head" --name other
if [ "$STATUS" -eq 0 ]; then
    dj -c "import ready, sys
from pathlib import Path
from safetensors.torch import load_file
from training.gpt.huggingface.import_export import import_folder
model, _, _ = import_folder(Path('$WORK/other-head'))
theirs = load_file('$WORK/other-head/model.safetensors')['lm_head.weight']
ready.check('the head of the file is the head of the model', bool((model.head.weight == theirs).all()), f'tied={model.config.tied}')"
else
    check "refused with the name of the tensor" said "lm_head"
fi
manage import_model "$WORK/same-head" --name same
check "an equal head is imported" status_is 0
manage import_model "$WORK/no-head" --name none
check "untied without a head is refused by its name" said "lm_head"
check "and the remedy speaks of tie_word_embeddings" said "tie_word_embeddings|tied"
manage import_model "$WORK/unsaid" --name unsaid
check "a config that does not say is refused alike, without a traceback" no_traceback
