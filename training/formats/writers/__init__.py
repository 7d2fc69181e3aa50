"""Rows of the formats that other tools read.

Each module makes the rows of one family: `trl`, `llama_factory` and `openai` from comparisons and
demonstrations, `label_studio` and `argilla` from `training.formats.records`.
"""
