"""What encoders of sound and pictures read, and how they know positions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as tf

from attention_wavelets.errors import PipelineError
from attention_wavelets.models.facts import architecture_facts
from attention_wavelets.models.fetch import fetch_model
from attention_wavelets.models.load import load_model
from attention_wavelets.models.modality import _scaling_of_pictures, _scaling_of_sound
from helpers.media import picture_config, save_encoder, sound_config

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config", "encoding", "given"),
    [
        (sound_config("rotary"), "rotary", {"kind": "sound", "hop": 8, "window": 16}),
        (sound_config("relative"), "relative_bias", {"kind": "sound", "hop": 8, "window": 16}),
        (sound_config(None), "none", {"kind": "sound", "hop": 8, "window": 16}),
        (
            tf.HubertConfig(**SMALL, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2),
            "convolutional",
            {"kind": "sound", "hop": 320, "window": 400},
        ),
        (
            picture_config(),
            "rotary_axial",
            {"kind": "pictures", "patch": 8, "special": 3, "grid": None},
        ),
        (
            tf.Dinov2Config(**SMALL, image_size=56, patch_size=14),
            "learned_absolute",
            {"kind": "pictures", "patch": 14, "special": 1, "grid": None},
        ),
        (
            tf.DeiTConfig(**SMALL, image_size=48, patch_size=16),
            "learned_absolute",
            {"kind": "pictures", "patch": 16, "special": 2, "grid": 3},
        ),
        (tf.LlamaConfig(**SMALL, intermediate_size=48), "rotary", {"kind": "tokens"}),
    ],
)
def test_what_is_read_and_how_positions_are_known(config, encoding, given):
    facts = architecture_facts(config, "test")
    assert (facts["position_encoding"], facts["input"]) == (encoding, given)
    assert facts["causal"] is (given["kind"] == "tokens")
    assert (facts["vocabulary_size"] is None) is (given["kind"] != "tokens")


def test_only_of_one_dimension_frequencies_are_stated():
    keys = ("rotary_fraction", "rotary_frequencies", "rotary_base")
    facts = architecture_facts(sound_config("rotary"), "test")
    assert [facts[key] for key in keys] == [1.0, 4, 10000.0]
    facts = architecture_facts(picture_config(), "test")
    assert [facts[key] for key in keys] == [None] * 3


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (tf.WhisperConfig(is_encoder_decoder=False), "reads 'input_features'"),
        (tf.BeitConfig(**SMALL, image_size=32, patch_size=16), "model_type 'beit' reads"),
        (tf.YolosConfig(**SMALL, image_size=[32, 32]), "an encoder of model_type deit, dinov2"),
        (tf.ViTConfig(**SMALL, image_size=40, patch_size=16), "no square patches that fill"),
        (tf.ViTConfig(**SMALL, image_size=(32, 48)), "no square patches that fill"),
    ],
)
def test_other_models_are_refused(config, words):
    with pytest.raises(PipelineError, match=words):
        architecture_facts(config, "test")


def test_a_manifest_says_how_sound_is_scaled(tmp_path, model_at):
    folder = save_encoder(
        tmp_path / "m", sound_config("rotary"), sampling_rate=16000, do_normalize=True
    )
    manifest = fetch_model("tiny", model_at(folder))
    json.dumps(manifest, allow_nan=False)
    expected = {"kind": "sound", "hop": 8, "window": 16, "rate": 16000, "normalise": True}
    assert manifest["facts"]["input"] == expected
    assert "special_tokens" not in manifest["facts"]
    assert "preprocessor_config.json" in [file["name"] for file in manifest["files"]]
    assert type(load_model(manifest)).__name__ == "Wav2Vec2ConformerModel"


def test_a_fine_tuned_model_is_read_without_its_output_layer(tmp_path, model_at):
    torch.manual_seed(0)
    whole = tf.Wav2Vec2ConformerForCTC(sound_config("rotary", vocab_size=12)).eval()
    whole.save_pretrained(tmp_path / "m")
    scaling = {"sampling_rate": 16000, "do_normalize": True}
    (tmp_path / "m" / "preprocessor_config.json").write_text(json.dumps(scaling))
    base = load_model(fetch_model("tiny", model_at(tmp_path / "m")))
    samples = torch.randn(1, 160)
    with torch.inference_mode():
        expected = whole.wav2vec2_conformer(samples).last_hidden_state
        found = base(samples).last_hidden_state
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_manifest_says_how_pictures_are_scaled(tmp_path, model_at):
    scaling = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    folder = save_encoder(tmp_path / "m", picture_config(), do_normalize=True, **scaling)
    given = fetch_model("tiny", model_at(folder))["facts"]["input"]
    assert (given["mean"], given["deviation"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    given = fetch_model("tiny", model_at(folder))["facts"]["input"]
    assert (given["mean"], given["deviation"]) == ([0.0] * 3, [1.0] * 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no preprocessor_config.json"),
        ("{", "does not say how pictures must be scaled"),
        ("[]", "does not say how pictures must be scaled"),
        ('{"image_std": [1, 1, 1]}', "must be scaled \\('image_mean'\\)"),
        ('{"image_mean": [1, 2], "image_std": [1, 1, 1]}', "image_mean is no list of three"),
        ('{"image_mean": "555", "image_std": [1, 1, 1]}', "image_mean is no list of three"),
        ('{"image_mean": [0, 0, NaN], "image_std": [1, 1, 1]}', "image_mean is no list of three"),
        ('{"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}', "image_std is not above 0"),
        ('{"do_rescale": false, "do_normalize": false}', "colours are not brought"),
        ('{"rescale_factor": 1, "do_normalize": false}', "colours are not brought"),
    ],
)
def test_a_scaling_that_is_not_known_is_an_error(tmp_path, model_at, content, words):
    folder = save_encoder(tmp_path / "m", picture_config())
    path = folder / "preprocessor_config.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(PipelineError, match=words):
        fetch_model("tiny", model_at(folder))


@pytest.mark.parametrize("rate", ["0", "-5", "1e400", "22050.7", "true", '"16000"'])
def test_a_sampling_rate_is_a_number_of_samples(tmp_path, model_at, rate):
    folder = save_encoder(tmp_path / "m", sound_config("rotary"))
    (folder / "preprocessor_config.json").write_text(f'{{"sampling_rate": {rate}}}')
    with pytest.raises(PipelineError, match="sampling_rate is no number of samples"):
        fetch_model("tiny", model_at(folder))


def test_what_is_left_out_has_the_default_of_transformers():
    sound, pictures = {"sampling_rate": 16000}, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    assert _scaling_of_sound(sound)["normalise"]
    assert tf.Wav2Vec2FeatureExtractor.from_dict(sound).do_normalize
    assert _scaling_of_pictures(pictures)["mean"] == [0.5] * 3
    assert tf.BitImageProcessorPil.from_dict(pictures).do_normalize


def test_weights_for_training_alone_may_be_missing(tmp_path, model_at):
    from safetensors.torch import load_file, save_file

    folder = save_encoder(tmp_path / "m", sound_config("rotary"), sampling_rate=16000)
    weights = load_file(folder / "model.safetensors")
    del weights["masked_spec_embed"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert type(load_model(fetch_model("tiny", model_at(folder)))).__name__.startswith("Wav2Vec2")
