"""From conf/ and overrides to one checked experiment.

Hydra composes the study once; the models, corpora, conditions, probes and protocols that the study
names are then read with OmegaConf, because a Hydra compose per member would make every parse slow.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import RootModel

from attention_wavelets.config import claims as claim_schema
from attention_wavelets.config import schema
from attention_wavelets.config.check import check
from attention_wavelets.config.checkpoints import expand, leave_out, read_known
from attention_wavelets.config.media import check_media
from attention_wavelets.config.training import check_recipe, check_trained_texts
from attention_wavelets.config.variants import vary
from attention_wavelets.errors import PipelineError, unknown_name
from attention_wavelets.measures.offered import OFFERED, protocol_measures
from attention_wavelets.measures.registry import Measure

__all__ = [
    "MEMBER_GROUPS",
    "check_member",
    "compose",
    "default_conf",
    "load_member",
    "options",
    "overrides_from_config",
]

MEMBER_GROUPS = ("model", "recipe", "corpus", "condition", "probe", "protocol", "null", "claim")
ROOT_GROUPS = ("study", "statistics", "figure", "runtime")

_CLASSES: dict[str, Any] = {
    "model": schema.Model,
    "recipe": schema.Recipe,
    "corpus": schema.Corpus,
    "condition": schema.Condition,
    "probe": schema.Probe,
    "protocol": schema.Protocol,
    "null": claim_schema.Null,
    "claim": claim_schema.Claim,
    "study": schema.Study,
    "statistics": schema.Statistics,
    "figure": schema.Figure,
    "runtime": schema.Runtime,
    "run": schema.Run,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Interpolations that would make a slice depend on the host or the moment.
_UNSTABLE = re.compile(r"\$\{\s*(hydra|now|oc\.env)\s*:")


def default_conf() -> Path:
    """The conf/ folder: of the current folder, else of the checkout the package runs from."""
    here = Path("conf")
    return here if _is_conf(here) else Path(__file__).parents[3] / "conf"


def _is_conf(folder: Path) -> bool:
    """Other projects have a conf/config.yaml too; ours has these groups beside it."""
    return (folder / "config.yaml").is_file() and all(
        (folder / group).is_dir() for group in ("study", "protocol")
    )


def options(conf: Path, group: str) -> list[str]:
    """Names in one config group, sorted."""
    if not _is_conf(conf):
        raise PipelineError(
            "is no folder of this project's settings",
            str(conf),
            "give --conf, or run from the checkout",
        )
    names = (path.stem for path in (conf / group).glob("*.yaml"))
    return sorted(name for name in names if not name.endswith((".lock", ".known")))


def overrides_from_config(config: Mapping[str, Any]) -> list[str]:
    """Hydra overrides out of Snakemake's `--config`.

    `hydra="a.b=1 c=2"` (or a list) is taken as it stands; the names of config groups choose an
    option (`study=paper`) or hold a mapping (`figure={dpi: 300}`). Anything else is an error.
    """
    overrides: list[str] = []
    for key, value in config.items():
        if key == "hydra":
            overrides += _listed(value)
        elif key in (*ROOT_GROUPS, "run"):
            overrides += _flatten(key, value)
        else:
            raise unknown_name(
                "key", str(key), ("hydra", *ROOT_GROUPS, "run"), "snakemake --config"
            )
    return overrides


def _listed(value: Any) -> list[str]:
    try:
        if isinstance(value, list):
            return [str(item) for item in value]
        return shlex.split("" if value is None else str(value))
    except ValueError:
        raise PipelineError(
            f"cannot read '{value}': a quotation mark is not closed", "snakemake --config hydra"
        ) from None


def _flatten(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [line for part in value for line in _flatten(f"{key}.{part}", value[part])]
    return [f"{key}={value}"]


def compose(overrides: Iterable[str] = (), conf: Path | None = None) -> schema.Experiment:
    """Compose and check a whole experiment.

    Parameters
    ----------
    overrides
        Hydra overrides. Besides `study=...` and keys of the root config, members can be changed by
        their name: `corpus.enwiki-96.sequences.count=8`.
    conf
        Folder of the YAML files.

    Raises
    ------
    PipelineError
        For any unknown name, key, type or value.
    """
    conf = conf or default_conf()
    options(conf, "study")
    root, changes = _split(list(overrides), conf)
    composed, study_name = _compose_root(root, conf)
    for name in (*ROOT_GROUPS, "run"):
        if name not in composed:
            raise PipelineError(f"'{name}' is missing", "conf/config.yaml", "put it back")
    study = check(schema.Study, composed.pop("study"), f"conf/study/{study_name}.yaml")
    if study.claims == ["all"]:
        study = study.model_copy(update={"claims": options(conf, "claim")})
    groups = {
        name: check(_CLASSES[name], composed.pop(name), f"conf/{name}")
        for name in ("statistics", "figure", "runtime", "run")
    }
    if composed:
        raise unknown_name("key", next(iter(composed)), (*ROOT_GROUPS, "run"), "conf/config.yaml")

    def members(group: str, names: Iterable[str]) -> dict[str, Any]:
        return {n: load_member(group, n, conf, changes) for n in dict.fromkeys(names)}

    named = members("protocol", (cell.protocol for cell in study.measurements))
    cells, protocols = vary(study.measurements, named, f"conf/study/{study_name}.yaml")
    study = study.model_copy(update={"measurements": cells})
    listed = members("model", study.models)
    recipes = members(
        "recipe", (m.source.recipe for m in listed.values() if m.source.kind == "trained")
    )
    for name, recipe in recipes.items():
        check_recipe(recipe, f"conf/recipe/{name}.yaml")
    expanded = {
        n: expand(n, m, recipes[m.source.recipe] if m.source.kind == "trained" else None)
        for n, m in listed.items()
    }
    models = {name: model for made in expanded.values() for name, model in made.items()}
    bad = leave_out(
        models, read_known(conf), study.bad_checkpoints, f"conf/study/{study_name}.yaml"
    )
    names = [name for listed_name in study.models for name in expanded[listed_name]]
    study = study.model_copy(update={"models": [name for name in names if name not in bad]})
    models = {name: model for name, model in models.items() if name not in bad}
    bases = [m.source.of for m in models.values() if m.source.kind == "untrained"]
    models |= members("model", [name for name in bases if name not in models])
    needed = [probe for p in protocols.values() for probe in (p.probe, *p.also_read)]
    conditions = [c for cell in cells for c in cell.conditions]
    conditions += [c for entry in study.facts for c in entry.conditions]
    probes = [p for cell in cells for p in cell.probes]
    probes += [p for entry in study.facts for p in entry.probes]
    where = f"conf/study/{study_name}.yaml"
    claims = _with_subjects(members("claim", study.claims), study.subjects, where)
    _refuse_unknown_names(claims, conf)
    nulls = members("null", [null for claim in claims.values() for null in claim.nulls()])
    groups |= {
        "study_name": study_name,
        "study": study,
        "model": models,
        "recipe": recipes,
        "corpus": members(
            "corpus",
            [
                *(cell.corpus for cell in cells),
                *(c for recipe in recipes.values() for c in recipe.corpora),
            ],
        ),
        "condition": members("condition", conditions),
        "probe": members("probe", probes + needed),
        "protocol": protocols,
        "null": nulls,
        "claim": claims,
        "variants": sorted(set(protocols) - set(named)),
        "families": {
            name: [one for one in made if one not in bad]
            for name, made in expanded.items()
            if listed[name].checkpoints is not None and listed[name].source.kind == "hub"
        },
        "left_out": {name: f"{why.finding} ({why.source})" for name, why in bad.items()},
    }
    _refuse_unused(changes, groups | {"protocol": named, "model": models | listed})
    experiment = schema.Experiment.model_construct(**groups)
    _cross_check(experiment, f"conf/study/{study_name}.yaml")
    asked = [claim.protocol for claim in claims.values()]
    _check_claims(experiment, members("protocol", asked) | protocols, conf)
    return experiment


def _with_subjects(
    claims: Mapping[str, claim_schema.Claim],
    subjects: Mapping[str, claim_schema.Subjects],
    where: str,
) -> dict[str, claim_schema.Claim]:
    """The claims, those of `subjects` asked of the models that the study names there."""
    for name in subjects:
        if name not in claims:
            raise unknown_name("claim of this study", name, claims, f"{where}, subjects")
    return {
        name: claim
        if name not in subjects
        else check(
            claim_schema.Claim,
            {**claim.model_dump(), "models": subjects[name].model_dump()},
            f"{where}, subjects.{name}",
        )
        for name, claim in claims.items()
    }


def load_member(
    group: str, name: str, conf: Path, changes: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Any:
    """One checked member of a config group, with the overrides that name it applied."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    where = f"conf/{group}/{name}.yaml"
    if not _NAME.fullmatch(name) or not (conf / group / f"{name}.yaml").is_file():
        raise unknown_name(group, name, options(conf, group), str(conf / group))
    _refuse_unstable(conf / group / f"{name}.yaml", where)
    try:
        node = OmegaConf.load(conf / group / f"{name}.yaml")
        for key, value in changes.get((group, name), {}).items():
            OmegaConf.update(node, key, value, force_add=True)
        values = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise PipelineError(_first_line(error), where) from None
    except Exception as error:
        raise PipelineError(f"not valid YAML ({_first_line(error)})", where) from None
    if not isinstance(values, dict):
        raise PipelineError("must be a mapping of keys to values", where)
    return check_member(group, {str(key): value for key, value in values.items()}, where)


