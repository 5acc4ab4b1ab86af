"""Manifest, facts and loading of models in local folders; twins; damaged files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from attention_wavelets.errors import PipelineError
from attention_wavelets.models.fetch import fetch_model
from attention_wavelets.models.load import load_config, load_model, load_tokenizer
from attention_wavelets.models.locate import locate_files
from attention_wavelets.sources.cache import sha256_of


@pytest.fixture
def copied(tiny_llama, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def test_manifest_of_a_rotary_model_states_its_architecture(tiny_llama, model_at):
    manifest = fetch_model("tiny", model_at(tiny_llama, tuning="instruct"))
    json.dumps(manifest, allow_nan=False)
    embedding, block = 30 * 32, 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    assert manifest["facts"] == {
        "parameters": embedding + 2 * block + 32,
        "non_embedding_parameters": 2 * block + 32,
        "layers": 2,
        "heads": 4,
        "key_value_heads": 2,
        "head_size": 8,
        "hidden_size": 32,
        "position_encoding": "rotary",
        "rotary_fraction": 1.0,
        "rotary_frequencies": 4,
        "rotary_base": 10000.0,
        "rotary_layers": [True, True],
        "attention_window": [None, None],
        "causal": True,
        "max_positions": 64,
        "vocabulary_size": 30,
        "model_type": "llama",
        "architecture": "LlamaModel",
        "input": {"kind": "tokens"},
        "special_tokens": {"bos": None, "cls": None, "sep": None, "adds": []},
    }
    assert (manifest["tuning"], manifest["untrained"]) == ("instruct", None)


def test_manifest_of_a_bidirectional_model_states_its_special_tokens(tiny_bert, model_at):
    facts = fetch_model("tiny", model_at(tiny_bert))["facts"]
    assert facts["position_encoding"] == "learned_absolute"
    assert facts["causal"] is False
    assert facts["rotary_frequencies"] is None
    assert facts["special_tokens"]["adds"] == ["[CLS]", "[SEP]"]


def test_manifest_lists_sha256_and_size_of_every_file(tiny_llama, model_at):
    files = fetch_model("tiny", model_at(tiny_llama))["files"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {f["name"] for f in files}
    for entry in files:
        path = tiny_llama / entry["name"]
        assert entry["path"] == str(path.resolve())
        assert (entry["sha256"], entry["size"]) == (sha256_of(path), path.stat().st_size)


def test_an_edited_local_file_is_a_new_revision(copied, model_at):
    before = fetch_model("tiny", model_at(copied))["revision"]
    _edit(copied, rms_norm_eps=0.001)
    assert fetch_model("tiny", model_at(copied))["revision"] != before


def test_a_model_spread_over_what_is_there_computes_the_same(tiny_llama, model_at):
    manifest = fetch_model("tiny", model_at(tiny_llama))
    ids = torch.arange(3, 20)[None]
    spread, plain = load_model(manifest, device="spread"), load_model(manifest)
    assert set(spread.hf_device_map.values()) <= {"cpu", *range(torch.cuda.device_count())}
    with torch.inference_mode():
        expected = plain(input_ids=ids).last_hidden_state
        torch.testing.assert_close(spread(input_ids=ids).last_hidden_state.cpu(), expected)


def test_loaded_weights_are_those_of_the_file_in_evaluation_mode(tiny_llama, model_at):
    from safetensors.numpy import load_file

    model = load_model(fetch_model("tiny", model_at(tiny_llama)))
    stored = load_file(tiny_llama / "model.safetensors")
    assert not model.training
    for key, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), stored[key])


def test_model_has_the_dtype_and_attention_asked_for(tiny_llama, model_at):

    manifest = fetch_model("tiny", model_at(tiny_llama, dtype="bfloat16"))
    model = load_model(manifest, attn_implementation="eager")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    # As with transformers itself: rounded frequencies would rotate far positions elsewhere.
    tables = [b for name, b in model.named_buffers() if name.endswith("inv_freq")]
    assert tables
    assert {table.dtype for table in tables} == {torch.float32}
    assert model.config._attn_implementation == "eager"


def test_config_and_tokenizer_load_from_the_manifest(tiny_bert, model_at):
    manifest = fetch_model("tiny", model_at(tiny_bert))
    assert load_config(manifest).num_attention_heads == 4
    assert load_tokenizer(manifest)("a b")["input_ids"] == [2, 4, 5, 3]


def test_loading_writes_nothing_to_the_terminal(tiny_bert, model_at, capfd):
    load_model(fetch_model("tiny", model_at(tiny_bert)))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_a_missing_pooler_is_accepted(tiny_bert, model_at, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "headless"))
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if not k.startswith("pooler")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_model(fetch_model("tiny", model_at(folder))).pooler is not None


def test_a_missing_weight_is_an_error_that_names_it(copied, model_at):
    from safetensors.numpy import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    del weights["layers.1.self_attn.q_proj.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PipelineError, match=r"layers\.1\.self_attn\.q_proj\.weight"):
        load_model(fetch_model("tiny", model_at(copied)))


def test_nan_in_a_weight_is_an_error_that_names_it(copied, model_at):
    from safetensors.numpy import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    weights["layers.0.mlp.up_proj.weight"][3, 4] = np.nan
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    manifest = fetch_model("tiny", model_at(copied))
    with pytest.raises(PipelineError, match=r"NaN or infinity in weight layers\.0\.mlp\.up_proj"):
        load_model(manifest)


def test_a_config_that_disagrees_with_the_weights_is_an_error(copied, model_at):
    _edit(copied, hidden_size=64, head_dim=16)
    with pytest.raises(PipelineError, match="tiny"):
        load_model(fetch_model("tiny", model_at(copied)))


@pytest.mark.parametrize("keep", [4, 2000])
def test_a_truncated_safetensors_file_is_an_error(copied, model_at, keep):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PipelineError, match=r"model\.safetensors\): damaged safetensors file"):
        fetch_model("tiny", model_at(copied))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64, b"no"])
def test_a_damaged_gguf_file_is_an_error_of_one_line(tmp_path, model_at, content):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"broken\.gguf") as caught:
        fetch_model("tiny", model_at(path))
    assert "damaged GGUF file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_type_is_an_error_that_names_it(copied, model_at):
    _edit(copied, model_type="lllama")
    with pytest.raises(PipelineError, match=r"model_type 'lllama'") as caught:
        fetch_model("tiny", model_at(copied))
    assert "config.json" in str(caught.value)
    assert len(str(caught.value)) < 700


def test_code_shipped_with_a_model_is_never_run(copied, model_at, tmp_path):
    trace = tmp_path / "ran"
    (copied / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    _edit(copied, model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModel": "evil.M"})
    with pytest.raises(PipelineError):
        fetch_model("tiny", model_at(copied))
    assert not trace.exists()


@pytest.mark.parametrize("field", ["num_attention_heads", "num_hidden_layers", "model_type"])
def test_a_config_without_a_needed_field_is_an_error(copied, model_at, field):
    _edit(copied, **{field: None})
    with pytest.raises(PipelineError, match=field):
        fetch_model("tiny", model_at(copied))


def test_an_encoder_decoder_is_an_error(copied, model_at):
    _edit(copied, model_type="t5", is_encoder_decoder=True)
    with pytest.raises(PipelineError, match="encoder-decoder"):
        fetch_model("tiny", model_at(copied))


def test_a_folder_with_only_pickled_weights_is_an_error(copied, model_at):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(PipelineError, match="only pickled weights"):
        fetch_model("tiny", model_at(copied))


def test_a_missing_folder_is_an_error(tmp_path, model_at):
    with pytest.raises(PipelineError, match="missing"):
        fetch_model("tiny", model_at(tmp_path / "nowhere"))


def test_a_file_that_changed_after_the_fetch_is_noticed(copied, model_at):
    manifest = fetch_model("tiny", model_at(copied))
    assert set(locate_files(manifest)) == {entry["name"] for entry in manifest["files"]}
    (copied / "model.safetensors").write_bytes(b"short")
    with pytest.raises(PipelineError, match="delete the manifest and run again"):
        load_model(manifest)


def _twin(seed: int, **more: object) -> dict:
    return {"kind": "untrained", "of": "base", "seed": seed, **more}


def test_twin_weights_have_the_given_standard_deviation(tiny_llama, model_at):
    twin = model_at(_twin(0, initializer_range=0.2))
    manifest = fetch_model("twin", twin, model_at(tiny_llama))
    weights = [p.detach().numpy() for p in load_model(manifest).parameters() if p.ndim == 2]
    drawn = np.concatenate([w.ravel() for w in weights])
    # About 15000 draws: the standard error of their deviation is below 0.6 %.
    np.testing.assert_allclose(drawn.std(), 0.2, rtol=0.03)
    np.testing.assert_allclose(drawn.mean(), 0.0, atol=0.01)


def test_twin_takes_the_standard_deviation_of_config_json(tiny_llama, model_at):
    manifest = fetch_model("twin", model_at(_twin(0)), model_at(tiny_llama))
    assert manifest["untrained"] == {"of": "base", "seed": 0, "initializer_range": 0.05}
    weight = load_model(manifest).layers[0].mlp.up_proj.weight.detach().numpy()
    np.testing.assert_allclose(weight.std(), 0.05, rtol=0.1)


def test_twin_without_any_standard_deviation_is_an_error(copied, model_at):
    _edit(copied, initializer_range=None)
    with pytest.raises(PipelineError, match="initializer_range"):
        fetch_model("twin", model_at(_twin(0)), model_at(copied))


def test_twin_has_the_facts_of_its_base_and_needs_no_weights(copied, model_at):
    base = fetch_model("base", model_at(copied))
    (copied / "model.safetensors").unlink()
    twin = fetch_model("twin", model_at(_twin(0)), model_at(copied))
    assert twin["facts"] == base["facts"]
    assert not any(entry["name"].endswith(".safetensors") for entry in twin["files"])


def test_twin_of_a_twin_is_an_error(model_at):
    with pytest.raises(PipelineError, match="itself untrained"):
        fetch_model("twin", model_at(_twin(0)), model_at(_twin(1)))


def test_twin_of_nothing_is_an_error(model_at):
    with pytest.raises(PipelineError, match="'base' is not configured"):
        fetch_model("twin", model_at(_twin(0)))


def test_twin_weights_follow_from_the_seed_alone(tiny_llama, model_at):

    base = model_at(tiny_llama)
    threads, drawn = torch.get_num_threads(), []
    try:
        # Same seed under one and two threads and another global state, then another seed.
        for seed, count in ((0, 1), (0, 2), (1, 1)):
            torch.set_num_threads(count)
            torch.manual_seed(count)
            before = torch.get_rng_state()
            model = load_model(fetch_model("twin", model_at(_twin(seed)), base))
            assert torch.equal(torch.get_rng_state(), before)
            drawn.append(np.concatenate([p.detach().ravel() for p in model.parameters()]))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.corrcoef(drawn[0][:900], drawn[2][:900])[0, 1] < 0.2


def test_fetch_modules_import_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, attention_wavelets.models.fetch, attention_wavelets.models.load, "
        "attention_wavelets.sources; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
