"""Every option of the language model, as frozen dataclasses; free of torch, since web forms read them."""

import re
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import Any, Self

from training.gpt.config_fields import check_options, option
from training.gpt.corpus.encodings import check_encoding
from training.gpt.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of one decoder-only transformer.

    Covers the layouts of GPT-2, Llama, Mistral, Qwen2, Qwen3, Gemma, Phi-3, OLMo and SmolLM3, and mixtures
    of them. A 0 that stands for a default is replaced by its value when the config is made.
    """

    vocab_size: int = field(metadata={"help": "vocabulary size in tokens", "minimum": 2})
    context: int = option(128, "context length in tokens", minimum=2)
    layers: int = option(4, "transformer blocks", minimum=1)
    heads: int = option(4, "attention heads", minimum=1)
    kv_heads: int = option(0, "key and value heads, shared by groups (0: as many as heads)", minimum=0)
    head_width: int = option(0, "size of one head (0: width / heads)", minimum=0)
    width: int = option(128, "width of the residual stream", minimum=2)
    hidden: int = option(0, "inner size of the feed-forward layer (0: usual for the activation)", minimum=0)
    norm: str = option(
        "layer", "normalisation (layer: one pass over memory on a CPU)", choices=("rms", "layer")
    )
    norm_eps: float = option(1e-5, "added to the variance before its root", minimum=0.0)
    qk_norm: bool = option(True, "normalise queries and keys (steadier at high learning rates)")
    positions: str = option("rotary", "position encoding", choices=("rotary", "learned"))
    rotary_width: int = option(
        0, "how many of the first values of a head rotary positions turn (0: all)", minimum=0
    )
    rotary_skip: int = option(0, "every how many layers one has no positions (0: none has none)", minimum=0)
    rotary_base: float = option(10_000.0, "base of the rotary wavelengths", minimum=1.0)
    rotary_scaling: str = option(
        "none",
        "rotary scaling to a longer context (linear: all wavelengths; llama3: the long ones)",
        choices=("none", "linear", "llama3"),
    )
    rotary_factor: float = option(1.0, "factor of the rotary scaling", minimum=1.0)
    rotary_context: int = option(8192, "llama3: the original context", minimum=1)
    rotary_long: float = option(
        1.0, "llama3: wavelengths beyond rotary_context / this are scaled fully", minimum=0.001
    )
    rotary_short: float = option(
        4.0, "llama3: wavelengths below rotary_context / this are unchanged", minimum=0.001
    )
    activation: str = option(
        "relu2",
        "feed-forward activation (gelu: exact; gelu_tanh: GPT-2's; relu2: squared; swiglu: gated SiLU;"
        " geglu: gated gelu_tanh)",
        choices=("swiglu", "geglu", "gelu", "gelu_tanh", "relu2"),
    )
    bias: str = option(
        "none",
        "biases: of queries, keys and values; of all attention; of every linear layer and layer norm",
        choices=("none", "qkv", "attention", "all"),
    )
    scaled_embedding: bool = option(False, "multiply what is embedded by the root of the width")
    tied: bool = option(True, "share one matrix between embedding and output")
    dropout: float = option(0.0, "share of activations dropped in training", minimum=0.0, maximum=0.9)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.head_width:
            if self.width % self.heads:
                raise InputError(f"heads: {self.heads} heads do not divide a width of {self.width}")
            object.__setattr__(self, "head_width", self.width // self.heads)
        if self.head_width % 2 and self.positions == "rotary":
            raise InputError(f"heads: rotary positions need an even width per head, not {self.head_width}")
        if not self.rotary_width:
            object.__setattr__(self, "rotary_width", self.head_width)
        if self.rotary_width > self.head_width or (self.rotary_width % 2 and self.positions == "rotary"):
            raise InputError(
                f"rotary_width: {self.rotary_width} must be even, and at most a head's {self.head_width}"
            )
        if not self.kv_heads:
            object.__setattr__(self, "kv_heads", self.heads)
        if self.heads % self.kv_heads:
            raise InputError(f"kv_heads: {self.kv_heads} does not divide {self.heads} heads")
        if self.rotary_scaling == "llama3" and self.rotary_long >= self.rotary_short:
            raise InputError(
                f"rotary_long: {self.rotary_long} must be below rotary_short, {self.rotary_short}"
            )
        if not self.hidden:
            # SwiGLU has three matrices where the others have two: 8/3 keeps the parameter count.
            size = -(-8 * self.width // 3 // 16) * 16 if self.gated else 4 * self.width
            object.__setattr__(self, "hidden", size)

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer has a gate beside its values."""
        return self.activation in {"swiglu", "geglu"}

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, in closed form; tied weights count once."""
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        up = self.hidden * (2 if self.gated else 1)
        attention = self.width * (2 * queries + 2 * keys) + (2 * self.head_width if self.qk_norm else 0)
        feed_forward = self.width * (up + self.hidden)
        biases = 0
        if self.bias != "none":
            biases += queries + 2 * keys
        if self.bias in {"attention", "all"}:
            biases += self.width
        if self.bias == "all":
            biases += up + self.width
        norm = self.width * (2 if self.norm == "layer" and self.bias == "all" else 1)
        embeddings = self.vocab_size * self.width * (1 if self.tied else 2)
        learned = self.context * self.width if self.positions == "learned" else 0
        return self.layers * (attention + feed_forward + biases + 2 * norm) + norm + embeddings + learned

    @classmethod
    def preset(cls, name: str, *, vocab_size: int, **changes: Any) -> Self:
        """Build the preset called ``name`` for a vocabulary, with some fields changed."""
        if name not in PRESETS:
            raise InputError(f"preset: {name!r} is unknown; choose one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes, "vocab_size": vocab_size})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``config.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from ``to_dict``'s values; an unknown or missing field raises ``InputError``."""
        unknown = set(values) - {entry.name for entry in fields(cls)}
        if unknown:
            raise InputError(f"config.json: unknown field {min(unknown)!r}; is it from a newer version?")
        if "vocab_size" not in values:
            raise InputError("config.json: vocab_size is missing")
        return cls(**values)


