"""Models in the folders of Hugging Face `transformers`, in both directions, without `transformers`.

`families`: what their `config.json` says; `tensors`: which of their tensors is which of ours; `vocabularies`:
their tokenizers; `centring`: LayerNorm as RMSNorm, which is what rotary families have; `folders`: whole
folders.
"""
