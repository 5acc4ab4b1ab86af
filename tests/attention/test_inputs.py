"""What models of sound and pictures are given, against transformers' own preprocessing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image

from attention_wavelets.attention.extract import run_batch
from attention_wavelets.attention.inputs import model_inputs
from attention_wavelets.attention.probes import get_probe
from attention_wavelets.attention.reducers import Shape
from attention_wavelets.attention.rows import Call, Rows
from attention_wavelets.attention.start_up import check_capture
from attention_wavelets.corpora.media import picture_patches, sound_blocks
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.modality import input_of
from helpers.families import sharpen
from helpers.media import picture, picture_config, sound, sound_config


def encoder(config):
    torch.manual_seed(0)
    model = sharpen(tf.AutoModel.from_config(config))
    with torch.device("meta"):
        shape = tf.AutoModel.from_config(config)
    return model, input_of(shape, config, "test")


@pytest.mark.parametrize("normalise", [True, False])
def test_sound_is_scaled_as_by_the_feature_extractor(normalise):
    model, given = encoder(sound_config("rotary"))
    blocks = np.stack([sound_blocks(sound(seed), 1000, given["hop"])[:50] for seed in range(2)])
    values = model_inputs(model, blocks, {**given, "normalise": normalise})["input_values"]
    extractor = tf.Wav2Vec2FeatureExtractor(sampling_rate=1000, do_normalize=normalise)
    samples = [np.asarray(rows).ravel() for rows in blocks]
    expected = extractor(samples, sampling_rate=1000, return_tensors="pt")["input_values"]
    torch.testing.assert_close(values[:, : expected.shape[1]], expected, rtol=1e-5, atol=1e-5)
    # Silence behind, so that the model has a frame for each position.
    assert not values[:, expected.shape[1] :].any()
    with torch.inference_mode():
        assert model(input_values=values).last_hidden_state.shape[1] == 50


def test_pictures_are_scaled_as_by_the_image_processor():
    model, given = encoder(picture_config())
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pixels = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    content = picture(pixels)
    patches = picture_patches(content, 4, 8)
    whole = np.pad(patches, ((given["special"], 0), (0, 0)))[None]
    scaling = {"mean": mean, "deviation": deviation}
    values = model_inputs(model, whole, {**given, **scaling})["pixel_values"]
    processor = tf.BitImageProcessorPil(
        do_resize=False, do_center_crop=False, image_mean=mean, image_std=deviation
    )
    image = Image.open(io.BytesIO(content))
    expected = processor(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", ["rotary", "relative", None])
def test_attention_to_sound_is_that_of_the_model(positions):
    model, given = encoder(sound_config(positions))
    given = {**given, "normalise": True}
    blocks = np.stack([sound_blocks(sound(seed), 1000, 8)[:40] for seed in range(3)])
    assert check_capture(model, blocks, False, 3, given) == "interface"
    assert_received(model, blocks, given)


def test_attention_to_pictures_is_that_of_the_model():
    model, given = encoder(picture_config())
    given |= {"mean": [0.5] * 3, "deviation": [0.5] * 3}
    random = np.random.default_rng(0)
    shape = (3, 25 + given["special"], 8 * 8 * 3)
    patches = random.random(shape, dtype=np.float32)
    assert check_capture(model, patches, False, 3, given) == "interface"
    assert_received(model, patches, given)


def assert_received(model, numbers, given):
    batch = run_batch(model, numbers, {"received": get_probe("received")}, False, given=given)
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        eager = model(**model_inputs(model, numbers, given), output_attentions=True).attentions
    expected = np.stack([layer.mean(2).numpy() for layer in eager], axis=1)
    assert batch.signals["received"].shape == expected.shape
    np.testing.assert_allclose(batch.signals["received"], expected, atol=1e-5)


def test_positions_that_the_model_does_not_have_are_seen_at_the_start():
    model, given = encoder(sound_config("rotary"))
    blocks = np.zeros((1, 40, 8), dtype=np.float32)
    with pytest.raises(PipelineError, match="attention has 31 positions, the sequence 32"):
        check_capture(model, blocks, False, 3, {**given, "normalise": True, "window": 8})


def test_lags_of_pictures_leave_special_positions_out():
    """As if [CLS] and registers were no part of the matrix."""
    random = np.random.default_rng(0)
    matrix = torch.from_numpy(random.dirichlet(np.ones(23), (1, 2, 23)))[0][None]
    spec = get_probe("lag")

    def signal(part, skip):
        size = part.shape[2]
        reducer = spec.reducer(Shape(size, size, False, skip=skip))
        call = Call(torch.nn.Module(), 1, 2, size, size, False)
        reducer.update(Rows(call, 0, part))
        return reducer.finalize()

    torch.testing.assert_close(signal(matrix, 3), signal(matrix[:, :, 3:, 3:], 0))
    assert len(spec.axis_values(Shape(23, 23, False, skip=3))["lags"]) == 10
