"""How well does a small reward model predict human preferences: dialogues, one of two answers chosen?

In turn, each part of the dialogues is held out, split by first human turn. A language model is pretrained on
the others, and for each file a reward model is trained from it. The baselines are "the longer answer wins"
and a Bradley-Terry model whose reward is linear in the TF-IDF of the answer's words.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from training.gpt.checkpoint import load_checkpoint
from training.gpt.config_fields import option
from training.gpt.errors import InputError
from training.rlhf.config import RewardConfig
from training.rlhf.evaluation.win_rate import estimate_rate, win_points
from training.rlhf.feedback.dialogue_splits import split_by_first_turn
from training.rlhf.feedback.preference_files import read_dialogues
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.trainer import train_reward_model
from training.studies.intervals import Estimate, paired_difference
from training.studies.plots import COLOURS, GREY, plot_error_bars, svg_subplots
from training.studies.results_store import Cell, Results, ResultsStore
from training.studies.tables import markdown_table
from training.studies.tasks import PolicyConfig, pretrain_small_model

REWARD, LONGER, TF_IDF = "reward model", "longer wins", "TF-IDF Bradley-Terry"
METHODS = (REWARD, LONGER, TF_IDF)
PUBLISHED = {"helpful": {LONGER: 0.59, TF_IDF: 0.57}, "harmless": {LONGER: 0.43, TF_IDF: 0.63}}
"""Accuracies published for test files of these names, on other splits."""


@dataclass(frozen=True, kw_only=True)
class Options(PolicyConfig):
    """Options of the study of human preferences."""

    files: str = option(
        "../shared/data/preferences/hh-rlhf/helpful-base_test.jsonl.gz,"
        "../shared/data/preferences/hh-rlhf/harmless-base_test.jsonl.gz",
        "files of dialogues, joined by commas; each gets its own reward models",
    )
    width: int = option(96, "width of the model", minimum=8)
    heads: int = option(4, "its attention heads", minimum=1)
    vocabulary: int = option(2048, "tokens in its vocabulary", minimum=260)
    context: int = option(256, "context in tokens; longer dialogues are cut at the start", minimum=16)
    pretraining: int = option(1_200_000, "tokens it is pretrained on", minimum=1)
    folds: int = option(5, "parts, each held out once", minimum=2)
    pairs: int = option(0, "limit of pairs per file (0: all)", minimum=0)
    epochs: int = option(2, "passes of the reward model over the comparisons", minimum=1)
    reward_learning_rate: float = option(1e-3, "its peak learning rate", minimum=1e-6)
    seed: int = option(0, "seed of the parts, initial weights and order", minimum=0)


QUICK = Options(
    layers=1, width=16, heads=2, vocabulary=300, context=64, pretraining=4000, folds=2, epochs=1, pairs=60
)
EXTENDABLE: frozenset[str] = frozenset()


def run(options: Options, store: ResultsStore, workspace: Path) -> Results:
    """A cell for each held-out part: a language model, and per file a reward model and the baselines."""
    files = cache(lambda: _read(options))

    def cell(fold: int) -> Cell:
        tokens = options.pretraining + options.epochs * 1_400_000
        size = options.layers * options.width * (options.width + 160)
        return Cell(
            name=f"part {fold + 1} of {options.folds}",
            compute=lambda: _fold(files(), options, fold, workspace),
            minutes=tokens * size * 1.2e-9 / 60 + 0.3,
        )

    cells = store.compute_missing(cell(fold) for fold in range(options.folds))
    names = list(next(iter(cells.values()))["files"])
    return {"rows": [_row([results["files"][name] for results in cells.values()], name) for name in names]}


def _read(options: Options) -> dict[str, list[Comparison]]:
    """The comparisons of each file, by its name."""
    paths = [Path(part.strip()) for part in options.files.split(",") if part.strip()]
    if not paths:
        raise InputError("files: give files of dialogues, such as helpful-base_test.jsonl.gz")
    return {path.name.partition(".")[0]: read_dialogues(path)[: options.pairs or None] for path in paths}


def _fold(files: dict[str, list[Comparison]], options: Options, fold: int, workspace: Path) -> Results:
    """The results of one held-out part."""
    split = {
        name: split_by_first_turn(pairs, fold=fold, folds=options.folds, seed=options.seed)
        for name, pairs in files.items()
    }
    folder = workspace / f"dialogues-{fold}"
    training_pairs = [pair for train, _ in split.values() for pair in train]
    corpus = folder / "dialogues"
    corpus.mkdir(parents=True, exist_ok=True)
    # Pretraining does not see which of the two was chosen.
    texts = sorted({pair.prompt + text for pair in training_pairs for text in (pair.chosen, pair.rejected)})
    (corpus / "dialogues.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8"
    )
    metrics = pretrain_small_model(
        _config(options),
        source=str(corpus / "dialogues.jsonl"),
        documents="auto",
        folder=folder,
        context=options.context,
        corpora=workspace / "corpora",
    )
    trunk, tokenizer = load_checkpoint(folder / "model")
    results: Results = {"perplexity": metrics["perplexity"], "files": {}}
    for name, (train, heldout) in split.items():
        model = train_reward_model(
            trunk=trunk,
            tokenizer=tokenizer,
            comparisons=train,
            config=RewardConfig(
                epochs=options.epochs,
                learning_rate=options.reward_learning_rate,
                heldout=0.0,
                device="cpu",
                seed=options.seed,
            ),
        ).model
        results["files"][name] = {
            "train": len(train),
            "heldout": len(heldout),
            REWARD: _points(
                *(model.score([pair.prompt for pair in heldout], texts) for texts in _texts(heldout))
            ),
            LONGER: _points(*([float(len(text)) for text in texts] for texts in _texts(heldout))),
            TF_IDF: _points(*tf_idf_baseline(train, heldout)),
        }
    return results


def tf_idf_baseline(
    train: Sequence[Comparison], heldout: Sequence[Comparison]
) -> tuple[list[float], list[float]]:
    """Held-out rewards of chosen and rejected, by a Bradley-Terry model linear in TF-IDF of 1- and 2-grams.

    Its likelihood is that of a logistic regression without intercept on the differences.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    chosen, rejected = _texts(train)
    vectorizer.fit([*chosen, *rejected])
    # Both classes are needed: every other difference is negated.
    signs = np.where(np.arange(len(train)) % 2, 1, -1)
    differences = vectorizer.transform(chosen) - vectorizer.transform(rejected)
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000)
    model.fit(sparse.diags(signs.astype(float)) @ differences, signs)
    first, second = (vectorizer.transform(texts) @ model.coef_[0] for texts in _texts(heldout))
    return first.tolist(), second.tolist()


