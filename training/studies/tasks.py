"""What is studied: a small policy that was pretrained for it, prompts, and a gold scorer that is the truth.

Pretrained once for a folder and found there again, by other studies too.
"""

import fcntl
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch

from training.gpt.checkpoint import load_checkpoint
from training.gpt.config import CorpusConfig, ModelConfig, PretrainConfig, TokenizerConfig
from training.gpt.config_fields import check_options, option
from training.gpt.corpus import stories
from training.gpt.corpus.prepare import prepare
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.pretraining import pretrain
from training.gpt.tokenizer import Tokenizer
from training.rlhf.scorers import Scorer, story_taste
from training.studies.sentiment import Sentiment, read_reviews

SUBJECTS = ("stories", "reviews")
CONTEXT = 96


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The policy that all cells begin from."""

    layers: int = option(2, "transformer blocks of the policy", minimum=1)
    width: int = option(64, "its width", minimum=8)
    heads: int = option(2, "its attention heads", minimum=1)
    vocabulary: int = option(1024, "tokens in its vocabulary", minimum=260)
    pretraining: int = option(1_000_000, "tokens it is pretrained on", minimum=1)
    stories: int = option(40_000, "stories in the corpus of the subject stories", minimum=100)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class SubjectOptions(PolicyConfig):
    """What every study with a known truth lets one choose."""

    reviews: str = option(
        "../shared/data/text/movie-reviews", "folder of the sentence polarity set, for the subject reviews"
    )

    @property
    def policy(self) -> PolicyConfig:
        """The part that decides what the policy is."""
        return PolicyConfig(**{entry.name: getattr(self, entry.name) for entry in fields(PolicyConfig)})


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A policy, what it is asked, and what its completions are truly worth."""

    name: str
    policy: GPT
    tokenizer: Tokenizer
    gold: Scorer  # about mean 0 and deviation 1 on the policy's samples
    prompts: list[str]  # to learn from
    heldout: list[str]  # to measure on
    max_new_tokens: int
    notes: dict[str, float]  # figures on how it was made
    config: PolicyConfig
    workspace: Path


def subject(name: str, options: SubjectOptions, workspace: Path) -> Subject:
    """The subject of that name: `stories` (built in), or `reviews` (the folder of the data set is needed)."""
    if name == "stories":
        return of_stories(options.policy, workspace)
    return of_reviews(options.policy, options.reviews, workspace)


def of_stories(config: PolicyConfig, workspace: Path) -> Subject:
    """The built-in stories; gold is the built-in taste. Openings are prompts, and leave all open."""
    policy, tokenizer, notes = _pretrained("stories", "stories", config, workspace, documents="auto")
    written = [stories.opening(story) for story in stories.write_stories(14_000, seed=1)]
    openings = list(dict.fromkeys(written))
    return Subject(
        name="stories",
        policy=policy,
        tokenizer=tokenizer,
        gold=story_taste,
        prompts=openings[:8000],
        heldout=openings[8000:],
        max_new_tokens=64,
        notes=notes,
        config=config,
        workspace=workspace,
    )


def of_reviews(config: PolicyConfig, folder: str, workspace: Path) -> Subject:
    """Sentences of movie reviews; gold is how positive the completion is, by a bag of words.

    The language model and the gold scorer learn from four fifths of the sentences, and the first words of
    the others are prompts.
    """
    reviews = read_reviews(folder, seed=0)
    sentiment = Sentiment(*reviews.train)
    corpus = workspace / "reviews.txt"
    with locked(workspace / "reviews.lock"):
        text = "\n".join(reviews.train[0] + reviews.train[1])
        # Its time of change is part of the prepared corpus' name.
        if not corpus.is_file() or corpus.read_text(encoding="utf-8") != text:
            corpus.write_text(text, encoding="utf-8")
    # People's sentences have more words than the grammar's, and take longer to learn.
    config = replace(config, vocabulary=2 * config.vocabulary, pretraining=3 * config.pretraining)
    policy, tokenizer, notes = _pretrained("reviews", str(corpus), config, workspace, documents="line")
    sides = reviews.heldout[0] + reviews.heldout[1]
    begun = {" ".join(line.split()[:5]) for line in sides if len(line.split()) > 8}
    prompts = random.Random(0).sample(sorted(begun), len(begun))
    notes["gold_accuracy"] = sentiment.accuracy(*reviews.heldout)
    return Subject(
        name="reviews",
        policy=policy,
        tokenizer=tokenizer,
        gold=sentiment,
        prompts=prompts[: len(prompts) * 3 // 5],
        heldout=prompts[len(prompts) * 3 // 5 :],
        max_new_tokens=48,
        notes=notes,
        config=config,
        workspace=workspace,
    )


def kept(workspace: Path, what: str, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, as JSON keeps it: made once for a `key`, by one process."""
    digest = blake2b(json.dumps([what, key]).encode(), digest_size=6).hexdigest()
    path = workspace / f"{what}-{digest}.json"
    with locked(path.with_suffix(".lock")):
        if not path.is_file():
            made = make()
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(made), encoding="utf-8")
            partial.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time inside: two studies may share a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def scaled(gold: Scorer, prompts: Sequence[str], completions: Sequence[str]) -> Scorer:
    """`gold`, with mean 0 and deviation 1 on these samples."""
    scores = gold(prompts, completions)
    mean, deviation = fmean(scores), pstdev(scores) or 1.0

    def score(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
        return [(each - mean) / deviation for each in gold(prompts, completions)]

    return score


def small_model(
    config: PolicyConfig,
    *,
    source: str,
    documents: str,
    folder: Path,
    context: int,
    dropout: float = 0.0,
    corpora: Path,
) -> dict[str, float]:
    """Pretrain a small model on a corpus into `folder/model`; or go on where a killed one was left."""
    prepared = prepare(
        CorpusConfig(source=source, documents=documents, stories=config.stories),
        TokenizerConfig(vocab_size=config.vocabulary),
        corpora,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT(
            ModelConfig(
                vocab_size=prepared.tokenizer.vocab_size,
                layers=config.layers,
                width=config.width,
                heads=config.heads,
                context=context,
            )
        )
    result = pretrain(
        splits=prepared.shards,
        tokenizer=prepared.tokenizer,
        config=PretrainConfig(
            minutes=0.0, tokens=config.pretraining, dropout=dropout, evaluate_every=400, device="cpu"
        ),
        folder=folder,
        model=model,
    )
    return {"perplexity": result.perplexity, "parameters": float(model.config.parameters)}


def _pretrained(
    name: str, source: str, config: PolicyConfig, workspace: Path, *, documents: str
) -> tuple[GPT, Tokenizer, dict[str, float]]:
    """The policy of a subject, pretrained if this folder has none."""
    digest = blake2b(json.dumps([name, asdict(config)]).encode(), digest_size=6).hexdigest()
    folder = workspace / f"policy-{name}-{digest}"
    notes: dict[str, float] = kept(
        workspace,
        f"policy-{name}",
        asdict(config),
        lambda: small_model(
            config,
            source=source,
            documents=documents,
            folder=folder,
            context=CONTEXT,
            dropout=0.0 if source == "stories" else 0.1,
            corpora=workspace / "corpora",
        ),
    )
    try:
        policy, tokenizer = load_checkpoint(folder / "model")
    except InputError as error:
        raise InputError(f"{error}; or delete {workspace}, and it is made again") from None
    return policy, tokenizer, notes
