"""The command line: one subcommand per stage, and tools for people.

A stage reads its settings from a slice (`--config`, as the workflow does) or composes them itself
from Hydra overrides. Imports that cost time stand inside the functions that need them.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attention_wavelets.errors import PipelineError

# Stages that ask the network; all others work from what those have fetched.
_ONLINE = ("fetch-model", "build-corpus", "audit-checkpoints")
_DEVICES = ("auto", "cpu", "cuda", "spread")

__all__ = ["main"]

Arguments = argparse.Namespace
Run = Callable[[Arguments], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; an error is one line on standard error and exit code 1."""
    arguments = _parser().parse_args(argv)
    if getattr(arguments, "offline", False):
        # Nodes of a cluster have no network; the hub client would wait for it.
        os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _log_to(getattr(arguments, "log", None))
        arguments.run(arguments)
    except PipelineError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("out of memory; lower runtime.batch_tokens or give the job more memory")
    except OSError as error:
        logging.getLogger(__name__).debug("details", exc_info=True)
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}; check the path, its rights and the disk")
    except KeyboardInterrupt:
        return _fail("stopped; nothing half-written is left, run again", 130)
    return 0


def _terminate(_signal: int, _frame: object) -> None:
    """A scheduler's SIGTERM unwinds like an error, so that partial files are removed."""
    raise SystemExit(128 + signal.SIGTERM)


def _fail(message: str, code: int = 1) -> int:
    logging.getLogger(__name__).debug(message)
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    return code


