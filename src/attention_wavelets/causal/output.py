"""Whether the table of tokens alone makes a model's logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from attention_wavelets.attention.inputs import token_inputs
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.quiet import quiet, translated

__all__ = ["refuse_other_output"]

# Positions whose logits are compared: enough to see a factor, and cheap with any vocabulary.
_COMPARED = 16
_ADVICE = "leave it out of study.causal.models"


def refuse_other_output(model: nn.Module, ids: NDArray[np.integer[Any]], where: str) -> None:
    """Refuse a model whose logits are not its last states times its table of tokens.

    A base model has no output layer. The family's own class for the next token is built around it
    without memory for weights, and its logits are compared with those that `sequence_losses` takes:
    factors (`logit_scale`, `logits_scaling`), caps and biases make them differ.

    Parameters
    ----------
    model
        A base model.
    ids
        (sequence, position); the first 16 positions of the first sequence are run.
    where
        How an error names the model.

    Raises
    ------
    PipelineError
        The output layer is not the table of tokens, or something comes after it.
    """
    config: Any = model.config
    text = config.get_text_config()
    # In half precision a cap can be smaller than the rounding of small logits: it is asked for.
    if not getattr(text, "tie_word_embeddings", False) or getattr(
        text, "final_logit_softcapping", None
    ):
        raise PipelineError(
            "its output layer is not its table of tokens alone, so that its loss is not known here",
            where,
            _ADVICE,
        )
    tokens: Any = model
    table = tokens.get_input_embeddings().weight
    with translated("its family's class for the next token cannot be run", where, _ADVICE):
        whole = _around(model, table)
        states: list[Tensor] = []
        handle = model.register_forward_hook(
            lambda _module, _given, found: states.append(found.last_hidden_state)
        )
        try:
            with torch.inference_mode():
                logits = whole(**token_inputs(model, ids[:1, :_COMPARED])).logits
                plain = functional.linear(states[0], table)
        finally:
            handle.remove()
    # Both are one product of the same numbers, which rounding of the type alone can tell apart.
    plain, logits = plain.float(), logits.float()
    room = torch.finfo(table.dtype).eps * float(plain.abs().max())
    if logits.shape != plain.shape or not float((logits - plain).abs().max()) <= room:
        raise PipelineError(
            f"{type(whole).__name__} scales, caps or shifts what its table of tokens gives, so "
            "that its loss is not known here",
            where,
            _ADVICE,
        )


def _around(model: nn.Module, table: Tensor) -> Any:
    """The family's class for the next token, with this base model and table and no other weight."""
    from transformers import AutoModelForCausalLM

    with quiet(), torch.device("meta"):
        whole: Any = AutoModelForCausalLM.from_config(model.config, trust_remote_code=False)
    setattr(whole, whole.base_model_prefix, model)
    whole.get_output_embeddings().weight = table
    # What is left without memory, such as a bias, is no part of a base model: running it fails.
    return whole.eval()
