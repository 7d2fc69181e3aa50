"""Train a language model from scratch on a corpus."""

from pathlib import Path

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.finetune import EXAMPLES
from training.execution.outcome import NewVersion, Outcome
from training.gpt.checkpoint import load_checkpoint
from training.gpt.config import CorpusConfig, PretrainConfig, SamplingConfig, TokenizerConfig
from training.gpt.corpus import prepare, read_documents, split_documents
from training.gpt.errors import InputError
from training.gpt.generate import generate_text
from training.gpt.pretraining import pretrain
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion, Run


def execute(run: Run, attempt: Attempt, folder: Path) -> Outcome:
    """Corpus to splits to tokens to a model; the best version by validation loss is the one kept."""
    try:
        return learn(run, attempt, folder)
    except InputError as error:
        # Beyond the reading, the training knows only "the corpus"; the person gave it a name.
        raise InputError(str(error).replace("corpus: ", f"{run.parameters['source']}: ", 1)) from error


def learn(run: Run, attempt: Attempt, folder: Path) -> Outcome:
    """What `execute` does."""
    attempt.say("reading the corpus")
    corpus = config_of(CorpusConfig, run)
    documents = list(read_documents(corpus))
    splits = split_documents(documents, seed=corpus.seed)
    attempt.check()
    attempt.say("building the vocabulary")
    tokenizer = Tokenizer.train(splits.train, config_of(TokenizerConfig, run))
    attempt.check()
    attempt.say("tokenizing")
    shards = prepare(splits, tokenizer, folder / "shards")
    attempt.check()
    result = pretrain(
        splits=shards,
        tokenizer=tokenizer,
        config=config_of(PretrainConfig, run),
        folder=folder,
        on_step=attempt.on_step,
        should_stop=attempt.should_stop,
        on_resume=attempt.on_resume,
        saving=attempt.saving,
    )
    attempt.check()
    model, _ = load_checkpoint(folder / "model")
    (written,) = generate_text(
        model, tokenizer, [""], SamplingConfig(max_new_tokens=64, seed=0), samples_per_prompt=EXAMPLES
    )
    return Outcome(
        metrics={
            **result.metrics,
            "documents": len(documents),
            "stopped": result.stopped,
            "examples": [{"prompt": "", "completion": text} for text in written],
        },
        version=NewVersion(folder=folder / "model", kind=ModelVersion.Kind.POLICY, parent=None),
    )
