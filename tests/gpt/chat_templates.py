"""Chat templates in the formats of published models, and folders of tiny models that have them.

Each is written here from the format that the model's card describes: its turns, its special tokens, where the
text begins, and what it refuses. `{% generation %}` stands in some, as in templates for training.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from tests.gpt.huggingface_folders import random_model
from training.formats.messages import Message
from training.gpt.chat_template import PLAIN_TEMPLATE

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

SMOLLM2 = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a small and helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

CHATML_FOR_TRAINING = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}"
    "{%- else %}{{- message.content + '<|im_end|>' }}{%- endif %}"
    "{{- '\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)

QWEN25 = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>\\n' }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

QWEN3 = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<think>\\n' + thought + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'user' or not loop.first %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user and assistant') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)

LLAMA3 = (
    "{% for message in messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

MISTRAL = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}"
    "{% endfor %}"
)

GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

PHI3 = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' and message['content'] %}"
    "{{ '<|system|>\n' + message['content'] + '<|end|>\n' }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '<|end|>\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\n' + message['content'] + '<|end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)

ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""

ZEPHYR_FOR_TRAINING = ZEPHYR.replace(
    "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}",
    "{{ '<|assistant|>\\n' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}",
)

# Its generation prompt begins a thought, which its earlier turns do not keep.
THINKER = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' + message['content'].split('</think>')[-1] + eos_token }}"
    "{% else %}{{ '<|user|>' + message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A template with the special tokens of its models, and the layout of the models here that have it."""

    template: str
    special: tuple[str, ...]
    named: dict[str, str]
    layout: str = "llama"
    sentencepiece: bool = False
    system: bool = True  # whether it takes a system message
    strips: bool = False  # whether its turn tokens swallow the line end behind them


_IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_IM_NAMED = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
_S = ("<unk>", "<s>", "</s>")
_S_NAMED = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}

FAMILIES: dict[str, Family] = {
    "ChatML": Family(template=CHATML, special=_IM, named=_IM_NAMED),
    "ChatML for training": Family(template=CHATML_FOR_TRAINING, special=_IM, named=_IM_NAMED),
    "SmolLM2": Family(
        template=SMOLLM2,
        special=_IM,
        named={"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
    ),
    "Qwen2.5": Family(template=QWEN25, special=_IM, named=_IM_NAMED, layout="qwen2"),
    "Qwen3": Family(template=QWEN3, special=_IM, named=_IM_NAMED, layout="qwen3"),
    "Llama 2": Family(template=LLAMA2, special=_S, named=_S_NAMED, sentencepiece=True),
    "Llama 3": Family(
        template=LLAMA3,
        special=(
            "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"
        ),
        named={"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    ),
    "Mistral": Family(template=MISTRAL, special=_S, named=_S_NAMED, sentencepiece=True, system=False),
    "Gemma": Family(
        template=GEMMA,
        special=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        named={"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
        sentencepiece=True,
        system=False,
    ),
    "Phi-3": Family(
        template=PHI3,
        special=(*_S, "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        named={"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"},
        sentencepiece=True,
        strips=True,
    ),
    "Zephyr": Family(
        template=ZEPHYR, special=_S, named={**_S_NAMED, "pad_token": "</s>"}, sentencepiece=True
    ),
    "Zephyr for training": Family(
        template=ZEPHYR_FOR_TRAINING, special=_S, named=_S_NAMED, sentencepiece=True
    ),
    "Hone's own": Family(
        template=PLAIN_TEMPLATE,
        special=("<|endoftext|>", "<|pad|>"),
        named={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
    ),
}  # fmt: skip


TRAINING_MARKS: dict[str, tuple[str, str]] = {
    "ChatML": (
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}",
        (
            "{{ '<|im_start|>' + message['role'] + '\n' }}"
            "{% if message['role'] == 'assistant' %}"
            "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
            "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}"
        ),
    ),
    "SmolLM2": (
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}",
        (
            "{{ '<|im_start|>' + message['role'] + '\n' }}"
            "{% if message['role'] == 'assistant' %}"
            "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
            "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}"
        ),
    ),
    "Qwen2.5": (
        """{{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}""",
        (
            "{{- '<|im_start|>' + message.role + '\\n' }}"
            "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
        ),
    ),
    "Llama 2": (
        "{{ ' ' + content.strip() + ' ' + eos_token }}",
        "{% generation %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endgeneration %}",
    ),
    "Llama 3": (
        "{{ content }}",
        (
            "{% if message['role'] == 'assistant' %}"
            "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
            "{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
            "{% else %}{{ content }}{% endif %}"
        ),
    ),
    "Mistral": (
        "{{ message['content'] + eos_token + ' ' }}",
        "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ ' ' }}",
    ),
    "Gemma": (
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}",
        (
            "{{ '<start_of_turn>' + role + '\n' }}"
            "{% if role == 'model' %}"
            "{% generation %}{{ message['content'] | trim + '<end_of_turn>' }}{% endgeneration %}"
            "{% else %}{{ message['content'] | trim + '<end_of_turn>' }}{% endif %}{{ '\n' }}"
        ),
    ),
    "Phi-3": (
        "{{ '<|assistant|>\n' + message['content'] + '<|end|>\n' }}",
        (
            "{{ '<|assistant|>\n' }}"
            "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}{{ '\n' }}"
        ),
    ),
    "Zephyr": (
        "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}",
        (
            "{{ '<|assistant|>\\n' }}"
            "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '' }}"
        ),
    ),
}
"""What writes a turn of the assistant in a template, and the same with the mark of what is generated."""


def family_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """A small tokenizer of the kind that the family is published with."""
    texts = [
        "Why is the sky blue? Because light scatters, and blue light most.\n",
        "You are helpful. 1984 🙂",
    ]
    if family.sentencepiece:
        backend = Backend(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        backend.normalizer = normalizers.Replace(" ", "▁")
        if family.special == _S:
            backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), backend.normalizer])
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
        backend.train_from_iterator(
            texts * 3,
            trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", *byte_tokens], show_progress=False),
        )
        content = json.loads(backend.to_str())
        content["added_tokens"] = content["added_tokens"][:1]  # bytes are words like others
        backend = Backend.from_str(json.dumps(content))
    else:
        backend = Backend(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        backend.train_from_iterator(
            texts * 3,
            trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False),
        )
    backend.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False, rstrip=family.strips and token.startswith("<|"))
            for token in family.special
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=family.template, **family.named)


def save_chat_folder(folder: Path, family: Family, *, context: int = 256) -> PreTrainedTokenizerFast:
    """Save a random tiny model of the family's layout with its tokenizer, as `transformers` does."""
    tokenizer = family_tokenizer(family)
    ids: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = random_model(family.layout, vocab_size=len(tokenizer), max_position_embeddings=context, **ids)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def conversation(*contents: str, system: str = "") -> list[Message]:
    """A conversation in which user and assistant take turns, after a system message if there is one."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for place, content in enumerate(contents):
        messages.append({"role": "assistant" if place % 2 else "user", "content": content})
    return messages