_GPT2 = {
    "context": 1024,
    "norm": "layer",
    "positions": "learned",
    "activation": "gelu_tanh",
    "qk_norm": False,
    "bias": "all",
}

PRESETS: dict[str, dict[str, Any]] = {
    # For the story corpus and two CPU cores.
    "tiny": {"layers": 3, "heads": 4, "width": 128, "context": 128},
    "small": {"layers": 6, "heads": 6, "width": 384, "context": 256},
    "medium": {"layers": 8, "heads": 8, "width": 512, "context": 512},
    "gpt2": {"layers": 12, "heads": 12, "width": 768, **_GPT2},
}


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How text is tokenised."""

    tokenizer: str = option("bpe", "byte-level BPE, characters, or words", choices=("bpe", "char", "word"))
    vocab_size: int = option(4096, "maximum vocabulary size (a small corpus needs fewer)", minimum=4)
    vocabulary_megabytes: int = option(
        1000, "train the tokenizer on about this much of the text, evenly sampled (0: all)", minimum=0
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.tokenizer == "bpe" and self.vocab_size < 260:
            raise InputError(
                "vocab_size: byte-level BPE needs at least 260 (256 bytes and the special tokens)"
            )


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Where the text comes from and how it is split into documents."""

    source: str = option(
        "stories",
        "'stories' (built in), wikitext-2, wikitext-103 (-raw), or files and folders (text, JSON Lines,"
        " Parquet, saved by datasets), joined by commas",
    )
    encoding: str = option(
        "utf-8", "character encoding of the files, such as utf-8 or latin-1 (auto: guessed file by file)"
    )
    field: str = option(
        "text", "the field or column of JSON Lines, Parquet and data sets that holds the text"
    )
    chat: bool = option(
        False,
        "each document is a conversation, messages or a text with Human: and Assistant: turns, and is written"
        " as the chat template says",
    )
    documents: str = option(
        "auto",
        "what one document of a text file is (auto: articles of WikiText; files if there are at least 10,"
        " else paragraphs if any, else lines)",
        choices=("auto", "line", "paragraph", "file", "article"),
    )
    normalise: str = option(
        "none",
        "normalise the text (nfc: compose characters; space: also collapse runs of spaces and blank lines)",
        choices=("none", "nfc", "space"),
    )
    drop_duplicates: bool = option(False, "keep only the first of equal documents")
    min_length: int = option(0, "drop documents of fewer characters", minimum=0)
    holdout: str = option(
        "auto",
        "what is held out from training (auto: a data set's published splits, else documents;"
        " documents: some, by a hash of their content; tail: the end of the text, to the character)",
        choices=("auto", "documents", "tail"),
    )
    shares: str = option("80/10/10", "percentages for training, validation and test")
    stories: int = option(40_000, "number of stories in the built-in corpus", minimum=1)
    seed: int = option(0, "random seed of the stories and the splits", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        check_encoding(self.encoding)
        if not self.source.strip(" ,"):
            raise InputError("source: give a text file, a folder, or 'stories'")
        if not self.field:
            raise InputError("field: name the field that holds the text, such as text")
        if self.holdout == "tail" and (self.drop_duplicates or self.min_length):
            raise InputError("holdout: tail keeps the text as one, so no document of it can be dropped")
        if self.holdout == "tail" and self.chat:
            raise InputError("holdout: tail keeps the text as one, and chat needs documents; leave out one")
        if self.chat and "stories" in self.source.split(","):
            raise InputError("chat: the built-in stories are no conversations; name a source of dialogues")
        self.split_shares  # noqa: B018 - checks them

    @property
    def split_shares(self) -> tuple[Fraction, Fraction, Fraction]:
        """The shares of training, validation and test, which add up to 1."""
        try:
            train, validation, test = (Fraction(part.strip()) / 100 for part in self.shares.split("/"))
        except ValueError:
            train = validation = test = Fraction(-1)
        if min(train, validation) <= 0 or test < 0 or train + validation + test != 1:
            raise InputError(
                f"shares: {self.shares!r} should be three percentages that add up to 100, such as 80/10/10 or"
                " 90/10/0, and leave some for training and for validation"
            )
        return train, validation, test


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """How a model is pretrained on a corpus."""

    preset: str = option("tiny", "size of the model", choices=tuple(PRESETS))
    context: int = option(0, "longest sequence in tokens (0: the preset's)", minimum=0)
    dropout: float = option(
        0.0, "share of activations dropped; helps with a small corpus", minimum=0, maximum=0.9
    )
    minutes: float = option(2.0, "time budget (0: no limit)", minimum=0.0)
    steps: int = option(0, "budget in optimiser steps (0: no limit)", minimum=0)
    tokens: int = option(0, "budget in tokens read (0: no limit)", minimum=0)
    batch_size: int = option(16, "sequences per step, over all processes", minimum=1)
    accumulate: int = option(
        1, "gradient accumulation: micro-batches per step; saves memory, changes nothing else", minimum=1
    )
    optimizer: str = option(
        "muon",
        "optimizer (muon: orthogonalised momentum for the matrices of the blocks, AdamW for the rest)",
        choices=("adamw", "muon"),
    )
    learning_rate: float = option(4e-3, "peak learning rate of AdamW", minimum=0.0)
    embedding_learning_rate: float = option(
        0.02, "peak learning rate of embeddings and output with Muon", minimum=0.0
    )
    matrix_learning_rate: float = option(0.02, "peak learning rate of Muon", minimum=0.0)
    schedule: str = option(
        "wsd",
        "learning rate schedule (wsd: warmup, stable, decay; cosine)",
        choices=("wsd", "cosine"),
    )
    warmup: float = option(
        0.02, "share of the budget for the warm-up of the learning rate", minimum=0.0, maximum=1.0
    )
    decay: float = option(0.5, "share of the budget for the final decay (wsd)", minimum=0.0, maximum=1.0)
    final_rate: float = option(0.0, "final learning rate as a share of the peak", minimum=0.0, maximum=1.0)
    weight_decay: float = option(0.0, "weight decay of matrices, times the learning rate", minimum=0.0)
    beta2: float = option(
        0.95, "AdamW's beta2, the decay of its squared gradients", minimum=0.0, maximum=0.99999
    )
    clip: float = option(1.0, "maximum gradient norm (0: no clipping)", minimum=0.0)
    evaluate_every: int = option(100, "steps between validations", minimum=1)
    evaluation_tokens: int = option(40_000, "validation tokens per evaluation (0: all)", minimum=0)
    patience: int = option(0, "stop after this many validations without improvement (0: never)", minimum=0)
    save_every: float = option(1.0, "minutes between saved states, from which a run is resumed", minimum=0.0)
    precision: str = option(
        "auto", "number format (auto: bf16 where it is fast)", choices=("auto", "fp32", "bf16")
    )
    compile: str = option(
        "auto", "compile the model for faster steps (auto: on a GPU)", choices=("auto", "on", "off")
    )
    device: str = option("auto", "device (auto: a GPU if there is one)", choices=("auto", "cpu", "cuda"))
    parallel: str = option(
        "auto",
        "parallelism under torchrun (ddp: each process has the full model; fsdp: a shard of it; auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "random seed of initial weights, batch order and dropout", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.minutes and not self.steps and not self.tokens:
            raise InputError("minutes: give a budget, in minutes, steps or tokens")
        if self.batch_size % self.accumulate:
            raise InputError(
                f"accumulate: {self.accumulate} does not divide a batch_size of {self.batch_size}"
            )
        if self.schedule == "wsd" and self.warmup + self.decay > 1:
            raise InputError(f"warmup: {self.warmup} and decay {self.decay} must not exceed 1 together")


_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\|": "|", r"\\": "\\"}  # in ``stop``


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """The device and number format of a model that is not being trained."""

    device: str = option("auto", "device (auto: a GPU if there is one)", choices=("auto", "cpu", "cuda"))
    precision: str = option(
        "auto", "number format (auto: bf16 where it is fast)", choices=("auto", "fp32", "bf16")
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How completions are sampled.

    The options apply in this order, which is that of ``transformers``: repetition penalty, temperature,
    top-k, top-p (on what top-k left), min-p.
    """

    temperature: float = option(1.0, "sampling temperature; 0 is greedy decoding", minimum=0.0)
    top_k: int = option(0, "sample from the k most likely tokens only (0: all)", minimum=0)
    top_p: float = option(
        1.0, "sample from the most likely tokens with this total probability", minimum=0.0, maximum=1.0
    )
    min_p: float = option(
        0.0,
        "sample from tokens at least this fraction as likely as the most likely (0: all)",
        minimum=0.0,
        maximum=1.0,
    )
    repetition_penalty: float = option(
        1.0, "above 1 makes tokens already in the text less likely (1: none)", minimum=0.0
    )
    stop: str = option(
        "",
        r"stop before this text; separate several with |; \n is a new line, \t a tab, \| a bar",
        strip=False,
    )
    max_new_tokens: int = option(48, "maximum completion length in tokens", minimum=1)
    beams: int = option(1, "number of beams of a beam search (1: sampling)", minimum=1)
    length_penalty: float = option(1.0, "beams are compared by log-probability / length ** this", minimum=0.0)
    seed: int = option(-1, "random seed (-1: different every time)", minimum=-1)

    def __post_init__(self) -> None:
        check_options(self)
        if self.top_p == 0:
            raise InputError("top_p: must be above 0; use temperature 0 for greedy decoding")
        if self.repetition_penalty == 0:
            raise InputError("repetition_penalty: must be above 0; 1 leaves repetitions alone")
        if self.stop and "" in self.stops:
            raise InputError(rf"stop: one text in {self.stop!r} is empty; write \| for a bar inside a text")
        if self.beams > 1:
            idle = {"temperature": (0.0, 1.0), "top_k": (0,), "top_p": (1.0,), "min_p": (0.0,)}
            for name, values in idle.items():
                if getattr(self, name) not in values:
                    raise InputError(f"{name}: beam search draws nothing; leave out {name} or beams")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings in ``stop``, with its escapes resolved; none if it is empty."""
        if not self.stop:
            return ()
        texts = [""]
        for part in re.findall(r"\\[nt|\\]|[\s\S]", self.stop):
            if part == "|":
                texts.append("")
            else:
                texts[-1] += _ESCAPES.get(part, part)
        return tuple(texts)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a model is evaluated on a text."""

    stride: int = option(
        0,
        "tokens by which windows over a long document advance; fewer is slower, and gives each token more"
        " context (0: a full context)",
        minimum=0,
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How a model is exported for other tools."""

    dtype: str = option("fp32", "precision of the weights", choices=("fp32", "bf16", "fp16"))
    max_shard_size: float = option(
        5.0, "maximum size of a weights file in GB; a larger model is written in several", minimum=0.0
    )

    def __post_init__(self) -> None:
        check_options(self)
        if not self.max_shard_size:
            raise InputError("max_shard_size: must be above 0")
