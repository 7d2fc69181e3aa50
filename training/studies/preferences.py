"""What a small reward model makes of people's own preferences: dialogues, one of two answers chosen.

In turns a fifth of the dialogues is held out, by their first human turn. On the others a language model is
pretrained, and a reward model for each file trained from it; beside it stand "the longer answer wins" and the
Bradley-Terry model whose reward is linear in the words of the answer, weighted by TF-IDF.
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
from training.rlhf.evaluation.win_rate import points_of, share
from training.rlhf.feedback.dialogues import split_by_first_turn
from training.rlhf.feedback.preference_files import read_dialogues
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.training import train_reward_model
from training.studies.intervals import Estimate, paired_interval
from training.studies.plots import COLOURS, panels
from training.studies.results_store import Cell, Found, Ledger
from training.studies.tables import table
from training.studies.tasks import PolicyConfig, small_model

REWARD, LONGER, WORDS = "reward model", "longer wins", "TF-IDF Bradley-Terry"
PUBLISHED = {"helpful": {LONGER: 0.59, WORDS: 0.57}, "harmless": {LONGER: 0.43, WORDS: 0.63}}
"""Figures known of the test files of these names, from splits of others."""


@dataclass(frozen=True, kw_only=True)
class Options(PolicyConfig):
    """Options of the study of human preferences."""

    files: str = option(
        "../shared/data/preferences/hh-rlhf/helpful-base_test.jsonl.gz,"
        "../shared/data/preferences/hh-rlhf/harmless-base_test.jsonl.gz",
        "files of dialogues, joined by commas; each gets reward models of its own",
    )
    width: int = option(96, "width of the model", minimum=8)
    heads: int = option(4, "its attention heads", minimum=1)
    vocabulary: int = option(2048, "tokens in its vocabulary", minimum=260)
    context: int = option(256, "tokens that it reads at most; of longer dialogues the end", minimum=16)
    pretraining: int = option(1_200_000, "tokens it is pretrained on", minimum=1)
    folds: int = option(5, "parts that are held out in turn", minimum=2)
    pairs: int = option(0, "take so many pairs of each file only (0: all)", minimum=0)
    epochs: int = option(2, "passes of the reward model over the comparisons", minimum=1)
    reward_learning_rate: float = option(1e-3, "its peak learning rate", minimum=1e-6)
    seed: int = option(0, "decides the parts, first weights and order", minimum=0)


QUICK = Options(
    layers=1, width=16, heads=2, vocabulary=300, context=64, pretraining=4000, folds=2, epochs=1, pairs=60
)
GROWING: frozenset[str] = frozenset()


def run(options: Options, ledger: Ledger, workspace: Path) -> Found:
    """A cell for each part held out: a language model, and for each file a reward model and the baselines."""
    files = cache(lambda: _read(options))

    def cell(fold: int) -> Cell:
        tokens = options.pretraining + options.epochs * 1_400_000
        size = options.layers * options.width * (options.width + 160)
        return Cell(
            name=f"part {fold + 1} of {options.folds}",
            compute=lambda: _fold(files(), options, fold, workspace),
            minutes=tokens * size * 1.2e-9 / 60 + 0.3,
        )

    cells = ledger.complete(cell(fold) for fold in range(options.folds))
    names = list(next(iter(cells.values()))["files"])
    return {"rows": [_row([found["files"][name] for found in cells.values()], name) for name in names]}


def _read(options: Options) -> dict[str, list[Comparison]]:
    """The comparisons of each file, by its name."""
    paths = [Path(part.strip()) for part in options.files.split(",") if part.strip()]
    if not paths:
        raise InputError("files: give files of dialogues, such as helpful-base_test.jsonl.gz")
    return {path.name.partition(".")[0]: read_dialogues(path)[: options.pairs or None] for path in paths}


def _fold(files: dict[str, list[Comparison]], options: Options, fold: int, workspace: Path) -> Found:
    """Everything for one part held out."""
    split = {
        name: split_by_first_turn(pairs, fold=fold, folds=options.folds, seed=options.seed)
        for name, pairs in files.items()
    }
    folder = workspace / f"dialogues-{fold}"
    learned = [pair for train, _ in split.values() for pair in train]
    corpus = folder / "dialogues"
    corpus.mkdir(parents=True, exist_ok=True)
    # Which of the two was chosen is not told.
    texts = sorted({pair.prompt + text for pair in learned for text in (pair.chosen, pair.rejected)})
    (corpus / "dialogues.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8"
    )
    notes = small_model(
        _config(options),
        source=str(corpus / "dialogues.jsonl"),
        documents="auto",
        folder=folder,
        context=options.context,
        corpora=workspace / "corpora",
    )
    trunk, tokenizer = load_checkpoint(folder / "model")
    found: Found = {"perplexity": notes["perplexity"], "files": {}}
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
        found["files"][name] = {
            "train": len(train),
            "heldout": len(heldout),
            REWARD: _points(
                *(model.score([pair.prompt for pair in heldout], side) for side in _sides(heldout))
            ),
            LONGER: _points(*([float(len(text)) for text in side] for side in _sides(heldout))),
            WORDS: _points(*words_baseline(train, heldout)),
        }
    return found


def words_baseline(
    train: Sequence[Comparison], heldout: Sequence[Comparison]
) -> tuple[list[float], list[float]]:
    """Rewards of chosen and rejected by the Bradley-Terry model that is linear in TF-IDF of words and pairs.

    Its likelihood is that of a logistic regression on differences without intercept.
    """
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    chosen, rejected = _sides(train)
    words.fit([*chosen, *rejected])
    # A label of both kinds is needed: every other difference is turned around.
    signs = np.where(np.arange(len(train)) % 2, 1, -1)
    differences = words.transform(chosen) - words.transform(rejected)
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000)
    model.fit(sparse.diags(signs.astype(float)) @ differences, signs)
    first, second = (words.transform(side) @ model.coef_[0] for side in _sides(heldout))
    return first.tolist(), second.tolist()


def _sides(pairs: Sequence[Comparison]) -> tuple[list[str], list[str]]:
    return [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]


def _points(chosen: Sequence[float], rejected: Sequence[float]) -> str:
    """For each pair 2 where the chosen one is ahead, 1 where they are level, 0 where it is behind."""
    return "".join(str(int(2 * points_of(a, b))) for a, b in zip(chosen, rejected, strict=True))


def _row(parts: Sequence[Found], name: str) -> Found:
    """Accuracy over all parts by each way, and how much better the reward model is than the others."""
    points = {
        way: [int(point) / 2 for part in parts for point in part[way]] for way in (REWARD, LONGER, WORDS)
    }
    row: Found = {"file": name, "pairs": len(points[REWARD])}
    for way, values in points.items():
        found = share(values, clusters=range(len(values)))
        row[way] = {
            "value": found.rate,
            "low": found.interval[0],
            "high": found.interval[1],
            "count": found.count,
        }
        if way != REWARD:
            row[f"more than {way}"] = paired_interval(points[REWARD], values).to_dict()
    row["published"] = next((figures for key, figures in PUBLISHED.items() if key in name), {})
    return row


def _config(options: Options) -> PolicyConfig:
    return PolicyConfig(
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        vocabulary=options.vocabulary,
        pretraining=options.pretraining,
    )


def report(content: Found) -> str:
    """A table of accuracies."""
    options, rows = content["options"], content["summary"]["rows"]
    perplexity = fmean(cell["perplexity"] for cell in content["cells"].values())
    ways = (REWARD, LONGER, WORDS)
    body = [
        [
            f"{row['file']} ({row['pairs']:,} pairs)",
            *(str(Estimate(**row[way])) for way in ways),
            *(str(Estimate(**row[f"more than {way}"])) for way in ways[1:]),
            ", ".join(f"{way} {figure}" for way, figure in row["published"].items()),
        ]
        for row in rows
    ]
    about = (
        f"Each of {options['folds']} parts of the dialogues, split by first human turn, is held out once; a"
        f" model of {options['layers']} layers and width {options['width']} is pretrained on the other"
        f" dialogues (perplexity {perplexity:.1f} per token) before it learns what was chosen. 95 %"
        f" intervals over pairs, differences paired; {content['seconds'] / 60:.0f} minutes of cells."
    )
    head = ["held-out accuracy", *ways, *(f"reward model less {way}" for way in ways[1:]), "published"]
    return "\n".join(
        [
            "# Human preferences",
            "",
            about,
            "",
            table(head, body),
            "",
        ]
    )


def draw(content: Found, folder: Path) -> list[Path]:
    """Accuracies side by side, with their intervals."""
    rows = content["summary"]["rows"]
    path = folder / "preferences.svg"
    with panels(path) as (ax,):
        for place, (colour, way) in enumerate(zip(COLOURS, (REWARD, LONGER, WORDS), strict=False)):
            found = [row[way] for row in rows]
            values = [each["value"] for each in found]
            ax.errorbar(
                [number + 0.2 * (place - 1) for number in range(len(rows))],
                values,
                yerr=[
                    [value - each["low"] for value, each in zip(values, found, strict=True)],
                    [each["high"] - value for value, each in zip(values, found, strict=True)],
                ],
                fmt="o",
                color=colour,
                capsize=3,
                label=way,
            )
        ax.axhline(0.5, color="#7f8791", linewidth=1, linestyle=":")
        ax.set_xticks(range(len(rows)), [row["file"] for row in rows])
        ax.set_xlim(-0.5, len(rows) - 0.5)
        ax.set_ylabel("held-out accuracy")
    return [path]
