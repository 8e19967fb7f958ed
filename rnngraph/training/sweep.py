"""One training for each choice of settings and each seed, over several processes; what each of them gave."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cached_property, partial
from multiprocessing import get_context
from typing import Any

from msgspec import Struct, field

from rnngraph.data.dataset import made_of
from rnngraph.data.preprocessing import refuse_made_otherwise
from rnngraph.diagnostics.errors import CannotDo, UserError, told_of
from rnngraph.diagnostics.source import Source
from rnngraph.distributed.processes import ALONE, Processes, joined
from rnngraph.files.dataframes import frame
from rnngraph.ir.graph import Graph
from rnngraph.ir.identity import identity_of
from rnngraph.model import Model
from rnngraph.run_options import RunOptions
from rnngraph.system.cores import cores_given
from rnngraph.training.checkpoint import digests
from rnngraph.training.config import OPTIONS, FitConfig
from rnngraph.training.fit import Interrupted
from rnngraph.training.train import ARGUMENTS, beside_equations, tester, train, with_optimiser

Record = dict[str, Any]
SEED, FAILED, OF = "seed", "failed", "of"
_COUNTS = ("epochs_run", "best_epoch")
_BESIDE = (*_COUNTS, FAILED, OF)


class Given(Struct, frozen=True, dict=True):
    """The data of a run."""

    data: Mapping[str, Any]
    validation: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None

    @cached_property
    def digests(self) -> list[dict[str, str]]:
        return [digests(data or {}) for data in (self.data, self.validation, self.test)]


class Task(Struct, frozen=True):
    """What all runs share: the model's text, how it is run, and what overrides its recipe; and the data of each choice
    (of tables and texts they are made for its settings, and laid out for its batches)."""

    source: Source
    name: str | None
    settings: Mapping[str, Any]
    options: RunOptions
    given: Mapping[tuple[str, ...], Given]
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def model(self, settings: Mapping[str, Any]) -> Model:
        return Model.read(self.source, {**self.settings, **settings}, self.name)

    def digest(self, run: Run) -> str:
        """Of all that the numbers of a run follow from: the model and its first weights, the recipe, the data."""
        model, recipe = _made(self, run)
        config = FitConfig.from_recipe(model.recipe, **{**recipe, SEED: run.seed})
        graphs = [_judged(graph) for graph in (model.graph, model.for_training.graph)]
        beside = beside_equations(model, self.options)
        weights = digests(model.init(run.seed, self.options.dtype))
        told = [graphs, beside, weights, config.as_json(), self.given[run.choice].digests]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _judged(graph: Graph) -> str:
    """A digest of how the loss and the metrics are computed."""
    judged = {n: v for n, v in graph.outputs.items() if n == "loss" or n.startswith("metric.")}
    return identity_of(graph.with_outputs(judged)).whole


class Run(Struct, frozen=True):
    """One choice: a value for each name that is varied, and a seed."""

    varied: Mapping[str, Any]
    seed: int

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it apart, as a table holds it."""
        return (*self.choice, str(self.seed))

    @property
    def choice(self) -> tuple[str, ...]:
        """What its seeds share."""
        return tuple(map(str, self.varied.values()))


class Sweep(Struct, frozen=True):
    """A record for each run, in their order: what was varied, the seed, the losses and metrics of the epoch whose
    weights count, the epochs that were run, why it `failed`, where it did, and a digest of what it was made `of`.
    `names` are what was varied."""

    names: tuple[str, ...]
    records: tuple[Record, ...]

    @property
    def score(self) -> str:
        """What the runs are judged by: the held-back loss where there is one."""
        scores = ("validation.loss", "test.loss", "loss")
        return next((s for s in scores if any(s in record for record in self.records)), "loss")

    def groups(self) -> list[tuple[tuple[Any, ...], list[Record]]]:
        """The runs of each choice, its seeds together, the best mean score first."""
        found: dict[tuple[str, ...], list[Record]] = {}
        for record in self.records:
            found.setdefault(tuple(str(record[name]) for name in self.names), []).append(record)
        groups = [(tuple(records[0][name] for name in self.names), records) for records in found.values()]
        return sorted(groups, key=lambda group: _mean(self.scores(group[1])))

    def scores(self, records: Sequence[Record]) -> list[float]:
        return [record[self.score] for record in records if self.score in record]

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each run."""
        return frame(list(self.records))


def plain(value: Any) -> str:
    """A value as a person writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mean(values: Sequence[float]) -> float:
    """Infinite where there are none, or one is no number: nothing is worse."""
    mean = sum(values) / len(values) if values else math.inf
    return math.inf if math.isnan(mean) else mean


