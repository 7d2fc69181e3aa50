"""Labels of the options of runs on pages, and the effect of each option and choice in one line.

Commands and the API name options as the code does, with help texts beside the options. A label under
`KIND.name` is for one kind of run alone.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from training.formats.reader import AUTO, FORMATS


class ChoiceLabel(NamedTuple):
    """One of the values of an option."""

    label: str
    effect: str = ""


@dataclass(frozen=True)
class OptionLabel:
    """The label of an option, and the effect of its value; named choices have an effect each."""

    label: str
    effect: str = ""
    choices: dict[str, ChoiceLabel] = field(default_factory=dict)


def option_label(kind: str, name: str) -> OptionLabel:
    """The label of an option of a kind of run. Raises KeyError for an option without one."""
    return OPTION_LABELS.get(f"{kind}.{name}") or OPTION_LABELS[name]


SUMMARIES: dict[str, str] = {
    "pretrain": "Train a language model on a corpus, from scratch or from an existing version.",
    "sample": "Generate samples for a project's prompts and open them as tasks for its annotators.",
    "train_reward": "Train a reward model on a project's annotations: it learns what people prefer.",
    "order_tasks": "Move the open tasks that would teach a reward model most to the front of the queue.",
    "finetune": "Tune a policy by policy gradient (RLHF): it generates, a reward model scores, it learns.",
    "supervised": "Tune a policy on demonstrations (SFT): people's, a file's, or its own best completions.",
    "dpo": "Tune a policy on people's comparisons directly (DPO), without a reward model.",
    "evaluate": "Measure a policy or an endpoint: its win rate over another, or its perplexity on a corpus.",
}
"""What each kind of run does."""

_AUTO = ChoiceLabel("Automatic")

OPTION_LABELS: dict[str, OptionLabel] = {
    # Project, data and versions
    "project": OptionLabel("Project", "Its prompts and its annotations are used."),
    "pretrain.project": OptionLabel("Project", "The new version belongs to it; tasks open there."),
    "train_reward.project": OptionLabel(
        "Project with the annotations", "All its current annotations, frozen as a snapshot."
    ),
    "order_tasks.project": OptionLabel("Project", "Its open tasks that nobody has started are reordered."),
    "evaluate.project": OptionLabel("Project", "Both sides complete its held-out prompts."),
    "policy": OptionLabel("Policy", "Starting point and reference for KL; it is never changed."),
    "pretrain.policy": OptionLabel(
        "Continue from", "Keeps that version's size and tokenizer. Empty: train from scratch."
    ),
    "sample.policy": OptionLabel("Policy", "The version that generates the samples."),
    "chat": OptionLabel("Every prompt as a conversation", "A plain prompt becomes a turn of the user."),
    "pretrain.chat": OptionLabel(
        "Conversations", "Each document is one; the new version answers, and keeps a chat template."
    ),
    "train_reward.policy": OptionLabel("Base model", "The reward head is trained on top of this version."),
    "evaluate.policy": OptionLabel("Version to evaluate", "Usually the newest candidate."),
    "from": OptionLabel("Or an endpoint", "A model that lives elsewhere writes instead of the policy."),
    "reward": OptionLabel("Reward model", "The policy learns to write what this model scores high."),
    "order_tasks.reward": OptionLabel("Reward model", "Tasks are ranked by how much they would teach it."),
    "supervised.reward": OptionLabel(
        "Reward model for evaluation", "Scores held-out completions and selects the best checkpoint."
    ),
    "dpo.reward": OptionLabel(
        "Reward model for evaluation", "Scores held-out completions and selects the best checkpoint."
    ),
    "evaluate.reward": OptionLabel("Reward model for best-of-n", "Picks one of the n completions."),
    "gold": OptionLabel(
        "Evaluated against", "A second scorer that is not trained on; reveals reward hacking."
    ),
    "snapshot": OptionLabel(
        "Annotations", "The current ones, or a snapshot that an earlier run learned from."
    ),
    "preferences": OptionLabel(
        "Preference file", "Instead: a file on the server with prompt, chosen and rejected, in any format."
    ),
    "demonstrations": OptionLabel(
        "Demonstration file", "Instead: a file on the server with prompt and completion, in any format."
    ),
    "format": OptionLabel(
        "Format of the file",
        "How its columns are read.",
        {
            AUTO: ChoiceLabel("Recognised by its columns"),
            **{name: ChoiceLabel(title) for name, title in FORMATS.items()},
        },
    ),
    "columns": OptionLabel("Columns of the file", "What they are taken for, as in prompt=question."),
    "best_of": OptionLabel(
        "Best of n (rejection sampling)", "Instead: the best of n own completions of each prompt. 0: off."
    ),
    "evaluate.best_of": OptionLabel(
        "Best of n", "Completions of each prompt, of which the reward model picks one. 1: off."
    ),
    "source": OptionLabel("Corpus", "“stories” is built in; or the name of a corpus, files or folders."),
    "evaluate.source": OptionLabel(
        "Corpus for perplexity", "“stories”, or files and folders on the server. Empty: not measured."
    ),
    "split": OptionLabel(
        "Split",
        "The test split was never trained on.",
        {
            "train": ChoiceLabel("Train"),
            "validation": ChoiceLabel("Validation"),
            "test": ChoiceLabel("Test"),
            "all": ChoiceLabel("All"),
        },
    ),
    "against": OptionLabel("Compare with", "Usually the version in production; or an endpoint."),
    "judge": OptionLabel("Judges", "Each judges separately; people need tasks to answer."),
    "tasks": OptionLabel("Tasks to open afterwards", "With samples of the new version. 0: none."),
    "sample.tasks": OptionLabel("Tasks to open", "One per prompt; prompts with the fewest tasks come first."),
    "evaluate.tasks": OptionLabel(
        "Blind tasks to open", "Annotators see a sample of each side, without its name. 0: none."
    ),
    "name": OptionLabel("Name of the new version", "Empty: the next free name."),
    # Training length
    "minutes": OptionLabel("Time limit, minutes", "Stops there and keeps the best checkpoint. 0: no limit."),
    "pretrain.minutes": OptionLabel(
        "Training time, minutes", "Longer gives better text; each doubling adds less. 0: no limit."
    ),
    "steps": OptionLabel("Steps", "One step generates, scores and learns from one batch."),
    "pretrain.steps": OptionLabel("Max steps", "Besides the training time. 0: no limit."),
    "tokens": OptionLabel("Max tokens", "Besides the training time. 0: no limit."),
    "epochs": OptionLabel("Epochs", "Passes over the data; too many overfit."),
    "train_reward.epochs": OptionLabel(
        "Epochs", "Passes over the annotations; too many overfit. 0: default."
    ),
    "finetune.epochs": OptionLabel("Epochs per batch", "Updates on each batch. 0: four for PPO, else one."),
    "prompts": OptionLabel(
        "Max prompts", "Four times as many take four times as long and halve the interval."
    ),
    "supervised.prompts": OptionLabel("Max prompts for best of n", "More take longer and teach more."),
    # Model and method
    "preset": OptionLabel(
        "Model size",
        "",
        {
            "tiny": ChoiceLabel("Tiny", "Learns simple stories in minutes on two CPU cores."),
            "small": ChoiceLabel("Small", "About ten times as large: better text, tens of minutes."),
            "medium": ChoiceLabel("Medium", "Twice that, with a longer context: hours, or a GPU."),
            "gpt2": ChoiceLabel("GPT-2", "124 million parameters; needs a GPU."),
        },
    ),
    "trunk": OptionLabel(
        "Trainable parameters",
        "",
        {
            "full": ChoiceLabel("Full model", "Most accurate; slower."),
            "frozen": ChoiceLabel("Reward head only", "Fast, for a first look; less accurate."),
        },
    ),
    "members": OptionLabel(
        "Ensemble members", "More than one tell how uncertain a score is, at more cost; 4 is common."
    ),
    "reliability": OptionLabel(
        "Weight annotators by reliability", "Annotations of careless people count less."
    ),
    "kl_target": OptionLabel(
        "KL target, nats", "Per completion: 3 stays close to the reference, 6 is the default, 12 is far."
    ),
    "kl_budget": OptionLabel("KL budget, nats", "Checkpoints beyond it are never selected. 0: no budget."),
    "beta": OptionLabel("Beta", "KL penalty of DPO: 0.05 moves far, 0.15 is the default, 0.5 hardly moves."),
    "estimator": OptionLabel(
        "Advantage estimator",
        "",
        {
            "rloo": ChoiceLabel("RLOO", "Baseline: other completions of the prompt. Stable and fast."),
            "reinforce": ChoiceLabel(
                "REINFORCE", "Baseline: earlier batches. Works with one completion each."
            ),
            "grpo": ChoiceLabel("GRPO", "Baseline: mean of the group; as published, or without its bias."),
            "ppo": ChoiceLabel("PPO", "Baseline: a value network. Slower, with more options to tune."),
        },
    ),
    "by": OptionLabel(
        "Acquisition function",
        "",
        {
            "disagreement": ChoiceLabel(
                "Ensemble disagreement", "Needs a reward model with several members."
            ),
            "closeness": ChoiceLabel("Close scores", "Works with a single model."),
        },
    ),
    "share": OptionLabel(
        "Selected tasks, percent",
        "The rest stay random, which keeps quality metrics unbiased. Empty: project setting.",
    ),
    "temperature": OptionLabel("Temperature", "0 is greedy and repetitive; 1 samples as the model learned."),
    "max_new_tokens": OptionLabel(
        "Max new tokens", "Longest completion; a token is about ¾ of a word. More is slower."
    ),
    # Corpus and tokenizer
    "stories": OptionLabel("Built-in stories", "Number to generate; fewer are ready sooner."),
    "encoding": OptionLabel("File encoding", "Such as utf-8 or latin-1; “auto” detects it per file."),
    "field": OptionLabel("Text field", "The column with the text in JSON Lines, Parquet and datasets."),
    "documents": OptionLabel(
        "Document boundaries",
        "Documents never share a training window.",
        {
            "auto": _AUTO,
            "line": ChoiceLabel("Line"),
            "paragraph": ChoiceLabel("Paragraph"),
            "file": ChoiceLabel("File"),
            "article": ChoiceLabel("Article (WikiText)"),
        },
    ),
    "normalise": OptionLabel(
        "Unicode normalisation",
        "The same character always becomes the same bytes.",
        {
            "none": ChoiceLabel("None"),
            "nfc": ChoiceLabel("NFC"),
            "space": ChoiceLabel("NFC, and whitespace collapsed"),
        },
    ),
    "drop_duplicates": OptionLabel("Drop duplicates", "Keeps the first of identical documents."),
    "min_length": OptionLabel("Min document length", "In characters; shorter ones are dropped. 0: keep all."),
    "holdout": OptionLabel(
        "Held-out data",
        "Evaluated on and never trained on.",
        {
            "auto": _AUTO,
            "documents": ChoiceLabel("Documents, by hash"),
            "tail": ChoiceLabel("End of the text"),
        },
    ),
    "shares": OptionLabel("Split percentages", "Train, validation and test, such as 80/10/10."),
    "stride": OptionLabel(
        "Stride, tokens", "Shorter gives each token more context and is slower. 0: the whole context."
    ),
    "tokenizer": OptionLabel(
        "Tokenizer",
        "Smaller tokens need no large vocabulary and make sequences longer.",
        {
            "bpe": ChoiceLabel("Byte-level BPE"),
            "char": ChoiceLabel("Characters"),
            "word": ChoiceLabel("Words"),
        },
    ),
    "vocab_size": OptionLabel("Vocabulary size", "Larger makes sequences shorter and the model larger."),
    "vocabulary_megabytes": OptionLabel(
        "Tokenizer training data, MB", "Sampled evenly from the corpus. 0: all of it."
    ),
    # Preference data
    "loss": OptionLabel(
        "Loss",
        "",
        {
            "auto": ChoiceLabel("Default for the project's kind of feedback"),
            "pairs": ChoiceLabel("Pairwise (Bradley-Terry)"),
            "ranking": ChoiceLabel("Ranking (Plackett-Luce)"),
            "scores": ChoiceLabel("Score regression"),
            "scores+pairs": ChoiceLabel("Score regression and pairwise"),
        },
    ),
    "criteria": OptionLabel(
        "Criteria weights", "Such as overall=1,kindness=0.5. Empty: the overall score alone."
    ),
    "heldout": OptionLabel("Held-out share", "Of the prompts, 0 to 0.9; accuracy is measured on them."),
    "learning_curve": OptionLabel(
        "Learning curve points", "Retrains on this many subsets; shows what more annotations bring. 0: off."
    ),
    "label_smoothing": OptionLabel("Label smoothing", "Share of comparisons assumed to be wrong, 0 to 0.49."),
    # Generation
    "top_k": OptionLabel("Top-k", "Sample from the k likeliest tokens. 0: off."),
    "top_p": OptionLabel("Top-p", "Sample from the tokens that hold this probability. 1: off."),
    "min_p": OptionLabel("Min-p", "Drop tokens below this share of the likeliest one's probability. 0: off."),
    "repetition_penalty": OptionLabel("Repetition penalty", "Above 1 makes repeated tokens less likely."),
    "stop": OptionLabel("Stop strings", r"Generation ends before these; separate with |, \n is a new line."),
    "beams": OptionLabel("Beams", "Beam search instead of sampling; slower. 1: off."),
    "length_penalty": OptionLabel("Length penalty", "Of beam search: above 1 favours longer completions."),
    # Optimisation
    "context": OptionLabel(
        "Context length, tokens", "Longer sees more and is slower. 0: default for the size."
    ),
    "dropout": OptionLabel("Dropout", "Above 0 reduces overfitting on small corpora."),
    "batch_size": OptionLabel("Batch size", "Larger is steadier and needs more memory."),
    "accumulate": OptionLabel(
        "Gradient accumulation steps", "More need less memory and are slower; same result."
    ),
    "prompts_per_step": OptionLabel("Prompts per step", "More make each step steadier and slower."),
    "samples_per_prompt": OptionLabel(
        "Completions per prompt", "They are compared with each other: 2 or more."
    ),
    "optimizer": OptionLabel(
        "Optimiser",
        "Muon learns faster; AdamW has fewer settings.",
        {"muon": ChoiceLabel("Muon, AdamW for embeddings"), "adamw": ChoiceLabel("AdamW")},
    ),
    "learning_rate": OptionLabel(
        "Learning rate", "Higher is faster until it diverges. 0: default for the size."
    ),
    "pretrain.learning_rate": OptionLabel("AdamW learning rate", "Peak. Higher is faster until it diverges."),
    "embedding_learning_rate": OptionLabel("Embedding learning rate", "Peak, with Muon."),
    "matrix_learning_rate": OptionLabel("Muon learning rate", "Peak."),
    "schedule": OptionLabel(
        "Learning rate schedule",
        "",
        {
            "wsd": ChoiceLabel("Warm-up, stable, decay (WSD)"),
            "cosine": ChoiceLabel("Cosine"),
        },
    ),
    "warmup": OptionLabel("Warm-up", "Share of the training, 0 to 1."),
    "decay": OptionLabel("Decay", "Share of the training, at its end, 0 to 1."),
    "final_rate": OptionLabel("Final learning rate", "Share of the peak, 0 to 1."),
    "weight_decay": OptionLabel("Weight decay", "A little reduces overfitting."),
    "beta2": OptionLabel("AdamW beta2", "Higher averages squared gradients over more steps."),
    "clip": OptionLabel("Gradient clipping", "Max gradient norm. 0: off."),
    "ensemble": OptionLabel(
        "Ensemble aggregation",
        "With an ensemble: a stricter one guards against reward hacking and learns more slowly.",
        {
            "mean": ChoiceLabel("Mean"),
            "minimum": ChoiceLabel("Minimum"),
            "cautious": ChoiceLabel("Mean minus variance"),
        },
    ),
    "train_reward.ensemble": OptionLabel(
        "Ensemble type",
        "",
        {
            "heads": ChoiceLabel("Heads on one trunk: faster"),
            "models": ChoiceLabel("Separate models: better uncertainty, slower"),
        },
    ),
    "ratio_clip": OptionLabel(
        "Ratio clip", "Limits how far an update moves the policy, from the second epoch."
    ),
    "grpo_divisor": OptionLabel(
        "GRPO normalisation",
        "",
        {
            "constant": ChoiceLabel("Constant: unbiased"),
            "published": ChoiceLabel("Standard deviation and length, as published"),
        },
    ),
    "gae_decay": OptionLabel("PPO: GAE lambda", "Lower has less variance and more bias, 0 to 1."),
    "value_clip": OptionLabel("PPO: value clip", "How far the value may move in one step."),
    "value_learning_rate": OptionLabel("PPO: value learning rate", "0: the policy's."),
    # KL control
    "kl_coefficient": OptionLabel("KL coefficient", "Initial: reward subtracted per nat of KL."),
    "kl_horizon": OptionLabel("KL horizon", "Completions over which the coefficient adapts. 0: it is fixed."),
    "kl_in": OptionLabel(
        "KL penalty in",
        "",
        {
            "reward": ChoiceLabel("Reward"),
            "loss": ChoiceLabel("Loss"),
        },
    ),
    "missing_eos_penalty": OptionLabel(
        "Missing EOS penalty", "Subtracted from the reward of completions that are cut off."
    ),
    # Evaluation and early stopping
    "evaluate_every": OptionLabel("Evaluate every, steps", "More often shows more and takes longer."),
    "train_reward.evaluate_every": OptionLabel("Evaluate every, steps", "0: ten times in all."),
    "evaluation_tokens": OptionLabel("Evaluation tokens", "More are less noisy and slower. 0: all."),
    "heldout_prompts": OptionLabel("Held-out prompts", "More are less noisy and slower."),
    "patience": OptionLabel(
        "Patience", "Stops after this many evaluations without improvement. 0: never early."
    ),
    "stop_window": OptionLabel(
        "Over-optimisation window", "Evaluations in which signs of over-optimisation are looked for. 0: off."
    ),
    "stop_certainty": OptionLabel(
        "Over-optimisation threshold", "Standard errors beyond a limit before it stops the run."
    ),
    "win_rate_limit": OptionLabel("Stop: win rate drop", "While the reward rises. 0: off."),
    "disagreement_limit": OptionLabel("Stop: disagreement", "As a multiple of the first evaluation. 0: off."),
    "length_limit": OptionLabel("Stop: length", "Longer or shorter by this factor than at first. 0: off."),
    "repetition_limit": OptionLabel("Stop: repetition rise", "In the share of repeated words. 0: off."),
    "save_every": OptionLabel("Save every, minutes", "The run can be resumed from there."),
    # Hardware
    "device": OptionLabel(
        "Device",
        "",
        {
            "auto": ChoiceLabel("Automatic: GPU if there is one"),
            "cpu": ChoiceLabel("CPU"),
            "cuda": ChoiceLabel("GPU"),
        },
    ),
    "precision": OptionLabel(
        "Precision",
        "",
        {
            "auto": ChoiceLabel("Automatic: bf16 where it is fast"),
            "fp32": ChoiceLabel("fp32"),
            "bf16": ChoiceLabel("bf16"),
        },
    ),
    "compile": OptionLabel(
        "torch.compile",
        "",
        {
            "auto": ChoiceLabel("Automatic: on a GPU"),
            "on": ChoiceLabel("On: slow start, then faster"),
            "off": ChoiceLabel("Off"),
        },
    ),
    "parallel": OptionLabel(
        "Data parallelism",
        "",
        {
            "auto": _AUTO,
            "ddp": ChoiceLabel("DDP: each process holds the whole model"),
            "fsdp": ChoiceLabel("FSDP: each process holds a part"),
        },
    ),
    "seed": OptionLabel("Seed", "The same seed gives the same run."),
    "sample.seed": OptionLabel("Seed", "The same seed gives the same samples. -1: different every time."),
}
