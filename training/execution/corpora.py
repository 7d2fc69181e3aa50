"""The site's corpora: prepared once in `HONE_HOME/corpora`, and shared by all runs."""

from pathlib import Path

from django.conf import settings

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import PreparedCorpus, prepare, tokenize
from training.gpt.corpus.shards import TokenizedSplit
from training.gpt.tokenizer import Tokenizer
from training.models import Run


def corpora_folder() -> Path:
    """The folder of prepared corpora, with the downloaded data sets in `raw`."""
    return Path(settings.CORPORA)


def prepare_corpus(run: Run, attempt: Attempt, tokenizer: Tokenizer | None = None) -> PreparedCorpus:
    """The run's corpus, split and tokenised; a tokenizer is trained on it unless one is given."""
    return prepare(
        config_of(CorpusConfig, run),
        tokenizer or config_of(TokenizerConfig, run),
        corpora_folder(),
        on_progress=lambda what, share: report_progress(attempt, what, share),
    )


def tokenize_split(run: Run, attempt: Attempt, tokenizer: Tokenizer, *, part: str) -> TokenizedSplit:
    """One split of the run's corpus, or all of it, tokenised for a policy."""
    return tokenize(
        config_of(CorpusConfig, run),
        tokenizer,
        corpora_folder(),
        part=part,
        on_progress=lambda what, share: report_progress(attempt, what, share),
    )


def report_progress(attempt: Attempt, what: str, share: float) -> None:
    """Report the progress of the preparation. Raises Stopped if the attempt was asked to stop."""
    attempt.raise_if_stopped()
    attempt.report(what, progress=share)