def _refuse_unstable(path: Path, where: str) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"not readable as UTF-8 text ({_first_line(error)})", where) from None
    if found := _UNSTABLE.search(text):
        raise PipelineError(
            f"'{found.group(0)}' depends on the host or the time", where, "write the value itself"
        )


def check_member(group: str, values: Mapping[str, Any], where: str) -> Any:
    """Plain values as the class of their config group."""
    if group not in _UNIONS:
        return check(_CLASSES[group], values, where)
    return check(_UNIONS[group], values, where).root


class _AnyCondition(RootModel[schema.Condition]):
    """A discriminated union can only be checked as a field."""


class _AnyProtocol(RootModel[schema.Protocol]):
    """As above."""


class _AnyNull(RootModel[claim_schema.Null]):
    """As above."""


_UNIONS: dict[str, Any] = {
    "condition": _AnyCondition,
    "protocol": _AnyProtocol,
    "null": _AnyNull,
}


def _split(
    overrides: list[str], conf: Path
) -> tuple[list[str], dict[tuple[str, str], dict[str, Any]]]:
    """Separate overrides of the root config from those of members, by Hydra's own grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    root: list[str] = []
    changes: dict[tuple[str, str], dict[str, Any]] = {}
    for line in overrides:
        # Names may hold dots and parts that Hydra takes for numbers, so they are taken out first.
        name, member = _named_member(line, conf)
        try:
            override = OverridesParser.create().parse_override(
                line.replace(f"{member}.{name}.", "", 1) if name else line
            )
        except HydraException:
            raise PipelineError(
                f"cannot read '{line}'", "override", "write key=value, as in figure.dpi=300"
            ) from None
        if _UNSTABLE.search(line):
            raise PipelineError(f"'{line}' depends on the host or the time", "override")
        key = str(override.key_or_group)
        if name:
            if override.is_delete() or override.is_sweep_override():
                raise PipelineError(f"'{line}': only key=value is possible here", "override")
            changes.setdefault((member, name), {})[key] = override.value()
            continue
        group, _, rest = key.partition(".")
        if group in ROOT_GROUPS and not rest:
            choices = options(conf, group)
            if str(override.value()) not in choices:
                raise unknown_name(group, str(override.value()), choices, "override")
        if group not in MEMBER_GROUPS:
            # A key that the schema has need not stand in the YAML to be overridden.
            field = rest.split(".")[0]
            known = group in _CLASSES and field in _CLASSES[group].model_fields
            root.append(f"++{line}" if known and line[0] not in "+~" else line)
            continue
        if not rest or rest in options(conf, group):
            raise PipelineError(
                f"'{line}': members of '{group}' are chosen by the study",
                "override",
                f"change one key of one member: {group}.<name>.<key>=value",
            )
        raise unknown_name(group, rest.split(".")[0], options(conf, group), "override")
    return root, changes


def _named_member(line: str, conf: Path) -> tuple[str, str]:
    """Name and group of the member whose key an override changes; empty if it is none."""
    group, _, rest = line.partition("=")[0].lstrip("+~").partition(".")
    if group not in MEMBER_GROUPS:
        return "", ""
    known = [name for name in options(conf, group) if rest.startswith(f"{name}.")]
    return (max(known, key=len), group) if known else ("", "")


def _compose_root(overrides: list[str], conf: Path) -> tuple[dict[str, Any], str]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    _refuse_unstable(conf / "config.yaml", "conf/config.yaml")
    for group in ROOT_GROUPS:
        for path in (conf / group).glob("*.yaml"):
            _refuse_unstable(path, f"conf/{group}/{path.name}")
    try:
        with initialize_config_dir(config_dir=str(conf.resolve()), version_base="1.3"):
            config = hydra_compose("config", overrides=overrides, return_hydra_config=True)
        study_name = str(config.hydra.runtime.choices.study)
        with open_dict(config):
            del config["hydra"]
        values = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise _override_error(error, conf) from None
    # Hydra reads YAML itself and lets the parser's errors, and some of its own checks, through.
    except Exception as error:
        raise PipelineError(f"cannot be composed ({_first_line(error)})", str(conf)) from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}, study_name


def _override_error(error: Exception, conf: Path) -> PipelineError:
    """Hydra says which key it could not find; add what could have been meant."""
    match = re.search(r"Could not override '([^']+)'", str(error))
    if not match:
        return PipelineError(_first_line(error), str(conf), "see the YAML comments for the keys")
    key = match.group(1)
    group, _, rest = key.partition(".")
    if group in _CLASSES and rest:
        allowed: Iterable[str] = [f"{group}.{name}" for name in _CLASSES[group].model_fields]
    else:
        allowed = (*ROOT_GROUPS, "run", *(f"{group}.<name>.<key>" for group in MEMBER_GROUPS))
    return unknown_name("key", key, allowed, "override")


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        # A YAML error: its first line names the context, not the problem.
        return f"line {mark.line + 1}: {getattr(error, 'problem', '')}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _refuse_unused(
    changes: Mapping[tuple[str, str], Mapping[str, Any]], groups: Mapping[str, Any]
) -> None:
    for group, name in changes:
        if name not in groups[group]:
            raise unknown_name(f"{group} of this study", name, groups[group], "override")


def _cross_check(experiment: schema.Experiment, where: str) -> None:
    """Rules that span groups; each breach would otherwise fail hours later."""
    study = experiment.study
    for name, model in experiment.model.items():
        if model.source.kind == "untrained":
            base = experiment.model[model.source.of]
            if base.checkpoints is not None:
                raise PipelineError(
                    f"source.of: '{model.source.of}' stands for several checkpoints",
                    f"conf/model/{name}.yaml",
                    "name a model of one revision; of a model trained here step 0 is the twin",
                )
            if base.source.kind == "untrained":
                raise PipelineError(
                    f"source.of: '{model.source.of}' is itself untrained",
                    f"conf/model/{name}.yaml",
                    "name the model that carries the architecture",
                )
    check_trained_texts(experiment)
    for cell in study.measurements:
        reference = experiment.protocol[cell.protocol].reference
        scaled = [c for c in cell.conditions if experiment.condition[c].kind == "subsample"]
        if scaled and reference not in cell.conditions:
            raise PipelineError(
                f"conditions {', '.join(scaled)} are compared with '{reference}', "
                f"which is not among the conditions of corpus '{cell.corpus}'",
                where,
                f"add {reference}",
            )
        count = experiment.corpus[cell.corpus].sequences.count
        together = experiment.protocol[cell.protocol].average_sequences
        if together > count:
            raise PipelineError(
                f"protocol '{cell.protocol}' averages {together} sequences, "
                f"corpus '{cell.corpus}' has {count}",
                where,
                "average fewer, or take more sequences",
            )
        for key in ("conditions", "probes"):
            _refuse_repeats(f"{key} of corpus '{cell.corpus}'", getattr(cell, key), where)
    cells = [(cell.corpus, cell.protocol) for cell in study.measurements]
    if len(set(cells)) < len(cells):
        raise PipelineError(
            "a pair of corpus and protocol is measured twice", where, "join the two measurements"
        )
    measured = {cell.corpus for cell in study.measurements}
    for entry in study.facts:
        if entry.corpus not in measured:
            raise unknown_name("corpus of `facts`", entry.corpus, measured, where)
        repeats = "repeats" in entry.facts
        for name in entry.conditions:
            if repeats and experiment.condition[name].kind != "repeat":
                raise PipelineError(
                    f"fact 'repeats' needs a condition of kind `repeat`, '{name}' is none",
                    where,
                    "ask for it on `repeated`",
                )
    check_media(experiment, where)
    _check_causal(experiment, where)
    _check_series(experiment, where)
    head = study.headline
    at = [c for c in study.measurements if (c.corpus, c.protocol) == (head.corpus, head.protocol)]
    if not at or head.condition not in at[0].conditions:
        raise PipelineError(
            f"headline {head.corpus} / {head.protocol} / {head.condition} is not measured",
            where,
            "name one of the measurements",
        )
    if experiment.condition[head.condition].kind == "subsample":
        raise PipelineError(
            f"headline condition '{head.condition}' is a subsample, which is compared with "
            f"'{experiment.protocol[head.protocol].reference}'",
            where,
            "name the condition it is compared with",
        )
    if experiment.protocol[head.protocol].kind != "paper":
        raise PipelineError(
            f"the headline's protocol '{head.protocol}' is not of kind `paper`",
            where,
            "its columns are those of the paper's tables; name a measurement with such a protocol",
        )
    probe = experiment.protocol[head.protocol].probe
    if probe not in at[0].probes:
        raise PipelineError(
            f"the headline needs probe '{probe}' of protocol '{head.protocol}'",
            where,
            f"add {probe} to its probes",
        )
    for key in ("models", "figures"):
        _refuse_repeats(key, getattr(study, key), where)
    _refuse_unknown_measures(experiment)


def _check_causal(experiment: schema.Experiment, where: str) -> None:
    """What changing attention needs must be measured by the same study."""
    asked, study = experiment.study.causal, experiment.study
    if asked is None:
        return
    for name in asked.models:
        if name not in study.models:
            raise unknown_name("model of `causal`", name, study.models, where)
    cells = [c for c in study.measurements if c.corpus == asked.corpus]
    cell = next((c for c in cells if c.protocol == asked.protocol), None)
    if (
        cell is None
        or asked.condition not in cell.conditions
        or experiment.protocol[asked.protocol].kind != "paper"
    ):
        raise PipelineError(
            f"causal: band shares of {asked.corpus} / {asked.protocol} / {asked.condition} are not "
            "measured with a protocol of kind `paper`",
            where,
            "name one of the measurements",
        )
    if experiment.corpus[asked.corpus].sequences.count < 2:
        raise PipelineError(
            f"causal: {asked.corpus} has one sequence; every second one is changed, and the others "
            "give what heads are replaced by",
            where,
            f"set corpus.{asked.corpus}.sequences.count to 2 or more",
        )
    facts = [e for e in study.facts if e.corpus == asked.corpus]
    known = {fact for e in facts if asked.condition in e.conditions for fact in e.facts}
    if lacking := {"sink", "locality"} - known:
        raise PipelineError(
            f"causal: facts {' and '.join(sorted(lacking))} of {asked.corpus} under "
            f"{asked.condition} are not asked for",
            where,
            "add them to `facts`",
        )
    if asked.repeated and not any(
        asked.repeated in e.conditions and "repeats" in e.facts for e in facts
    ):
        raise PipelineError(
            f"causal: fact repeats of {asked.corpus} under {asked.repeated} is not asked for",
            where,
            "add it to `facts`, or leave out `repeated`",
        )


def _check_series(experiment: schema.Experiment, where: str) -> None:
    """What is compared on series of known scale must be extracted by the same study."""
    asked = experiment.study.series
    if asked is None:
        return
    measured = dict.fromkeys(cell.corpus for cell in experiment.study.measurements)
    known = [name for name in measured if experiment.corpus[name].text.known]
    if not known:
        raise PipelineError(
            "series: no measured corpus has series of known scale",
            where,
            "measure series-256, or give `periods` in `samples` of a corpus",
        )
    for key, kind in (("condition", "full"), ("without", "shuffle")):
        name = getattr(asked, key)
        if name not in experiment.condition or experiment.condition[name].kind != kind:
            raise PipelineError(
                f"series: {key} '{name}' is no measured condition of kind `{kind}`",
                where,
                "measure one and name it",
            )
    for corpus in known:
        cells = [c for c in experiment.study.measurements if c.corpus == corpus]
        for probe in asked.probes:
            if probe not in experiment.probe:
                raise unknown_name("probe of `series`", probe, experiment.probe, where)
            if experiment.probe[probe].kind == "query_rows":
                raise PipelineError(
                    f"series: probe '{probe}' has several rows", where, "name one with a signal"
                )
            for condition in (asked.condition, asked.without):
                if not any(probe in c.probes and condition in c.conditions for c in cells):
                    raise PipelineError(
                        f"series: probe {probe} of {corpus} under {condition} is not measured",
                        where,
                        "name one of the measurements",
                    )


def _refuse_unknown_measures(experiment: schema.Experiment) -> None:
    for name, protocol in experiment.protocol.items():
        if protocol.measures != ["all"]:
            protocol_measures(protocol, f"conf/protocol/{name}.yaml")


def _check_claims(experiment: schema.Experiment, protocols: Mapping[str, Any], conf: Path) -> None:
    """Names inside claims and nulls; each breach would otherwise fail hours later."""
    conditions = options(conf, "condition")
    models = [*options(conf, "model"), *experiment.study.models]
    for name, null in experiment.null.items():
        if null.kind == "condition" and null.condition not in conditions:
            where = f"conf/null/{name}.yaml"
            raise unknown_name("condition", null.condition, conditions, where)
    if not experiment.claim:
        return
    offered = {
        name: {measure.name: measure for measure in OFFERED[protocol.kind](protocol)}
        for name, protocol in protocols.items()
    }
    for name, claim in experiment.claim.items():
        where = f"conf/claim/{name}.yaml"
        known = offered[claim.protocol]
        for column in claim.columns():
            if column.measure not in known:
                raise unknown_name(f"measure of '{claim.protocol}'", column.measure, known, where)
            if column.condition not in conditions:
                raise unknown_name("condition", column.condition, conditions, where)
            _refuse_no_pair(column, known[column.measure], conf, where)
        levels = {known[column.measure].level for column in claim.columns()}
        of_heads = {"head", "pair_of_conditions"}
        if len(levels - of_heads) + bool(levels & of_heads) > 1:
            raise PipelineError(
                f"measures of different levels in one test: {', '.join(sorted(levels))}",
                where,
                "take measures of heads, or of layers, or of models",
            )
        _refuse_foregone(claim.test, known[claim.columns()[0].measure], where)
        for needed in claim.models.needs:
            if needed not in models:
                raise unknown_name("model", needed, models, where)


def _refuse_unknown_names(claims: Mapping[str, claim_schema.Claim], conf: Path) -> None:
    """What a claim names is looked for before it is read, so that the error names the claim."""
    for name, claim in claims.items():
        asked = [
            ("protocol", claim.protocol),
            ("probe", claim.probe),
            *(("null", null) for null in claim.nulls()),
        ]
        for group, value in asked:
            if value not in options(conf, group):
                raise unknown_name(group, value, options(conf, group), f"conf/claim/{name}.yaml")


def _refuse_no_pair(column: claim_schema.Column, measure: Measure, conf: Path, where: str) -> None:
    """A comparison with the whole sequence exists only for sequences that were thinned out."""
    if measure.level != "pair_of_conditions":
        return
    if load_member("condition", column.condition, conf, {}).kind != "subsample":
        raise PipelineError(
            f"'{measure.name}' compares a subsampled sequence with the whole one, and condition "
            f"'{column.condition}' is not subsampled",
            where,
            f"name the condition, as in {measure.name}@half",
        )


def _refuse_foregone(test: claim_schema.ClaimTest, measure: Measure, where: str) -> None:
    """A bound outside of what the number can be makes a verdict that no model could change."""
    low, high = test.reach(measure.range)
    if test.range is not None:
        open_ = test.range[0] < high and test.range[1] > low
    else:
        line = claim_schema.edge(test, test.bound)
        open_ = low < line <= high if test.claimed == "below" else low <= line < high
    if not open_:
        raise PipelineError(
            f"the number lies between {low:g} and {high:g}, so this test has one outcome only",
            where,
            "move bound, range or smallest_effect inside",
        )


def _refuse_repeats(key: str, names: list[str], where: str) -> None:
    """A name that stands twice would double its rows in every table."""
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise PipelineError(f"{key}: '{repeated[0]}' stands twice", where, "name it once")
