"""What the options of runs are called on a page, and what each choice does, in one line.

Commands and the API name options as the code does, and their help texts stand with the options themselves.
A page speaks to somebody who has not read them. `KIND.name` says it for one kind of run alone.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class Choice(NamedTuple):
    """One of the values of an option."""

    label: str
    effect: str = ""


@dataclass(frozen=True)
class Words:
    """A label, and the effect of what is entered; of named choices, each with its own effect."""

    label: str
    effect: str = ""
    choices: dict[str, Choice] = field(default_factory=dict)


def words_for(kind: str, name: str) -> Words:
    """The words for an option of a kind of run. Raises KeyError for an option that nobody has described."""
    return WORDS.get(f"{kind}.{name}") or WORDS[name]


SUMMARIES: dict[str, str] = {
    "pretrain": "A model learns to write from a text, from nothing or going on from a version.",
    "sample": "A version writes to a project's prompts, and people get its samples as tasks.",
    "train_reward": "A model learns from people's answers what they like, to judge in their place.",
    "order_tasks": "Waiting tasks are put in order: first those that would teach a reward model most.",
    "finetune": "A version practises: it writes, a reward model scores, it learns what scores high.",
    "supervised": "A version learns to write as examples do: people's, a file's, or the best of its own.",
    "dpo": "A version learns from people's comparisons directly, without a reward model in between.",
    "evaluate": "A version is measured: how often it wins over another, or how well it knows a text.",
}
"""What each kind of run does."""

_AUTO = Choice("Whatever suits")

WORDS: dict[str, Words] = {
    # What, and from what
    "project": Words("Project", "Its prompts are used, and its people's answers."),
    "pretrain.project": Words("Project", "Whose loop the new version belongs to, and where tasks open."),
    "train_reward.project": Words(
        "Learn from the answers in", "All answers there are now, frozen as a snapshot."
    ),
    "order_tasks.project": Words("Project", "Its waiting tasks that nobody has begun are put in order."),
    "evaluate.project": Words("Project", "Its held-out prompts are completed by both versions."),
    "policy": Words("Version to begin from", "It is copied and never changed; distance is measured from it."),
    "pretrain.policy": Words(
        "Go on from", "With its own size and vocabulary. Empty: a new model begins from nothing."
    ),
    "sample.policy": Words("Who writes", "The version whose samples people will see."),
    "train_reward.policy": Words("Begin from", "The reward model reads with what this version has learned."),
    "evaluate.policy": Words("Version to measure", "Usually the newest candidate."),
    "reward": Words("Reward model", "What it scores high, the new version will write more often."),
    "order_tasks.reward": Words("Reward model", "Tasks it is unsure of teach it most."),
    "supervised.reward": Words(
        "Watched by", "A reward model that chooses the best version on held-out prompts."
    ),
    "dpo.reward": Words("Watched by", "A reward model that chooses the best version on held-out prompts."),
    "evaluate.reward": Words("Chooser", "The reward model that picks the best of several completions."),
    "gold": Words(
        "Checked against", "A second taste that is not learned from: it shows when the first is fooled."
    ),
    "snapshot": Words("Which answers", "As they are now, or as they were frozen for an earlier run."),
    "preferences": Words(
        "Or from a file", "JSON Lines on the server, with prompt, chosen and rejected on each line."
    ),
    "demonstrations": Words(
        "Or from a file", "JSON Lines on the server, with prompt and completion on each line."
    ),
    "best_of": Words(
        "Or from its own best", "Of so many completions of each prompt, the best one. 0: not so."
    ),
    "evaluate.best_of": Words(
        "Best of", "Completions of each prompt, of which the chooser picks one. 1: written once, unaided."
    ),
    "source": Words("Text", "“stories” is built in; else a name, or files and folders on the server."),
    "evaluate.source": Words(
        "Or perplexity on", "“stories”, or files and folders on the server. Empty: not measured."
    ),
    "split": Words(
        "Part of the text",
        "The test part was never trained on.",
        {
            "train": Choice("Training"),
            "validation": Choice("Validation"),
            "test": Choice("Test"),
            "all": Choice("All of it"),
        },
    ),
    "against": Words("Compared with", "Usually the version in production."),
    "judge": Words("Who decides", "Each judges on their own; people need tasks to answer."),
    "tasks": Words(
        "Open tasks when done", "So many tasks go to the annotators, with the new version's samples."
    ),
    "sample.tasks": Words(
        "Tasks to open", "One for each prompt; prompts that have had the fewest come first."
    ),
    "evaluate.tasks": Words(
        "Blind tasks to open", "People see one sample of each version and never whose it is. 0: none."
    ),
    "name": Words("Name of the new version", "Empty: the next free name."),
    # How long
    "minutes": Words("At most, minutes", "It ends there with the best it has. 0: no limit."),
    "pretrain.minutes": Words("Minutes", "More give better text; each doubling adds less. 0: no limit."),
    "steps": Words("Steps", "Each is one batch of completions written, scored and learned from."),
    "pretrain.steps": Words("At most, steps", "An end besides the minutes. 0: no limit."),
    "tokens": Words("At most, tokens", "An end besides the minutes. 0: no limit."),
    "epochs": Words("Passes", "Over all that it learns from; too many, and it learns by heart."),
    "train_reward.epochs": Words("Passes", "Over the answers. 0: what is usual."),
    "finetune.epochs": Words("Updates of each batch", "0: four for PPO, one for the others."),
    "prompts": Words("Prompts, at most", "More take longer; the interval narrows by the square root."),
    "supervised.prompts": Words("Prompts for its own best", "More take longer and teach more."),
    # How strong
    "preset": Words(
        "Size",
        "",
        {
            "tiny": Choice("Tiny", "Learns simple stories in minutes on two CPU cores."),
            "small": Choice("Small", "Some ten times as large: better text, tens of minutes."),
            "medium": Choice("Medium", "Twice that again and longer memory: hours, or a GPU."),
            "gpt2": Choice("GPT-2", "124 million parameters: for a GPU."),
        },
    ),
    "trunk": Words(
        "What is trained",
        "",
        {
            "full": Choice("The whole model", "Judges best; takes longer."),
            "frozen": Choice("The head alone", "Quick, for a first look; judges less well."),
        },
    ),
    "members": Words("Models that judge together", "More than one can say how unsure they are; 4 are usual."),
    "reliability": Words("Weigh annotators by their reliability", "Careless people count less."),
    "kl_target": Words(
        "How far to move", "Nats per text it steers to: 3 stays close, 6 is usual, 12 is far."
    ),
    "kl_budget": Words("Farthest kept", "No version farther away than this, in nats, is kept. 0: any."),
    "beta": Words("How closely to stay", "0.05 moves far, 0.15 is usual, 0.5 hardly moves."),
    "estimator": Words(
        "Method",
        "",
        {
            "rloo": Choice("Against its siblings (RLOO)", "Steady and quick: usual."),
            "reinforce": Choice("Against earlier batches (REINFORCE)", "One sample a prompt suffices."),
            "grpo": Choice("Against its group (GRPO)", "As first published, or without its bias."),
            "ppo": Choice("By a value network (PPO)", "Four updates a batch; slower, more to set."),
        },
    ),
    "by": Words(
        "What makes a task useful",
        "",
        {
            "disagreement": Choice("The models disagree", "Needs a reward model of several members."),
            "closeness": Choice("Its samples are close", "Works with a single model."),
        },
    ),
    "share": Words(
        "Chosen, of a hundred",
        "The others stay random, so that figures stay fair. Empty: the project's setting.",
    ),
    "temperature": Words("How freely it writes", "0 takes the likeliest word, 1 writes as it learned."),
    "max_new_tokens": Words(
        "Longest text, in tokens", "A token is about three quarters of a word; longer takes longer."
    ),
    # The text
    "stories": Words("Stories to write", "For the built-in text; fewer are ready sooner."),
    "encoding": Words("Encoding of the files", "Such as utf-8 or latin-1; “auto” guesses file by file."),
    "field": Words("Field that holds the text", "Of JSON Lines, Parquet and data sets."),
    "documents": Words(
        "What one document is",
        "Documents never share a window of training.",
        {
            "auto": _AUTO,
            "line": Choice("A line"),
            "paragraph": Choice("A paragraph"),
            "file": Choice("A file"),
            "article": Choice("An article, as WikiText has them"),
        },
    ),
    "normalise": Words(
        "Tidy the text",
        "Equal letters and blanks become equal bytes.",
        {
            "none": Choice("Leave it as it is"),
            "nfc": Choice("Compose characters"),
            "space": Choice("Compose characters, one blank for many"),
        },
    ),
    "drop_duplicates": Words("Drop duplicates", "Of equal documents, the first is kept."),
    "min_length": Words("Shortest document", "Shorter ones, in characters, are dropped. 0: none is."),
    "holdout": Words(
        "What is held out",
        "It is measured on and never learned from.",
        {
            "auto": _AUTO,
            "documents": Choice("Some documents, by their content"),
            "tail": Choice("The end of the text"),
        },
    ),
    "shares": Words("Shares", "Percent for training, validation and test, such as 80/10/10."),
    "stride": Words(
        "Stride, in tokens", "Shorter gives each word more history, and is slower. 0: a whole window."
    ),
    "tokenizer": Words(
        "Pieces of text",
        "What one token is.",
        {
            "bpe": Choice("Parts of words"),
            "char": Choice("Single characters"),
            "word": Choice("Whole words"),
        },
    ),
    "vocab_size": Words("Size of the vocabulary", "More pieces make texts shorter and the model larger."),
    "vocabulary_megabytes": Words("Megabytes it is counted on", "Drawn evenly from the text. 0: all of it."),
    # The answers
    "loss": Words(
        "What is learned",
        "",
        {
            "auto": Choice("What the project's kind of feedback is for"),
            "pairs": Choice("Which text is better"),
            "ranking": Choice("The whole order"),
            "scores": Choice("The scores themselves"),
            "scores+pairs": Choice("Scores, and which is better"),
        },
    ),
    "criteria": Words(
        "Weights of criteria", "Such as overall=1,kindness=0.5. Empty: the overall score alone."
    ),
    "heldout": Words("Held back", "Share of the prompts on which accuracy is measured, 0 to 0.9."),
    "learning_curve": Words(
        "Learning curve", "Trains again on parts of the answers, so many times: shows what more bring."
    ),
    "label_smoothing": Words("Answers taken to be slips", "Share of the comparisons, 0 to 0.49."),
    # How it writes
    "top_k": Words("Likeliest words only", "From so many it draws. 0: from all."),
    "top_p": Words("Words that hold this probability", "1: all; 0.9 leaves out the unlikely ones."),
    "min_p": Words("At least so likely", "As a share of the likeliest word. 0: all."),
    "repetition_penalty": Words("Penalty on repetition", "Above 1, words already written come less often."),
    "stop": Words("End before", r"A text at which it stops; several are joined by |, and \n is a new line."),
    "beams": Words("Beams", "Search over so many candidates in place of drawing. 1: it draws."),
    "length_penalty": Words("Length of beams", "Above 1 favours longer texts."),
    # How it learns
    "context": Words("Longest sequence", "In tokens: how far back it sees. 0: what is usual for the size."),
    "dropout": Words("Dropout", "Above 0 helps where there is little text."),
    "batch_size": Words("Batch", "How much is learned from at once: more is steadier and wants memory."),
    "accumulate": Words("Pieces of a batch", "More save memory and change nothing else."),
    "prompts_per_step": Words("Prompts in a step", "More make each step steadier and longer."),
    "samples_per_prompt": Words(
        "Completions of each prompt", "They are compared with each other: at least 2."
    ),
    "optimizer": Words(
        "Optimiser",
        "How weights move.",
        {"muon": Choice("Muon, with AdamW for the rest"), "adamw": Choice("AdamW")},
    ),
    "learning_rate": Words(
        "Learning rate", "Higher is quicker until it breaks. 0: what is usual for the size."
    ),
    "pretrain.learning_rate": Words(
        "Learning rate", "Of AdamW, at its peak. Higher is quicker until it breaks."
    ),
    "embedding_learning_rate": Words("Learning rate of embeddings", "Beside Muon."),
    "matrix_learning_rate": Words("Learning rate of Muon", "At its peak."),
    "schedule": Words(
        "Course of the learning rate",
        "",
        {
            "wsd": Choice("Stays at its peak, then falls"),
            "cosine": Choice("Falls all the way"),
        },
    ),
    "warmup": Words("Rises over", "Share of the whole, 0 to 1."),
    "decay": Words("Falls over", "Share of the whole, at its end, 0 to 1."),
    "final_rate": Words("Left at the end", "Share of the learning rate, 0 to 1."),
    "weight_decay": Words(
        "Weight decay", "Pulls weights towards 0: a little guards against learning by heart."
    ),
    "beta2": Words("Memory of AdamW", "How slowly it forgets the size of gradients."),
    "clip": Words("Largest gradient", "Longer ones are cut to this norm. 0: none is."),
    "ensemble": Words(
        "What of the ensemble counts",
        "Where the reward model has several members.",
        {
            "mean": Choice("Their mean"),
            "minimum": Choice("The strictest"),
            "cautious": Choice("The mean, less where they disagree"),
        },
    ),
    "train_reward.ensemble": Words(
        "Several models are",
        "",
        {
            "heads": Choice("Heads on one trunk: quick"),
            "models": Choice("Whole models: disagree more honestly, take longer"),
        },
    ),
    "ratio_clip": Words("Clip of a word's probability", "How far it may move from the second update on."),
    "grpo_divisor": Words(
        "GRPO divides by",
        "",
        {
            "constant": Choice("A constant: no bias"),
            "published": Choice("Deviation and length, as published"),
        },
    ),
    "gae_decay": Words("PPO: how far surprises reach", "Lambda, 0 to 1."),
    "value_clip": Words("PPO: clip of the value", "How far it may move in one step."),
    "value_learning_rate": Words("PPO: learning rate of the value", "0: as the policy's."),
    # How far it moves
    "kl_coefficient": Words("Price of distance", "Reward given up for each nat, to begin with."),
    "kl_horizon": Words("Adapts over", "Texts over which the price follows the distance. 0: it stays."),
    "kl_in": Words(
        "Where distance is paid",
        "",
        {
            "reward": Choice("In the reward"),
            "loss": Choice("In the loss"),
        },
    ),
    "missing_eos_penalty": Words("Penalty without an end", "Off the reward of texts that are cut off."),
    # Watching and stopping
    "evaluate_every": Words("Measured every, steps", "More often shows more and takes time."),
    "train_reward.evaluate_every": Words("Measured every, steps", "0: ten times in all."),
    "evaluation_tokens": Words("Tokens in a measurement", "More are steadier and slower. 0: all there are."),
    "heldout_prompts": Words("Prompts in a measurement", "More are steadier and slower."),
    "patience": Words("Patience", "Ends after so many measurements without a new best. 0: never early."),
    "stop_window": Words(
        "Measurements watched", "Signs of over-optimisation are read from so many. 0: none is."
    ),
    "stop_certainty": Words("Certainty", "Standard errors by which a sign must exceed its limit to stop it."),
    "win_rate_limit": Words("Stop: win rate fell by", "While the reward rose. 0: off."),
    "disagreement_limit": Words("Stop: disagreement grew", "So many times as much as at first. 0: off."),
    "length_limit": Words("Stop: length changed", "So many times as long or as short as at first. 0: off."),
    "repetition_limit": Words("Stop: repetition rose by", "Share of words said before. 0: off."),
    "save_every": Words("Saved every, minutes", "From there it can be resumed."),
    # The machine
    "device": Words(
        "Where it computes",
        "",
        {
            "auto": Choice("A GPU if there is one"),
            "cpu": Choice("CPU"),
            "cuda": Choice("GPU"),
        },
    ),
    "precision": Words(
        "Numbers",
        "",
        {
            "auto": Choice("Short where that is fast"),
            "fp32": Choice("32 bits"),
            "bf16": Choice("16 bits (bfloat)"),
        },
    ),
    "compile": Words(
        "Compile the model",
        "",
        {
            "auto": Choice("On a GPU"),
            "on": Choice("Yes: slow to begin, then faster"),
            "off": Choice("No"),
        },
    ),
    "parallel": Words(
        "Several processes",
        "",
        {
            "auto": _AUTO,
            "ddp": Choice("Each has the whole model"),
            "fsdp": Choice("Each has a part of it"),
        },
    ),
    "seed": Words("Seed", "The same seed gives the same course."),
    "sample.seed": Words("Seed", "The same seed writes the same text. -1: different every time."),
}
