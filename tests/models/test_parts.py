"""The encoder of an encoder-decoder, measured alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from attention_wavelets.attention.capture import capturing
from attention_wavelets.attention.start_up import check_capture
from attention_wavelets.config.schema import Model
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.fetch import fetch_model
from attention_wavelets.models.load import load_model


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A T5 of 3 + 2 layers whose relative bias is far from 0, as a trained one's is."""
    torch.manual_seed(3)
    config = transformers.T5Config(
        vocab_size=30,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    model = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.mul_(30 if "relative_attention_bias" in name else 3)
    folder = tmp_path_factory.mktemp("t5")
    model.save_pretrained(folder)
    for file in tiny_llama.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder, model


@pytest.fixture
def encoder(whole, model_at) -> dict[str, Any]:
    return fetch_model("t5", model_at(whole[0], part="encoder"))


def test_facts_are_those_of_the_encoder(encoder, whole):
    facts = encoder["facts"]
    assert (facts["layers"], facts["heads"], facts["head_size"]) == (3, 4, 8)
    assert facts["position_encoding"] == "relative_bias"
    assert facts["causal"] is False
    own = {id(p): p.numel() for p in whole[1].get_encoder().parameters()}
    assert facts["parameters"] == sum(own.values())


def test_captured_attention_is_that_of_the_encoder_in_the_whole_model(encoder, whole):
    ids = torch.randint(4, 30, (2, 24), generator=torch.Generator().manual_seed(0))
    model = load_model(encoder)
    assert check_capture(model, ids.numpy(), causal=False, layers=3) == "interface"
    parts: dict[str, list[torch.Tensor]] = {}
    names = {module: name for name, module in model.named_modules()}

    def keep(rows):
        parts.setdefault(names[rows.call.module], []).append(rows.probabilities.clone())

    with torch.inference_mode(), capturing(model, keep, chunk_bytes=2000):
        model(input_ids=ids)
    eager = copy.deepcopy(whole[1])
    eager.set_attn_implementation("eager")
    asked = {"input_ids": ids, "output_attentions": True}
    with torch.inference_mode():
        rounded = eager.get_encoder()(**asked).attentions
        exact = eager.double().get_encoder()(**asked).attentions
    assert len(parts) == len(exact) == 3
    # Logits of this model are large: how much float32 loses differs between processors, but the
    # capture loses no more than eager attention does.
    for found, other, truth in zip(parts.values(), rounded, exact, strict=True):
        lost = float((torch.cat(found, 2) - truth).abs().max())
        assert lost < 2 * float((other - truth).abs().max()) < 1e-4
    # A bias that decides: attention is neither even nor the same for every distance.
    assert float(exact[0].amax(-1).mean()) > 0.3


def test_without_a_part_an_encoder_decoder_is_refused_with_what_to_write(whole, model_at):
    with pytest.raises(PipelineError, match="not supported whole; write `part: encoder`"):
        fetch_model("t5", model_at(whole[0]))


def test_an_untrained_twin_of_an_encoder_is_one(whole, model_at):
    base = model_at(whole[0], part="encoder")
    source = {"kind": "untrained", "of": "t5", "seed": 0, "initializer_range": 0.05}
    twin = fetch_model("twin", model_at(source), base)
    model = load_model(twin)
    assert type(model).__name__ == "T5EncoderModel"
    assert len(model.encoder.block) == 3


def test_a_part_that_is_none_is_refused():
    source = {"kind": "hub", "repository": "a/b"}
    with pytest.raises(ValueError, match="encoder"):
        Model.model_validate({"label": "x", "source": source, "licence": "MIT", "part": "decoder"})
