"""What is studied: a small policy pretrained for it, its prompts, and a gold scorer that is the truth.

Policies are pretrained once per folder and shared by its studies.
"""

import fcntl
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from pathlib import Path
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
from training.rlhf.reward_functions import Scorer, story_reward_function
from training.studies.sentiment import SentimentScorer, read_reviews

TASKS = ("stories", "reviews")
CONTEXT = 96


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The policy that all cells start from."""

    layers: int = option(2, "transformer blocks of the policy", minimum=1)
    width: int = option(64, "its width", minimum=8)
    heads: int = option(2, "its attention heads", minimum=1)
    vocabulary: int = option(1024, "tokens in its vocabulary", minimum=260)
    pretraining: int = option(1_000_000, "tokens it is pretrained on", minimum=1)
    stories: int = option(40_000, "stories in the corpus of the task stories", minimum=100)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class TaskOptions(PolicyConfig):
    """Options of every study that has a gold scorer."""

    reviews: str = option(
        "../shared/data/text/movie-reviews", "folder of the sentence polarity set, for the task reviews"
    )

    @property
    def policy(self) -> PolicyConfig:
        """The options that determine the policy."""
        return PolicyConfig(**{entry.name: getattr(self, entry.name) for entry in fields(PolicyConfig)})


@dataclass(frozen=True, kw_only=True)
class StudyTask:
    """A policy, its prompts, and the gold scorer of its completions."""

    name: str
    policy: GPT
    tokenizer: Tokenizer
    gold: Scorer  # mean about 0 and deviation about 1 on the policy's samples
    prompts: list[str]  # for training
    heldout: list[str]  # for evaluation
    max_new_tokens: int
    metrics: dict[str, float]  # of the policy and the gold scorer
    config: PolicyConfig
    workspace: Path


def load_task(name: str, options: TaskOptions, workspace: Path) -> StudyTask:
    """The task `stories` (built in) or `reviews` (needs the data set's folder); pretrains its policy once."""
    if name == "stories":
        return stories_task(options.policy, workspace)
    return reviews_task(options.policy, options.reviews, workspace)


def stories_task(config: PolicyConfig, workspace: Path) -> StudyTask:
    """Continue the openings of stories; gold is the built-in reward function."""
    policy, tokenizer, metrics = _pretrained("stories", "stories", config, workspace, documents="auto")
    written = [stories.first_sentence(story) for story in stories.write_stories(14_000, seed=1)]
    openings = list(dict.fromkeys(written))
    return StudyTask(
        name="stories",
        policy=policy,
        tokenizer=tokenizer,
        gold=story_reward_function,
        prompts=openings[:8000],
        heldout=openings[8000:],
        max_new_tokens=64,
        metrics=metrics,
        config=config,
        workspace=workspace,
    )


def reviews_task(config: PolicyConfig, folder: str, workspace: Path) -> StudyTask:
    """Continue sentences of movie reviews; gold is how positive the completion is, by a bag of words.

    The language model and the gold scorer learn from four fifths of the sentences; the first words of the
    others are prompts.
    """
    reviews = read_reviews(folder, seed=0)
    scorer = SentimentScorer(*reviews.train)
    corpus = workspace / "reviews.txt"
    with file_lock(workspace / "reviews.lock"):
        text = "\n".join(reviews.train[0] + reviews.train[1])
        # Not rewritten if unchanged: its modification time is part of the prepared corpus' name.
        if not corpus.is_file() or corpus.read_text(encoding="utf-8") != text:
            corpus.write_text(text, encoding="utf-8")
    # Real sentences have more words than the stories' grammar, and take longer to learn.
    config = replace(config, vocabulary=2 * config.vocabulary, pretraining=3 * config.pretraining)
    policy, tokenizer, metrics = _pretrained("reviews", str(corpus), config, workspace, documents="line")
    sentences = reviews.heldout[0] + reviews.heldout[1]
    openings = {" ".join(line.split()[:5]) for line in sentences if len(line.split()) > 8}
    prompts = random.Random(0).sample(sorted(openings), len(openings))
    metrics["gold_accuracy"] = scorer.accuracy(*reviews.heldout)
    return StudyTask(
        name="reviews",
        policy=policy,
        tokenizer=tokenizer,
        gold=scorer,
        prompts=prompts[: len(prompts) * 3 // 5],
        heldout=prompts[len(prompts) * 3 // 5 :],
        max_new_tokens=48,
        metrics=metrics,
        config=config,
        workspace=workspace,
    )


def cached_json(workspace: Path, name: str, key: Any, make: Callable[[], Any]) -> Any:
    """The result of `make`, as JSON stores it; made once per `key`, by one process."""
    digest = blake2b(json.dumps([name, key]).encode(), digest_size=6).hexdigest()
    path = workspace / f"{name}-{digest}.json"
    with file_lock(path.with_suffix(".lock")):
        if not path.is_file():
            made = make()
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(made), encoding="utf-8")
            partial.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """One process at a time inside: two studies may share a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pretrain_small_model(
    config: PolicyConfig,
    *,
    source: str,
    documents: str,
    folder: Path,
    context: int,
    dropout: float = 0.0,
    corpora: Path,
) -> dict[str, float]:
    """Pretrain a small model into `folder/model`, resuming an interrupted training; returns its metrics."""
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
    """The policy of a task and its metrics, pretrained if the workspace has none."""
    digest = blake2b(json.dumps([name, asdict(config)]).encode(), digest_size=6).hexdigest()
    folder = workspace / f"policy-{name}-{digest}"
    metrics: dict[str, float] = cached_json(
        workspace,
        f"policy-{name}",
        asdict(config),
        lambda: pretrain_small_model(
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
    return policy, tokenizer, metrics
