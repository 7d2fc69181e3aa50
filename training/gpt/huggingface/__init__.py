"""Import and export of Hugging Face model folders, without `transformers`.

`families`: their `config.json`, with `fields` and `rotary`; `weights`: how their tensors map to ours;
`tokenizers`: their tokenizer files, with `added_tokens` and `chat_templates`; `layernorm_to_rmsnorm`:
LayerNorm models as RMSNorm ones, which the rotary families have;
`import_export`: complete folders.
"""