def _log_to(path: Path | None) -> None:
    """Everything worth keeping goes to the log file; the terminal gets progress and errors."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, filemode="w", level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    logging.getLogger("attention_wavelets").setLevel(logging.DEBUG)


def _remark(text: str) -> None:
    """For the user to know, and no result."""
    print(text, file=sys.stderr)  # noqa: T201


def _say(text: str) -> None:
    print(text)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    from attention_wavelets import __version__

    parser = argparse.ArgumentParser(prog="attention-wavelets", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        _add_fetch_model,
        _add_fetch_weights,
        _add_evict_weights,
        _add_build_corpus,
        _add_encode_sequences,
        _add_prepare_recipe,
        _add_train_model,
        _add_describe_checkpoint,
        _add_each,
        _add_extract_shard,
        _add_extract_signals,
        _add_measure_heads,
        _add_measure_settings,
        _add_measure_nulls,
        _add_aggregate_study,
        _add_summarise_facts,
        _add_compare_runs,
        _add_change_attention,
        _add_summarise_changes,
        _add_compare_series,
        _add_compare_tables,
        _add_judge_claims,
        _add_plot_study,
        _add_write_report,
        _add_measure,
        _add_profile,
        _add_summary,
        _add_ls,
        _add_validate,
        _add_lock,
        _add_estimate,
        _add_audit,
        _add_audit_checkpoints,
        _add_cluster_check,
    ):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Run, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _stage(commands: Any, name: str, run: Run, text: str, *keys: str) -> argparse.ArgumentParser:
    """A stage takes --config FILE, or --<key> NAME for each of its wildcards and overrides."""
    parser = _command(commands, name, run, text)
    parser.set_defaults(offline=name not in _ONLINE)
    parser.add_argument("--config", type=Path, help="slice written by the workflow")
    for key in keys:
        parser.add_argument(f"--{key}", help=f"instead of --config: name of the {key}")
    parser.add_argument("--log", type=Path, help="log file")
    _add_overrides(parser)
    return parser


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, as in study=quickstart")
    parser.add_argument("--conf", type=Path, help="folder of the YAML files")


def _files(parser: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        parser.add_argument(f"--{name}", type=Path, required=True)


def _slice(arguments: Arguments, key: str) -> dict[str, Any]:
    """The slice from --config, or composed from the overrides; either, not both."""
    from attention_wavelets.config.compose import compose, default_conf
    from attention_wavelets.config.lock import LOCK_FILE, read_lock
    from attention_wavelets.config.slices import slices
    from attention_wavelets.errors import unknown_name
    from attention_wavelets.store.atomic import read_json

    keys = ("model", "corpus", "protocol", "recipe")
    names = {n: getattr(arguments, n, None) for n in keys}
    if arguments.config is not None:
        if arguments.overrides or any(names.values()):
            raise PipelineError(
                "--config and overrides exclude each other", "command line", "give one of them"
            )
        return _checked(read_json(arguments.config), key, arguments.config)
    conf = arguments.conf or default_conf()
    experiment = compose(arguments.overrides, conf)
    wanted = key.format(study=experiment.study_name, **names)
    found = slices(experiment, read_lock(conf / LOCK_FILE))
    if wanted not in found:
        raise unknown_name("slice", wanted, found, "command line")
    return dict(found[wanted])


# One key that only this stage's slice has.
_MARKS = {
    "models/{model}/audit": "sources",
    "models": "base",
    "corpora": "text",
    "recipes": "tokenizer",
    "training": "recipe",
    "checkpoints": "run",
    "sequences": "rules",
    "signals": "probes",
    "measures": "scaled",
    "nulls": "draws",
    "studies/{study}/claims": "evidence",
    "studies/{study}/aggregate": "cells",
    "studies/{study}/facts": "cells",
    "studies/{study}/runs": "runs",
    "studies/{study}/causal": "models",
    "studies/{study}/series": "false_discoveries",
    "causal": "replacements",
    "studies/{study}/nearest": "protocols",
    "studies/{study}/figures": "settings",
    "studies/{study}/report": "measurements",
}


def _checked(config: Any, key: str, path: Path) -> dict[str, Any]:
    mark = _MARKS.get(key) or _MARKS[key.split("/")[0]]
    if not isinstance(config, dict) or mark not in config:
        raise PipelineError(f"is no slice of {key}", str(path), "give the one beside the output")
    return config


def _add_fetch_model(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.schema import Model
        from attention_wavelets.models.fetch import fetch_model
        from attention_wavelets.store.atomic import write_json

        config = _slice(arguments, "models/{model}/fetch")
        base = config["base"]
        manifest = fetch_model(
            config["name"],
            Model.model_validate(config["model"]),
            None if base is None else Model.model_validate(base),
            config["lock"],
            arguments.disk_quota,
            weights=not arguments.without_weights,
        )
        write_json(arguments.out, manifest)

    parser = _stage(commands, "fetch-model", run, "Fetch one model, write its manifest.", "model")
    _files(parser, "out")
    _add_quota(parser)
    later = "leave a hub model's weights to fetch-weights"
    parser.add_argument("--without-weights", action="store_true", help=later)


def _add_quota(parser: argparse.ArgumentParser) -> None:
    def gib(text: str) -> float | None:
        return None if text == "none" else float(text)

    parser.add_argument("--disk-quota", type=gib, help="GiB that the hub cache may hold, or none")


def _add_fetch_weights(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.models.evict import restore_weights
        from attention_wavelets.store.atomic import read_json, write_json

        manifest = read_json(arguments.manifest)
        restore_weights(manifest, arguments.disk_quota)
        after = None if arguments.after == "none" else arguments.after
        write_json(arguments.out, {"on_disk": manifest["revision"], "after": after})

    parser = _command(commands, "fetch-weights", run, "Fetch a hub model's weights.")
    _files(parser, "manifest", "out")
    parser.add_argument("--after", default="none", help="the model whose weights had to go first")
    _add_quota(parser)
    parser.add_argument("--log", type=Path, help="log file")


def _add_evict_weights(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.models.evict import evict_weights
        from attention_wavelets.store.atomic import read_json, write_json

        manifest = read_json(arguments.manifest)
        # A study that kept its weights until now has no note of them.
        note = read_json(arguments.there) if arguments.there.is_file() else {"after": None}
        freed = evict_weights(manifest)
        # Before the note on it, so that a job that is killed between the two runs again.
        arguments.there.unlink(missing_ok=True)
        facts = {"evicted": manifest["revision"], "bytes": freed, "after": note["after"]}
        write_json(arguments.out, facts)

    text = "Remove a model's weights from the hub cache; they are fetched again when needed."
    parser = _command(commands, "evict-weights", run, text)
    parser.set_defaults(offline=True)
    _files(parser, "manifest", "there", "out")
    parser.add_argument("--log", type=Path, help="log file")


def _add_build_corpus(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.corpus import build_corpus

        config = _slice(arguments, "corpora/{corpus}/build")
        build_corpus(config, arguments.out, arguments.manifest)

    parser = _stage(commands, "build-corpus", run, "Write a corpus' documents.", "corpus")
    _files(parser, "out", "manifest")


def _add_encode_sequences(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.corpus import encode_sequences
        from attention_wavelets.store.atomic import read_json

        config = _slice(arguments, "sequences/{model}/{corpus}")
        manifest = read_json(arguments.manifest)
        encode_sequences(config, manifest, arguments.documents, arguments.out)

    text = "Cut documents into token sequences, under every condition."
    parser = _stage(commands, "encode-sequences", run, text, "model", "corpus")
    _files(parser, "manifest", "documents", "out")


def _add_prepare_recipe(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.training import prepare_recipe

        config = _slice(arguments, "recipes/{recipe}/prepare")
        texts = (arguments.training, arguments.held_out)
        prepare_recipe(config, *texts, arguments.tokenizer, arguments.tokens)

    text = "Learn a tokenizer, and write the texts of a recipe as tokens."
    parser = _stage(commands, "prepare-recipe", run, text, "recipe")
    for name in ("training", "held-out"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="of each corpus")
    _files(parser, "tokenizer", "tokens")


def _add_train_model(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.models.load import chosen_device
        from attention_wavelets.stages.training import train_model
        from attention_wavelets.store.atomic import read_json

        config = _checked(read_json(arguments.config), "training", arguments.config)
        # One model fits a card, so that nothing is spread over several.
        device = chosen_device(_device(arguments)).replace("spread", "cuda")
        train_model(config, arguments.tokenizer, arguments.tokens, arguments.out, device=device)

    text = "Train one model and keep its weights on the way; a stopped run is gone on with."
    parser = _command(commands, "train-model", run, text)
    parser.set_defaults(offline=True)
    parser.add_argument("--log", type=Path, help="log file")
    _files(parser, "config", "tokenizer", "tokens", "out")
    _machine_options(parser)


def _add_describe_checkpoint(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.training import describe_checkpoint
        from attention_wavelets.store.atomic import read_json

        config = _checked(read_json(arguments.config), "checkpoints", arguments.config)
        describe_checkpoint(config, arguments.trained, arguments.out)

    text = "Write the manifest of a checkpoint of a model that was trained here."
    parser = _command(commands, "describe-checkpoint", run, text)
    parser.set_defaults(offline=True)
    _files(parser, "config", "trained", "out")
    parser.add_argument("--log", type=Path, help="log file")


def _add_each(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        parser = _parser()
        for name in arguments.names:
            line = [word.replace("@", name) for word in arguments.stage if word != "--"]
            inner = parser.parse_args(line)
            if line[0] == "each" or not hasattr(inner, "log"):
                raise PipelineError(f"'{line[0]}' is no stage", "command line")
            inner.run(inner)

    text = "Run a stage for many names in one process: @ in its line is each of them in turn."
    parser = _command(commands, "each", run, text)
    parser.set_defaults(offline=True)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--log", type=Path, help="log file")
    parser.add_argument("stage", nargs="+", help="after --: a stage's line, with @ for the name")


def _add_extract_signals(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.extract import extract_signals

        files = (arguments.sequences, arguments.out, arguments.work)
        extract_signals(
            *_extraction(arguments),
            *files,
            device=_device(arguments),
            batch_tokens=arguments.batch_tokens,
            split=arguments.split,
        )

    text = "Run a model and reduce its attention to signals."
    parser = _stage(commands, "extract-signals", run, text, "model", "corpus")
    _extraction_options(parser)
    parser.add_argument("--split", help="note of the shards, for later plans")


def _add_extract_shard(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.extract import extract_shard

        files = (arguments.sequences, arguments.out, arguments.work)
        shard = (arguments.shard, arguments.of)
        extract_shard(
            *_extraction(arguments),
            *files,
            shard,
            device=_device(arguments),
            batch_tokens=arguments.batch_tokens,
        )

    text = "Run a model over one part of the sequences; extract-signals packs the parts."
    parser = _stage(commands, "extract-shard", run, text, "model", "corpus")
    _extraction_options(parser)
    parser.add_argument("--shard", type=int, required=True, help="its number, from 0")
    parser.add_argument("--of", type=int, required=True, help="how many there are")


def _extraction_options(parser: argparse.ArgumentParser) -> None:
    _files(parser, "manifest", "sequences", "out", "work")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    _machine_options(parser)


def _machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=_DEVICES, default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--gpus", type=int, default=0, help="cards to take for this job alone")


def _extraction(arguments: Arguments) -> tuple[dict[str, Any], dict[str, Any]]:
    """Slice and manifest."""
    from attention_wavelets.store.atomic import read_json

    return _slice(arguments, "signals/{model}/{corpus}"), read_json(arguments.manifest)


def _device(arguments: Arguments) -> str:
    """The device asked for, once cards are taken and threads set, in this order."""
    from attention_wavelets.resources.cards import take_cards
    from attention_wavelets.sources.cache import cache_folder

    if arguments.device != "cpu":
        take_cards(arguments.gpus, cache_folder() / "locks", say=_remark)
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    return str(arguments.device)


def _add_measure_heads(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.measure import measure_heads

        config = _slice(arguments, "measures/{model}/{corpus}/{protocol}")
        tables = (arguments.heads, arguments.layers, arguments.model_table, arguments.pairs)
        measure_heads(config, arguments.signals, *tables)

    text = "Measure the signals of one model and corpus under one protocol."
    parser = _stage(commands, "measure-heads", run, text, "model", "corpus", "protocol")
    _files(parser, "signals", "heads", "layers", "model-table", "pairs")


def _add_measure_settings(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.measure import measure_heads
        from attention_wavelets.store.atomic import read_json

        tables = (arguments.heads, arguments.layers, arguments.model_tables, arguments.pairs)
        if any(len(paths) != len(arguments.configs) for paths in tables):
            raise PipelineError(
                "not one path for each of --configs", "command line", "give as many of each"
            )
        for path, *outputs in zip(arguments.configs, *tables, strict=True):
            config = _checked(read_json(path), "measures/{model}/{corpus}/{protocol}", path)
            measure_heads(config, arguments.signals, *outputs)

    text = "Measure the signals of one model and corpus under several protocols."
    parser = _command(commands, "measure-settings", run, text)
    parser.set_defaults(offline=True)
    _files(parser, "signals")
    for name in ("configs", "heads", "layers", "model-tables", "pairs"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    parser.add_argument("--log", type=Path, help="log file")


def _add_measure_nulls(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.nulls import measure_nulls

        config = _slice(arguments, "nulls/{model}/{corpus}/{protocol}")
        measure_nulls(config, arguments.signals, arguments.heads, arguments.layers)

    text = "Measure null signals made from the signals of one model and corpus."
    parser = _stage(commands, "measure-nulls", run, text, "model", "corpus", "protocol")
    _files(parser, "signals", "heads", "layers")


def _add_judge_claims(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.claims import judge_claims
        from attention_wavelets.store.atomic import read_json

        config = _slice(arguments, "studies/{study}/claims")
        manifests = {m["name"]: m for m in map(read_json, arguments.manifests)}
        folders = (arguments.measures, arguments.nulls)
        judge_claims(config, manifests, *folders, arguments.claims, arguments.by_model)

    parser = _stage(commands, "judge-claims", run, "Give a verdict on every claim of a study.")
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--measures", type=Path, nargs="*", required=True, help="folders")
    parser.add_argument("--nulls", type=Path, nargs="*", required=True, help="folders")
    _files(parser, "claims", "by-model")


def _add_aggregate_study(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.aggregate import aggregate_study
        from attention_wavelets.store.atomic import read_json

        config = _slice(arguments, "studies/{study}/aggregate")
        manifests = {m["name"]: m for m in map(read_json, arguments.manifests)}
        outputs = (arguments.heads, arguments.models, arguments.pairs, arguments.summary)
        aggregate_study(config, manifests, arguments.measures, *outputs)

    text = "Join the measures of every model of a study."
    parser = _stage(commands, "aggregate-study", run, text)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--measures", type=Path, nargs="+", required=True, help="folders")
    _files(parser, "heads", "models", "pairs", "summary")


def _add_summarise_facts(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.facts import summarise_facts

        config = _slice(arguments, "studies/{study}/facts")
        summarise_facts(config, arguments.signals, arguments.out)

    parser = _stage(commands, "summarise-facts", run, "Average the facts of every head.")
    parser.add_argument("--signals", type=Path, nargs="+", required=True)
    _files(parser, "out")


def _add_compare_runs(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.runs import compare_runs
        from attention_wavelets.store.atomic import read_json

        config = _slice(arguments, "studies/{study}/runs")
        manifests = {m["name"]: m for m in map(read_json, arguments.manifests)}
        tables = (arguments.heads, arguments.summary, next(iter(arguments.facts), None))
        outputs = (arguments.runs, arguments.changes, arguments.phases)
        compare_runs(config, manifests, *tables, *outputs)

    text = "What size, encoding and training change in models trained here."
    parser = _stage(commands, "compare-runs", run, text)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--facts", type=Path, nargs="*", default=[], help="if it has facts")
    _files(parser, "heads", "summary", "runs", "changes", "phases")


def _add_change_attention(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.models.load import chosen_device
        from attention_wavelets.stages.causal import change_attention
        from attention_wavelets.store.atomic import read_json

        config = _slice(arguments, "causal/{model}/{corpus}")
        device = chosen_device(_device(arguments))
        files = (arguments.sequences, arguments.heads, arguments.signals, arguments.out)
        manifest = read_json(arguments.manifest)
        change_attention(config, manifest, *files, arguments.work, device=device)

    text = "The loss of a model while heads, bands of rows or rotary pairs are taken away."
    parser = _stage(commands, "change-attention", run, text, "model", "corpus")
    _files(parser, "manifest", "sequences", "heads", "signals", "out", "work")
    _machine_options(parser)


def _add_summarise_changes(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.causal import summarise_changes

        config = _slice(arguments, "studies/{study}/causal")
        summarise_changes(config, arguments.tables, arguments.out)

    text = "Changes of loss with intervals, for every change of attention of a study."
    parser = _stage(commands, "summarise-changes", run, text)
    parser.add_argument("--tables", type=Path, nargs="+", required=True)
    _files(parser, "out")


def _add_compare_series(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.series import compare_series

        config = _slice(arguments, "studies/{study}/series")
        corpora = sorted(config["corpora"])
        pairs = [(model, corpus) for corpus in corpora for model in config["models"]]
        compare_series(
            config,
            dict(zip(corpora, arguments.documents, strict=True)),
            dict(zip(pairs, arguments.sequences, strict=True)),
            dict(zip(pairs, arguments.signals, strict=True)),
            arguments.answers,
            arguments.spectra,
        )

    text = "How attention answers to series whose scales are known."
    parser = _stage(commands, "compare-series", run, text)
    parser.add_argument("--documents", type=Path, nargs="+", required=True, help="of each corpus")
    each = "of each corpus and model, models of the first corpus first"
    parser.add_argument("--sequences", type=Path, nargs="+", required=True, help=each)
    parser.add_argument("--signals", type=Path, nargs="+", required=True, help=each)
    _files(parser, "answers", "spectra")


def _add_compare_tables(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.nearest import compare_tables

        config = _slice(arguments, "studies/{study}/nearest")
        outputs = (arguments.cells, arguments.nearest, arguments.reproduction)
        compare_tables(config, arguments.summary, *outputs)

    text = "Put the published tables beside ours; find which measured cell comes nearest to each."
    parser = _stage(commands, "compare-tables", run, text)
    _files(parser, "summary", "cells", "nearest", "reproduction")


def _add_plot_study(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.publish import plot_study

        config = _slice(arguments, "studies/{study}/figures")
        tables = (arguments.heads, arguments.models, arguments.pairs)
        others = (next(iter(paths), None) for paths in (arguments.runs, arguments.causal))
        plot_study(config, *tables, arguments.out, *others, arguments.series)

    parser = _stage(commands, "plot-study", run, "Draw the figures of a study.")
    _files(parser, "heads", "models", "pairs", "out")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="if models are trained")
    parser.add_argument("--causal", type=Path, nargs="*", default=[], help="if it has any")
    known = "answers and spectra, if scales of the data are known"
    parser.add_argument("--series", type=Path, nargs="*", default=[], help=known)


def _add_write_report(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.stages.publish import write_study_report

        config = _slice(arguments, "studies/{study}/report")
        tables = (arguments.heads, arguments.models, arguments.pairs, arguments.summary)
        write_study_report(
            config,
            arguments.manifests,
            arguments.corpora,
            arguments.signals,
            *tables,
            arguments.nearest,
            arguments.reproduction,
            arguments.figures,
            arguments.out,
            next(iter(arguments.claims), None),
            arguments.compared,
            next(iter(arguments.causal), None),
            arguments.series,
        )

    parser = _stage(commands, "write-report", run, "Write the report of a study.")
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--corpora", type=Path, nargs="+", required=True, help="their manifests")
    parser.add_argument("--signals", type=Path, nargs="+", required=True)
    tables = ("heads", "models", "pairs", "summary", "nearest", "reproduction")
    _files(parser, *tables, "figures", "out")
    parser.add_argument("--claims", type=Path, nargs="*", default=[], help="if it has claims")
    parser.add_argument("--causal", type=Path, nargs="*", default=[], help="if it has any")
    known = "answers and spectra, if scales of the data are known"
    parser.add_argument("--series", type=Path, nargs="*", default=[], help=known)
    trained = "runs, changes and phases, if models are trained"
    parser.add_argument("--compared", type=Path, nargs="*", default=[], help=trained)


def _add_measure(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.compose import default_conf, load_member
        from attention_wavelets.stages.measure import measure_array

        conf = arguments.conf or default_conf()
        protocol = load_member("protocol", arguments.protocol, conf, {})
        count = measure_array(
            arguments.signals,
            protocol,
            arguments.out,
            by_lag=arguments.by_lag,
            where=f"conf/protocol/{arguments.protocol}.yaml",
        )
        _say(f"{count} signals measured: {arguments.out}")

    text = "Measure any array of signals (last axis = position): one row per signal, in order."
    parser = _command(commands, "measure", run, text)
    parser.add_argument("signals", type=Path, help="a .npy file of non-negative rows")
    named = "`attention-wavelets ls protocols` lists them"
    parser.add_argument("--protocol", default="paper", help=f"default paper; {named}")
    lags = "the last axis is lag 0, 1, 2, ... instead of position"
    parser.add_argument("--by-lag", action="store_true", help=lags)
    parser.add_argument("--conf", type=Path, help="folder of the YAML files")
    _files(parser, "out")


def _add_profile(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.compose import default_conf
        from attention_wavelets.stages.profile import profile_model

        conf = arguments.conf or default_conf()
        out = arguments.out or Path(f"{arguments.model.resolve().name}-profile.html")
        profile_model(
            arguments.model,
            arguments.text,
            out,
            conf=conf,
            tokens=arguments.tokens,
            count=arguments.sequences,
            device=arguments.device,
        )
        _say(f"profile: {out}")

    text = "One page on your own model: a local folder or GGUF file, and a text of yours."
    parser = _command(commands, "profile", run, text)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="a text file or a folder of them")
    parser.add_argument("--out", type=Path, help="HTML file; default <model>-profile.html")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--sequences", type=int, default=32, help="at most this many")
    parser.add_argument("--device", choices=_DEVICES, default="auto")
    parser.add_argument("--conf", type=Path, help="folder of the YAML files")


def _add_summary(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.report.claims import terminal_claims
        from attention_wavelets.report.summary import terminal_table
        from attention_wavelets.store.tables import read_csv

        models = read_csv(arguments.study / "models.csv")
        if not {"model", "label", "of"} <= set(models.columns):
            raise PipelineError("is no table of models", str(arguments.study / "models.csv"))
        _say(terminal_table(models))
        if (arguments.study / "claims.csv").is_file():
            _say("\n" + terminal_claims(read_csv(arguments.study / "claims.csv")))
        _say(f"\nreport: {arguments.study / 'report.html'}")

    text = "Print a finished study's table and where its report is."
    parser = _command(commands, "summary", run, text)
    parser.add_argument("study", type=Path, help="folder, as in results/studies/quickstart")


def _add_ls(commands: Any) -> None:
    from attention_wavelets.config.compose import MEMBER_GROUPS, default_conf, options

    groups = {"corpora" if g == "corpus" else f"{g}s": g for g in MEMBER_GROUPS}
    groups["studies"] = "study"

    def run(arguments: Arguments) -> None:
        if arguments.what == "measures":
            names = _measure_names(arguments.conf or default_conf(), arguments.protocol)
        elif arguments.what in ("facts", "figures"):
            from typing import get_args

            from attention_wavelets.config.schema import FactName, FigureName

            names = list(get_args(FactName if arguments.what == "facts" else FigureName))
        else:
            names = options(arguments.conf or default_conf(), groups[arguments.what])
        _say("\n".join(names))

    parser = _command(commands, "ls", run, "List the names that YAML files can use.")
    parser.add_argument("what", choices=sorted([*groups, "facts", "figures", "measures"]))
    parser.add_argument("--protocol", help="whose measures; default those of every protocol")
    parser.add_argument("--conf", type=Path, help="folder of the YAML files")


def _measure_names(conf: Path, protocol: str | None) -> list[str]:
    """Names that `measures` of a protocol may hold, in the order of the columns."""
    from attention_wavelets.config.compose import load_member, options
    from attention_wavelets.measures.protocols import kind_of

    names = options(conf, "protocol") if protocol is None else [protocol]
    found = (load_member("protocol", name, conf, {}) for name in names)
    return list(dict.fromkeys(m.name for p in found for m in kind_of(p).measures(p)))


def _add_validate(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.compose import compose, default_conf
        from attention_wavelets.config.lock import LOCK_FILE, read_lock
        from attention_wavelets.config.slices import canonical, slices

        conf = arguments.conf or default_conf()
        experiment = compose(arguments.overrides, conf)
        made = slices(experiment, read_lock(conf / LOCK_FILE))
        if arguments.slices:
            _say("\n".join(f"{key} {canonical(made[key])}" for key in sorted(made)))
        for name, why in experiment.left_out.items():
            _say(f"left out: {name}: {why}")
        _say(
            f"study '{experiment.study_name}' is valid: {len(experiment.study.models)} models, "
            f"{len(experiment.study.measurements)} measurements, {len(made)} slices"
        )

    parser = _command(commands, "validate", run, "Check a study's YAML without running anything.")
    parser.add_argument("--slices", action="store_true", help="print every slice")
    _add_overrides(parser)


def _add_lock(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.compose import compose, default_conf
        from attention_wavelets.config.lock import LOCK_FILE, read_lock
        from attention_wavelets.models.lock import resolve_lock, write_lock

        conf = arguments.conf or default_conf()
        experiment = compose(arguments.overrides, conf)
        found = resolve_lock(experiment.model, experiment.corpus)
        if not found:
            _say("no model or text of this study comes from the hub: nothing to lock")
            return
        write_lock(conf / LOCK_FILE, {**read_lock(conf / LOCK_FILE), **found})
        _say("\n".join(f"{key}: {commit}" for key, commit in sorted(found.items())))

    text = "Resolve the study's branches and tags to commits in conf/model/revisions.lock.yaml."
    parser = _command(commands, "lock", run, text)
    _add_overrides(parser)


def _add_estimate(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.compose import compose, default_conf
        from attention_wavelets.resources.estimate import estimate, estimate_text, measured_rate

        experiment = compose(arguments.overrides, arguments.conf or default_conf())
        rate = measured_rate()
        table = estimate(_needs(experiment), arguments.gpu, rate)
        _say(estimate_text(table, arguments.gpu, rate))

    text = "Download, disk, memory and time of a study, model by model, before it runs."
    parser = _command(commands, "estimate", run, text)
    parser.add_argument("--gpu", default="a100-80", help="GPU to name times for; default a100-80")
    _add_overrides(parser)


def _needs(experiment: Any) -> Any:
    """Requests of the jobs, with the sizes of models and texts that were fetched here."""
    from attention_wavelets.resources.jobs import Needs, built_texts, fetched_facts

    results = Path("results") / (experiment.run.name or "")
    return Needs(experiment, fetched_facts(results), built_texts(results))


def _add_audit(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        import datetime

        from attention_wavelets.config.checkpoints import KNOWN_FILE
        from attention_wavelets.config.compose import compose, default_conf
        from attention_wavelets.models.audit import add_findings, audit_checkpoints

        conf = arguments.conf or default_conf()
        # Revisions that are known to be wrong already need not be looked at again.
        experiment = compose([*arguments.overrides, "study.bad_checkpoints=skip"], conf)
        sources = [
            experiment.model[name].source
            for names in experiment.families.values()
            for name in names
        ]
        if not sources:
            _say("no model of this study has `checkpoints`: nothing to audit")
            return
        findings = audit_checkpoints(sources)
        today = datetime.date.today().isoformat()
        new = add_findings(conf, findings, f"attention-wavelets audit, {today}")
        for finding in new:
            _say(f"{finding.repository} at {finding.revision}: {finding.finding}")
        _say(f"{len(sources)} revisions compared, {len(new)} findings new in conf/{KNOWN_FILE}")

    text = "Compare the checkpoints of a study on the hub, and write down those that are wrong."
    parser = _command(commands, "audit", run, text)
    _add_overrides(parser)


def _add_audit_checkpoints(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.config.schema import HubSource
        from attention_wavelets.models.audit import audit_checkpoints, refuse_new
        from attention_wavelets.store.atomic import write_json

        config = _slice(arguments, "models/{model}/audit")
        sources = [HubSource.model_validate(source) for source in config["sources"]]
        asked = sources if arguments.ask == "hub" else []
        refuse_new(audit_checkpoints(asked), config["name"])
        write_json(arguments.out, {"compared": [source.revision for source in asked]})

    text = "Refuse checkpoints of one model whose files are not what their names say."
    parser = _stage(commands, "audit-checkpoints", run, text, "model")
    _files(parser, "out")
    parser.add_argument("--ask", choices=("hub", "nobody"), default="hub")


def _add_cluster_check(commands: Any) -> None:
    def run(arguments: Arguments) -> None:
        from attention_wavelets.cluster import check_cluster, orphans, read_profile, run_in

        here = Path.cwd()
        if arguments.orphans:
            if left := orphans(here):
                jobs = " ".join(job for job, _ in left)
                process = run_in(here)
                raise PipelineError(
                    f"a run goes on here (process {process}), with {len(left)} jobs"
                    if process
                    else f"{len(left)} jobs of a killed run still work here ({left[0][1]})",
                    str(here),
                    "wait for it" if process else f"wait for them, or: scancel {jobs}",
                )
            return
        profile = read_profile(arguments.profile)
        requests = _largest(arguments, profile) if arguments.overrides else []
        found = check_cluster(profile, here, _caches(), requests)
        _say("\n".join(finding.line() for finding in found))
        if problems := sum(finding.level == "problem" for finding in found):
            raise PipelineError(
                f"{problems} problem{'s'[: problems > 1]} on this cluster",
                str(arguments.profile),
                "see above",
            )

    text = "Name what would hang or be refused on a SLURM cluster; submits nothing."
    parser = _command(commands, "cluster-check", run, text)
    default = Path("workflow/profiles/slurm")
    parser.add_argument("--profile", type=Path, default=default, help=f"default {default}")
    parser.add_argument("--orphans", action="store_true", help="only jobs of a killed run")
    _add_overrides(parser)


def _largest(arguments: Arguments, profile: dict[str, Any]) -> list[Any]:
    """The largest jobs of the study that the overrides choose."""
    from attention_wavelets.cluster import threads_of
    from attention_wavelets.config.compose import compose, default_conf
    from attention_wavelets.resources.largest import largest_requests

    experiment = compose(arguments.overrides, arguments.conf or default_conf())
    needs = _needs(experiment)
    return largest_requests(needs, lambda rule, usual: threads_of(profile, rule, usual))


def _caches() -> dict[str, Path]:
    """Folders outside of the working folder that jobs read."""
    from huggingface_hub import constants

    from attention_wavelets.sources.cache import cache_folder

    return {"cache of downloads": cache_folder(), "cache of the hub": Path(constants.HF_HUB_CACHE)}
