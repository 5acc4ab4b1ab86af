"""`causal` of a study: what it needs is measured by the same study, or it is refused."""

from __future__ import annotations

import pytest

from attention_wavelets.config.compose import compose
from attention_wavelets.config.slices import slices
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.jobs import Needs
from attention_wavelets.resources.memory import MIB, WAVES_BYTES
from helpers.tiny_study import ROOT

CONF = ROOT / "conf"


def test_a_slice_per_model_holds_what_is_changed_and_no_names():
    made = slices(compose(["study=bands"], CONF))
    found = made["causal/smollm2-135m/enwiki-96"]
    assert found["band_edges"] == [0.25, 0.75]
    assert found["probe"] == "received"
    assert (found["condition"], found["repeated"]) == ("full", "repeated")
    assert not {"models", "corpus", "protocol"} & set(found)
    assert not [name for name in slices(compose([], CONF)) if name.startswith("causal/")]


@pytest.mark.parametrize("study", ["bands", "ladder_gpu"])
def test_models_with_many_heads_lose_one_to_ten_percent_of_them(study: str):
    asked = compose([f"study={study}"], CONF).study.causal
    assert asked.shares == [0.01, 0.02, 0.05, 0.1]
    assert asked.draws == 5, "ranks in steps of a fifth"


BAD = {
    "study.causal.models=[smollm2]": "unknown model of `causal` 'smollm2'; did you mean "
    "'smollm2-135m'?",
    "study.causal.corpus=enwiki-256": "causal: band shares of enwiki-256 / paper / full are not "
    "measured",
    "study.causal.condition=half": "causal: band shares of enwiki-96 / paper / half are not "
    "measured",
    "study.causal.protocol=rigorous": "causal: band shares of enwiki-96 / rigorous / full are not",
    "study.facts=[]": "causal: facts locality and sink of enwiki-96 under full are not asked for",
    "study.causal.repeated=full": "causal: fact repeats of enwiki-96 under full is not asked for",
    "study.causal.draws=1": "causal.draws: input should be greater than or equal to 2, got 1",
    "study.causal.shares=[2]": "causal.shares.0: input should be less than 1, got 2",
    "corpus.enwiki-96.sequences.count=1 corpus.enwiki-96.sequences.min_documents=1": "causal: "
    "enwiki-96 has one sequence; every second one is changed",
    "study.causal.replacements=[median]": "causal.replacements.0: 'median' is not allowed",
}


@pytest.mark.parametrize("override", BAD)
def test_what_cannot_be_told_is_refused(override: str):
    with pytest.raises(PipelineError) as raised:
        compose(["study=bands", *override.split()], CONF)
    assert "conf/study/bands.yaml" in str(raised.value)
    assert BAD[override] in str(raised.value)


def test_more_changes_ask_for_more_time():
    few, many = (
        Needs(compose(["study=bands", f"study.causal.draws={draws}"], CONF), lambda _: None)
        for draws in (2, 50)
    )
    arguments = ("smollm2-135m", "enwiki-96", 2)
    assert many.changing(*arguments).runtime > few.changing(*arguments).runtime
    # The transforms of rows are in memory as well.
    more = few.changing(*arguments).mem_mb - few.extraction(*arguments).mem_mb
    assert more == WAVES_BYTES // MIB