def runs_of(vary: Mapping[str, Sequence[Any]], seeds: int) -> list[Run]:
    """Every choice of a value for each name, with each seed from 0 on. UserError where nothing is varied, or two runs
    would be the same."""
    if SEED in vary:
        raise UserError("the seed is not varied by name", "E752", "say how many seeds: --seeds 5, seeds=5")
    tried = [_tried(name, values) for name, values in vary.items()]
    if not all(tried) or seeds < 1:
        raise UserError("there is nothing to try: each name needs a value, and there must be a seed", "E752")
    choices = itertools.product(*tried)
    return [Run(dict(zip(vary, choice, strict=True)), seed) for choice in choices for seed in range(seeds)]


def _tried(name: str, values: object) -> list[Any]:
    """The values that are tried of a name, each once."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserError(f"`{name}` is varied over {told_of(values)}", "E752", f"give a list: {{'{name}': [1, 2]}}")
    found = list(values)
    words = [str(value) for value in found]
    if twice := [word for place, word in enumerate(words) if word in words[:place]]:
        told = f"`{name}` is varied over `{twice[0]}` twice, which is the same run"
        raise UserError(told, "E752", "name each value once; `seeds` repeats a run with other random numbers")
    return found


def check(task: Task, runs: Sequence[Run]) -> None:
    """UserError where a name or a value cannot be had, or data mean something else, before anything is trained."""
    for given in task.given.values():
        for data, what in ((given.validation, "the validation data"), (given.test, "the test data")):
            refuse_made_otherwise(made_of(data or {}), made_of(given.data), what, "the data")
    for run in choices(runs):
        planned(task, run)


def choices(runs: Sequence[Run]) -> list[Run]:
    """A run of each choice."""
    return list({run.choice: run for run in runs}.values())


def planned(task: Task, run: Run) -> tuple[Model, FitConfig]:
    """The model of a run and how it is trained. UserError where a name or a value cannot be had."""
    model, recipe = _made(task, run)
    return model, FitConfig.from_recipe(model.recipe, **recipe)


def sweep(
    task: Task,
    runs: Sequence[Run],
    jobs: int = 1,
    known: Mapping[tuple[str, ...], Record] | None = None,
    tell: Callable[[Sequence[Record]], None] = lambda records: None,
    processes: Processes = ALONE,
) -> Sweep:
    """Trains each run that is not `known`; `jobs` of them at a time, each in a process with its share of the cores.

    Several `processes` call it together; each trains one run of a round, the first one's `known` count, and it is told
    alone. `tell` is given all records so far, in the order of the runs, whenever one is done, or a round. A run whose
    loss is no longer finite fails alone. The numbers depend neither on `jobs` nor on `processes`. UserError where a
    name or a value cannot be had, KeyboardInterrupt where a run was interrupted.
    """
    if jobs > 1 and processes.size > 1:
        raise UserError("several processes share the trainings of a sweep, one each", "E623", "leave out `jobs`")
    check(task, runs)
    digest_of = {run.key: task.digest(run) for run in runs}
    there = processes.of_first(lambda: {} if known is None else dict(known))
    done = {run.key: {**there[run.key], **run.varied, SEED: run.seed} for run in runs if run.key in there}
    left = [run for run in runs if run.key not in done]
    for run, record in _records(task, left, jobs) if processes.size == 1 else _shared(task, left, processes):
        done[run.key] = {**record, OF: digest_of[run.key]}
        if processes.rank == 0:
            tell([done[run.key] for run in runs if run.key in done])
    return Sweep(tuple(runs[0].varied), tuple(done[run.key] for run in runs))


def _records(task: Task, runs: Sequence[Run], jobs: int) -> Iterator[tuple[Run, Record]]:
    if jobs <= 1 or len(runs) <= 1:
        yield from ((run, trained(task, run)) for run in runs)
        return
    threads = max(1, cores_given() // jobs)
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (task, threads))
    try:
        futures = {pool.submit(_in_process, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _shared(task: Task, runs: Sequence[Run], processes: Processes) -> Iterator[tuple[Run, Record]]:
    """One run for each process, then the next ones, so that what is done is known to all, and kept."""
    for start in range(0, len(runs), processes.size):
        turn = runs[start : start + processes.size]
        mine = turn[processes.rank : processes.rank + 1]
        yield from zip(turn, joined(processes, partial(_trained_each, task, mine)), strict=True)


def _trained_each(task: Task, runs: Sequence[Run]) -> list[Record]:
    return [trained(task, run) for run in runs]


_TASK: list[Task] = []
"""The task of a process that only trains."""


def _begin(task: Task, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began this one ends it
    os.environ["RNNGRAPH_THREADS"] = str(threads)
    _TASK.append(task)


def _in_process(run: Run) -> Record:
    return trained(_TASK[0], run)


def trained(task: Task, run: Run) -> Record:
    """What one run gives."""
    begun: Record = {**run.varied, SEED: run.seed}
    given, (model, recipe) = task.given[run.choice], _made(task, run)
    try:
        fitted = train(model, given.data, given.validation, {**recipe, SEED: run.seed}, options=task.options)
        measure = None if given.test is None else tester(model, given.test, task.options, overrides=recipe)
        test = measure(fitted.weights) if measure is not None else {}
    except Interrupted:  # of the whole sweep
        raise KeyboardInterrupt from None
    except CannotDo as error:
        return {**begun, FAILED: error.diagnostics[0].message}
    epochs = len(fitted.history)
    last = fitted.history[(fitted.best_epoch or epochs) - 1] if epochs else {}
    scores = {name: value for name, value in last.items() if name != "epoch"}
    tested = {f"test.{name}": value for name, value in test.items()}
    return {**begun, **scores, **tested, "epochs_run": epochs, "best_epoch": fitted.best_epoch}


def _made(task: Task, run: Run) -> tuple[Model, dict[str, Any]]:
    """The model and the recipe of a run: what is no option of training is a setting of the model."""
    given = {**task.recipe, **{n: v for n, v in run.varied.items() if n in OPTIONS or n in ARGUMENTS}}
    model = task.model({n: v for n, v in run.varied.items() if n not in given})
    return model, with_optimiser(model, given)


def known_runs(records: Sequence[Mapping[str, str]], task: Task, runs: Sequence[Run]) -> dict[tuple[str, ...], Record]:
    """The runs that a table holds already, made of the same, whatever was varied there; those that failed are tried
    again."""
    names = (*runs[0].varied, SEED)
    there = {_key(record, names) for record in records}
    rows = {(_key(record, names), record.get(OF)): record for record in records if not record.get(FAILED)}
    made = {run.key: (run.key, task.digest(run)) for run in runs if run.key in there}
    return {key: _typed(rows[of], names) for key, of in made.items() if of in rows}


def other_runs(records: Sequence[Mapping[str, str]], runs: Sequence[Run]) -> list[Mapping[str, str]]:
    """What a table holds beside these runs: of other values, or where something else was varied too."""
    keys, names = {run.key for run in runs}, (*runs[0].varied, SEED)
    return [record for record in records if _key(record, names) not in keys or _chosen_beside(record, names)]


def _key(record: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(record.get(name, "") for name in names)


def _chosen_beside(record: Mapping[str, str], names: Sequence[str]) -> bool:
    """Whether a line of a table says what else was varied."""
    return any(value and name not in (*names, *_BESIDE) and not _is_score(name) for name, value in record.items())


def _is_score(name: str) -> bool:
    return name == "loss" or name.startswith(("validation.", "test."))


def _typed(row: Mapping[str, str], words: Sequence[str]) -> Record:
    numbers = {n: float(v) for n, v in row.items() if _is_score(n) and n not in words and v}
    counts = {n: int(row[n]) if row.get(n) else None for n in _COUNTS}
    return {**{n: row[n] for n in words}, **numbers, **counts, OF: row[OF]}
