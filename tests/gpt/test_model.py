import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from tests.gpt.tiny_models import LAYOUTS, tiny_model
from training.gpt.generation.decoding import pad_left
from training.gpt.model import GPT, KVCache, RMSNorm, apply_rotary, single_query_attention, squared_relu

layouts = pytest.mark.parametrize("layout", LAYOUTS)


def some_tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(23, (rows, length), generator=torch.Generator().manual_seed(1))


@layouts
def test_the_number_of_parameters_has_a_closed_form(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    assert model.config.parameters == sum(weight.numel() for weight in model.parameters())


@layouts
@torch.inference_mode()
def test_no_token_sees_a_later_one(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    tokens = some_tokens(2, 20)
    changed = tokens.clone()
    changed[:, 12] = (changed[:, 12] + 1) % 23
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-2)


@layouts
@torch.inference_mode()
def test_order_matters(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    one, other = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[4, 3, 5, 6]])
    assert not torch.allclose(model(one)[:, -1], model(other)[:, -1], atol=1e-2)


@layouts
@pytest.mark.parametrize("chunks", [[20], [1] * 20, [7, 1, 1, 9, 2]])
@torch.inference_mode()
def test_cached_logits_equal_uncached_ones(layout: str, chunks: list[int]) -> None:
    model = tiny_model(**LAYOUTS[layout])
    tokens = some_tokens(3, 20)
    cache = KVCache(model, rows=3, capacity=20)
    pieces = [model(piece, cache=cache) for piece in torch.split(tokens, chunks, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-4, rtol=1e-4)
    assert cache.length == 20


@layouts
@torch.inference_mode()
def test_padded_logits_equal_unpadded_ones(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    rows = [some_tokens(1, length)[0].tolist() for length in (3, 11, 1, 17)]
    tokens, padding = pad_left(rows, pad_id=1, device=model.device)
    together = model(tokens, padding=padding)
    assert together.isfinite().all()
    for row, pads, logits in zip(rows, padding, together, strict=True):
        torch.testing.assert_close(logits[pads:], model(torch.tensor([row]))[0], atol=1e-4, rtol=1e-4)


@layouts
@torch.inference_mode()
def test_a_padded_cache_can_be_read_on_and_rearranged(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    rows = [some_tokens(1, length)[0].tolist() for length in (4, 9)]
    tokens, padding = pad_left(rows, pad_id=1, device=model.device)
    cache = KVCache(model, rows=2, capacity=12)
    model(tokens, cache=cache, padding=padding)
    cache.select(torch.tensor([1, 0, 0]))
    after = model(torch.tensor([[5], [6], [7]]), cache=cache)[:, -1]
    for row, token, logits in zip([rows[1], rows[0], rows[0]], [5, 6, 7], after, strict=True):
        torch.testing.assert_close(logits, model(torch.tensor([[*row, token]]))[0, -1], atol=1e-4, rtol=1e-4)


def test_grouped_heads_equal_full_heads_with_repeated_keys_and_values() -> None:
    grouped = tiny_model(kv_heads=2)
    full = tiny_model()
    weights = grouped.state_dict()
    for name in [name for name in weights if name.endswith("qkv.weight")]:
        query, key, value = weights[name].split([32, 16, 16])
        wide = [part.view(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32) for part in (key, value)]
        weights[name] = torch.cat([query, *wide])
    full.load_state_dict(weights)
    tokens = some_tokens(2, 9)
    torch.testing.assert_close(full(tokens), grouped(tokens), atol=1e-4, rtol=1e-4)


def test_the_gain_of_queries_sharpens_attention() -> None:
    model = tiny_model(layers=1, heads=1)
    tokens = some_tokens(1, 8)
    before = model(tokens)
    with torch.no_grad():
        model.get_parameter("blocks.0.attention.query_norm.weight").zero_()
    flat = model(tokens)
    assert not torch.allclose(before, flat, atol=1e-2)
    # Without queries all tokens get the same attention: the order of what came before is lost.
    swapped = tokens[:, [3, 1, 2, 0, 4, 5, 6, 7]]
    torch.testing.assert_close(model(swapped)[:, -1], flat[:, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bias", ["none", "qkv", "attention", "all"])
def test_biases_are_where_they_are_said_to_be(bias: str) -> None:
    model = tiny_model(norm="layer", bias=bias, tied=False)
    ends = ("qkv.bias", "attention.out.bias", "up.bias", "down.bias", "norm.bias")
    there = [end for end in ends if any(name.endswith(end) for name in model.state_dict())]
    count = {"none": 0, "qkv": 1, "attention": 2, "all": 5}[bias]
    assert there == list(ends[:count])
    assert model.config.parameters == sum(weight.numel() for weight in model.parameters())


def test_stretched_positions_turn_more_slowly() -> None:
    plain = tiny_model()
    stretched = tiny_model(rotary_scaling="linear", rotary_factor=2.0)
    torch.testing.assert_close(stretched.rotation[::2], plain.rotation[:16])


def test_llama_3_stretches_only_the_long_wavelengths() -> None:
    shape = {"heads": 1, "width": 64, "rotary_base": 1e4, "rotary_context": 64}
    plain = tiny_model(**shape)
    stretched = tiny_model(**shape, rotary_scaling="llama3", rotary_factor=8.0)
    angles, slower = (torch.asin(model.rotation[1, :, 1]) for model in (plain, stretched))
    wavelengths = 2 * torch.pi / angles
    short, long = wavelengths < 64 / 4, wavelengths > 64
    torch.testing.assert_close(slower[short], angles[short])
    torch.testing.assert_close(slower[long], angles[long] / 8)
    between = ~short & ~long
    assert between.any()
    assert (slower[between] < angles[between]).all()
    assert (slower[between] > angles[between] / 8).all()


def test_tied_embeddings_are_one_tensor() -> None:
    model = tiny_model()
    assert model.head.weight is model.embedding.weight
    assert tiny_model(tied=False).head.weight is not tiny_model(tied=False).embedding.weight


def test_rotary_attention_knows_only_distances() -> None:
    model = tiny_model()
    tokens = some_tokens(1, 6)
    before = model(tokens)
    # The same text five places further on.
    model.rotation = model.rotation.roll(-5, 0)
    torch.testing.assert_close(model(tokens), before, atol=1e-4, rtol=1e-4)


def test_real_arithmetic_turns_as_complex_arithmetic_does() -> None:
    x, angles = torch.randn(2, 5, 3, 8), torch.randn(5, 1, 4)
    rotation = torch.stack((angles.cos(), angles.sin()), dim=-1)
    compiled = torch.compile(apply_rotary, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, rotation), apply_rotary(x, rotation))
    for pair in range(4):
        turn = torch.tensor(
            [
                [angles[1, 0, pair].cos(), -angles[1, 0, pair].sin()],
                [angles[1, 0, pair].sin(), angles[1, 0, pair].cos()],
            ]
        )
        expected = turn @ x[0, 1, 2, 2 * pair : 2 * pair + 2]
        torch.testing.assert_close(apply_rotary(x, rotation)[0, 1, 2, 2 * pair : 2 * pair + 2], expected)


def test_the_derivative_of_the_squared_relu_is_right() -> None:
    x = torch.randn(40, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(squared_relu(x), x.clamp_min(0) ** 2)
    assert torch.autograd.gradcheck(squared_relu, (x,))


def test_one_query_attends_as_the_general_product_does() -> None:
    query, key, value = torch.randn(3, 6, 1, 4), torch.randn(3, 2, 7, 4), torch.randn(3, 2, 7, 4)
    mask = torch.rand(3, 1, 1, 7) > 0.3
    mask[..., -1] = True
    for allowed in (None, mask):
        expected = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, enable_gqa=True)
        torch.testing.assert_close(single_query_attention(query, key, value, allowed), expected)


def test_more_tokens_than_the_context_are_refused() -> None:
    with pytest.raises(ValueError, match="33 tokens do not fit a context of 32"):
        tiny_model()(some_tokens(1, 33))


def test_dropout_acts_in_training_only() -> None:
    model: GPT = tiny_model(dropout=0.5)
    tokens = some_tokens(1, 8)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


def test_the_derivative_of_the_root_mean_square_norm_is_right() -> None:
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(8, dtype=torch.float64, requires_grad=True)

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = RMSNorm.apply(x, weight, 1e-5)  # type: ignore[no-untyped-call]
        return found

    torch.testing.assert_close(norm(x, weight), torch.nn.functional.rms_norm(x, (8,), weight, 1e-5))
    assert torch.autograd.gradcheck(norm, (x, weight))
