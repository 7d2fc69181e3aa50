"""Train a language model on a corpus, from scratch or from a policy."""

from pathlib import Path

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.corpora import prepare_corpus
from training.execution.model_loading import load_policy
from training.execution.result import NewVersion, RunResult
from training.execution.tuning import MAX_EXAMPLES
from training.gpt.checkpoint import load_checkpoint
from training.gpt.config import PretrainConfig, SamplingConfig
from training.gpt.corpus.prepare import PreparedCorpus
from training.gpt.errors import InputError
from training.gpt.generation.generate import complete
from training.gpt.pretraining import PretrainResult, pretrain
from training.models import ModelVersion, Run


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:
    """Prepare the corpus, train, and keep the best checkpoint by validation loss."""
    try:
        return learn(run, attempt, folder)
    except InputError as error:
        # The training code calls it "corpus"; show the name that was given instead.
        raise InputError(str(error).replace("corpus: ", f"{run.parameters['source']}: ", 1)) from error


def learn(run: Run, attempt: Attempt, folder: Path) -> RunResult:
    """Train, and generate example completions."""
    prepared, result = train(run, attempt, folder)
    attempt.raise_if_stopped()
    model, tokenizer = load_checkpoint(folder / "model")
    (written,) = complete(
        model, tokenizer, [""], SamplingConfig(max_new_tokens=64, seed=0), samples_per_prompt=MAX_EXAMPLES
    )
    return RunResult(
        metrics={
            **result.metrics,
            "documents": prepared.summary["documents"],
            "stopped": result.stop_reason,
            "examples": [{"prompt": "", "completion": each.text} for each in written],
        },
        version=NewVersion(folder=folder / "model", kind=ModelVersion.Kind.POLICY, parent=run.policy),
    )


def execute_as_helper(run: Run, attempt: Attempt, folder: Path) -> None:
    """Take part in the training in a helper process."""
    train(run, attempt, folder)


def train(run: Run, attempt: Attempt, folder: Path) -> tuple[PreparedCorpus, PretrainResult]:
    """The prepared corpus, and the result of training on it. The model is saved in `folder`."""
    model = tokenizer = None
    if run.policy is not None:
        attempt.report("loading the policy")
        model, tokenizer = load_policy(run.policy)
        if run.parameters.get("chat"):
            template = tokenizer.chat_template or tokenizer.plain_chat_template()
            tokenizer = tokenizer.with_chat(always=True, template=template)
    prepared = prepare_corpus(run, attempt, tokenizer)
    attempt.raise_if_stopped()
    result = pretrain(
        splits=prepared.shards,
        tokenizer=prepared.tokenizer,
        config=config_of(PretrainConfig, run),
        folder=folder,
        callbacks=attempt.callbacks,
        model=model,
    )
    return prepared, result
