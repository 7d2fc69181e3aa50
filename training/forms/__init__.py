"""What can be asked of each kind of run, of a model, of a corpus."""

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
