"""Usual names of columns, from which a row's prompt and samples are found; the first is the one to write."""

CHOSEN = (
    "chosen", "selected", "preferred", "accepted", "chosen_response", "preferred_response",
    "better_response", "response_chosen", "win", "better",
)  # fmt: skip
REJECTED = (
    "rejected", "dispreferred", "non_preferred", "rejected_response", "dispreferred_response",
    "worse_response", "response_rejected", "lose", "worse",
)  # fmt: skip
PROMPTS = ("prompt", "question", "instruction", "query", "input", "context", "history")
COMPLETIONS = (
    "completion",
    "response",
    "answer",
    "output",
    "generation",
    "sample",
    "prediction",
    "candidate",
)
SCORES_CHOSEN = ("score_chosen", "chosen_score", "chosen_rating", "rating_chosen")
SCORES_REJECTED = ("score_rejected", "rejected_score", "rejected_rating", "rating_rejected")
MODELS_CHOSEN = ("model_chosen", "chosen_model", "chosen_generator", "generator_chosen")
MODELS_REJECTED = ("model_rejected", "rejected_model", "rejected_generator", "generator_rejected")
MODELS = ("generator", "model")
