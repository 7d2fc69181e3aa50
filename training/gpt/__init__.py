"""A small decoder-only language model in plain PyTorch: corpora, tokenizers, the model, training,
generation."""
