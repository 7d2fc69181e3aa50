import sys
from pathlib import Path

from tiny_model import llama_tensors, write

home = Path(sys.argv[1])
shape = {"vocab": 258, "width": 32, "hidden": 64, "layers": 1, "heads": 2, "kv_heads": 2, "head_dim": 16}
other = llama_tensors(**shape)
write(home / "other-head", tensors=other, tie_word_embeddings=True)
same = llama_tensors(**shape)
same["lm_head.weight"] = same["model.embed_tokens.weight"].clone()
write(home / "same-head", tensors=same, tie_word_embeddings=True)
write(home / "no-head", tensors=llama_tensors(**shape, head=False), tie_word_embeddings=False)
write(home / "unsaid", tensors=llama_tensors(**shape, head=False), tie_word_embeddings=None)
