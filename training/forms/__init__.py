"""Forms of the kinds of run, of generation, import and export, and of corpora: the checks of every door."""

from training.forms.base import RunForm
from training.forms.evaluation import EvaluateForm
from training.forms.language_model import PretrainForm, SampleForm
from training.forms.reward import TrainRewardForm
from training.forms.task_priorities import OrderTasksForm
from training.forms.tuning import DpoForm, FinetuneForm, SupervisedForm

FORMS: dict[str, type[RunForm]] = {
    form.kind: form
    for form in (
        PretrainForm, SampleForm, TrainRewardForm, OrderTasksForm, FinetuneForm, SupervisedForm, DpoForm,
        EvaluateForm,
    )
}  # fmt: skip
