import subprocess
import sys

import pytest

from training.gpt.config import (
    PRESETS,
    CorpusConfig,
    EvaluationConfig,
    ModelConfig,
    PretrainConfig,
    SamplingConfig,
    TokenizerConfig,
)
from training.gpt.errors import InputError


def test_every_preset_can_be_built() -> None:
    for name in PRESETS:
        assert ModelConfig.preset(name, vocab_size=100).vocab_size == 100


def test_gpt2_has_its_published_number_of_parameters() -> None:
    assert ModelConfig.preset("gpt2", vocab_size=50257).parameters == 124_439_808


def test_a_config_survives_its_dictionary() -> None:
    config = ModelConfig.preset("tiny", vocab_size=77, activation="swiglu")
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_a_whole_number_is_taken_for_a_float() -> None:
    config = PretrainConfig(minutes=3)
    assert config.minutes == 3.0
    assert isinstance(config.minutes, float)


def test_defaults_are_complete() -> None:
    assert CorpusConfig().source == "stories"
    assert TokenizerConfig().tokenizer == "bpe"
    assert SamplingConfig().top_p == 1.0


def test_reading_the_config_loads_no_torch() -> None:
    code = "import sys, training.gpt.config, training.gpt.corpus.stories; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ModelConfig(vocab_size=9, heads=3, width=32), "heads: 3 heads do not divide a width of 32"),
        (lambda: ModelConfig(vocab_size=9, heads=4, width=12), "heads: rotary positions need an even width"),
        (lambda: ModelConfig(vocab_size=9, kv_heads=3), "kv_heads: 3 does not divide 4 heads"),
        (
            lambda: ModelConfig(vocab_size=9, head_width=5),
            "heads: rotary positions need an even width per head, not 5",
        ),
        (
            lambda: ModelConfig(vocab_size=9, rotary_scaling="llama3", rotary_long=4.0),
            "rotary_long: 4.0 must be below rotary_short, 4.0",
        ),
        (lambda: ModelConfig(vocab_size=9, bias="some"), "bias: 'some' is unknown; choose one of none, qkv"),
        (lambda: ModelConfig(vocab_size=1), "vocab_size: must be at least 2, not 1"),
        (
            lambda: ModelConfig(vocab_size=9, norm="batch"),
            "norm: 'batch' is unknown; choose one of rms, layer",
        ),
        (lambda: ModelConfig.preset("huge", vocab_size=9), "preset: 'huge' is unknown; choose one of tiny"),
        (lambda: ModelConfig.from_dict({"vocab_size": 9, "depth": 1}), "config.json: unknown field 'depth'"),
        (lambda: ModelConfig.from_dict({}), "config.json: vocab_size is missing"),
        (lambda: TokenizerConfig(vocab_size=100), "vocab_size: byte-level BPE needs at least 260"),
        (lambda: CorpusConfig(source=" "), "source: give a text file, a folder, or 'stories'"),
        (lambda: PretrainConfig(minutes=0), "minutes: give a budget, in minutes, steps or tokens"),
        (lambda: PretrainConfig(warmup=0.6, decay=0.6), "warmup: 0.6 and decay 0.6 must not exceed 1"),
        (lambda: PretrainConfig(batch_size=32, accumulate=3), "accumulate: 3 does not divide a batch_size"),
        (lambda: PretrainConfig(optimizer="sgd"), "optimizer: 'sgd' is unknown; choose one of adamw, muon"),
        (lambda: PretrainConfig(learning_rate=float("nan")), "learning_rate: must be a finite number"),
        (lambda: PretrainConfig(batch_size=2.5), "batch_size: expected a whole number, not 2.5"),  # type: ignore[arg-type]
        (lambda: SamplingConfig(top_p=1.5), "top_p: must be at most 1.0, not 1.5"),
        (lambda: SamplingConfig(top_p=0), "top_p: must be above 0"),
        (lambda: SamplingConfig(temperature=-1), "temperature: must be at least 0.0, not -1.0"),
        (lambda: SamplingConfig(min_p=1.5), "min_p: must be at most 1.0, not 1.5"),
        (lambda: SamplingConfig(min_p=-0.5), "min_p: must be at least 0.0, not -0.5"),
        (lambda: SamplingConfig(repetition_penalty=0), "repetition_penalty: must be above 0"),
        (lambda: SamplingConfig(stop="a||b"), "stop: one text in 'a||b' is empty"),
        (lambda: SamplingConfig(beams=2, min_p=0.1), "min_p: beam search draws nothing"),
        (lambda: SamplingConfig(beams=2, temperature=0.5), "temperature: beam search draws nothing"),
        (lambda: EvaluationConfig(stride=-1), "stride: must be at least 0, not -1"),
    ],
)
def test_a_bad_value_is_named(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(InputError) as caught:
        build()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stop", "texts"),
    [
        ("", ()),
        ("end", ("end",)),
        ("a|b c| d", ("a", "b c", " d")),
        (r"\n\n|\tx|a\|b|c\\n", ("\n\n", "\tx", "a|b", r"c\n")),
        ("\n", ("\n",)),
        (r"\begin", (r"\begin",)),
    ],
)
def test_stop_texts_are_cut_at_bars(stop: str, texts: tuple[str, ...]) -> None:
    assert SamplingConfig(stop=stop).stops == texts
