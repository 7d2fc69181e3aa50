"""Tuning of policies: policy gradient, DPO and SFT, with held-out evaluation and early stopping."""
