"""Generation: from logits to text, by sampling, greedily or by beam search."""
