from training.rlhf.tuning.sanity_checks import SanityChecks

HEALTHY = {"kl": 3.0, "logprob_error": 1e-5, "frac_reward_zero_std": 0.0, "completions/clipped_ratio": 0.0}


def notes(*, best_step: int = 5, stop_reason: str = "steps", **changes: float) -> str:
    sanity_checks = SanityChecks(kl_budget=10.0)
    for _ in range(3):
        sanity_checks.update(HEALTHY | {name.replace("__", "/"): value for name, value in changes.items()})
    return " ".join(sanity_checks.notes(best_step=best_step, stop_reason=stop_reason))


def test_a_healthy_run_has_nothing_to_say() -> None:
    assert notes() == ""
    assert notes(kl=-0.4) == ""  # noise around 0, as in the first steps


def test_each_ill_is_named_with_its_likely_cause() -> None:
    assert "temperature" in notes(kl=-2.0)
    assert "lower learning_rate, or raise kl_coefficient" in notes(kl=25.0)
    assert "dropout" in notes(logprob_error=0.3)
    assert "nothing was learned" in notes(frac_reward_zero_std=0.8)
    assert "raise max_new_tokens" in notes(completions__clipped_ratio=0.9)
    assert "gradient became infinite" in notes(stop_reason="diverged")
    assert "initial policy was kept" in notes(best_step=0)