def _texts(pairs: Sequence[Comparison]) -> tuple[list[str], list[str]]:
    return [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]


def _points(chosen: Sequence[float], rejected: Sequence[float]) -> str:
    """A digit per pair: 2 if the chosen one scores higher, 1 for a tie, 0 if it scores lower."""
    return "".join(str(int(2 * win_points(a, b))) for a, b in zip(chosen, rejected, strict=True))


def _row(parts: Sequence[Results], name: str) -> Results:
    """The accuracy of each method over all parts, and the reward model's difference from the others."""
    points = {method: [int(point) / 2 for part in parts for point in part[method]] for method in METHODS}
    row: Results = {"file": name, "pairs": len(points[REWARD])}
    for method, values in points.items():
        accuracy = estimate_rate(values, clusters=range(len(values)))
        row[method] = {
            "value": accuracy.rate,
            "low": accuracy.interval[0],
            "high": accuracy.interval[1],
            "count": accuracy.count,
        }
        if method != REWARD:
            row[f"{REWARD} - {method}"] = paired_difference(points[REWARD], values).to_dict()
    row["published"] = next((accuracies for key, accuracies in PUBLISHED.items() if key in name), {})
    return row


def _config(options: Options) -> PolicyConfig:
    return PolicyConfig(
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        vocabulary=options.vocabulary,
        pretraining=options.pretraining,
    )


def report(content: Results) -> str:
    """A table of accuracies."""
    options, rows = content["options"], content["summary"]["rows"]
    perplexity = fmean(cell["perplexity"] for cell in content["cells"].values())
    body = [
        [
            f"{row['file']} ({row['pairs']:,} pairs)",
            *(str(Estimate(**row[method])) for method in METHODS),
            *(str(Estimate(**row[f"{REWARD} - {method}"])) for method in METHODS[1:]),
            ", ".join(f"{method} {accuracy}" for method, accuracy in row["published"].items()),
        ]
        for row in rows
    ]
    about = (
        f"Each of {options['folds']} parts of the dialogues, split by first human turn, is held out once; a"
        f" model of {options['layers']} layers and width {options['width']} is pretrained on the other"
        f" dialogues (perplexity {perplexity:.1f} per token), and then trained on the choices. 95 %"
        f" intervals over pairs, differences paired; {content['seconds'] / 60:.0f} minutes of computation."
    )
    head = ["held-out accuracy", *METHODS, *(f"{REWARD} - {method}" for method in METHODS[1:]), "published"]
    return "\n".join(
        [
            "# Human preferences",
            "",
            about,
            "",
            markdown_table(head, body),
            "",
        ]
    )


def plot(content: Results, folder: Path) -> list[Path]:
    """Accuracies side by side, with their intervals."""
    rows = content["summary"]["rows"]
    path = folder / "human_preferences.svg"
    with svg_subplots(path) as (ax,):
        for place, (colour, method) in enumerate(zip(COLOURS, METHODS, strict=False)):
            x = [number + 0.2 * (place - 1) for number in range(len(rows))]
            plot_error_bars(ax, x, [row[method] for row in rows], colour=colour, label=method)
        ax.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
        ax.set_xticks(range(len(rows)), [row["file"] for row in rows])
        ax.set_xlim(-0.5, len(rows) - 0.5)
        ax.set_ylabel("held-out accuracy")
    return [path]
