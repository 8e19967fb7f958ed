"""What `import rnngraph` gives: a model with a method for each command, under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from rnngraph import model as core
from rnngraph.compilation.schedule_checks import is_whole
from rnngraph.compiled import refuse_unnamed
from rnngraph.data.dataset import made_of
from rnngraph.data.preprocessing import refuse_made_otherwise
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.distributed.processes import ALONE, Processes
from rnngraph.files.atomic_writes import PathLike, form_of
from rnngraph.run_options import RunOptions, run_options
from rnngraph.weights.metadata import refuse_other
from rnngraph.weights.save_load import Weights

if TYPE_CHECKING:
    from rnngraph.analysis.bench import Bench
    from rnngraph.training.fit import Fitted
    from rnngraph.training.job import Progress
    from rnngraph.training.predict import Predictions
    from rnngraph.training.sweep import Sweep
    from rnngraph.viz.notebook_tables import ShownComparison, ShownCost
    from rnngraph.viz.summary import Summary
    from rnngraph.viz.write import Picture

Data = Mapping[str, Any]
Tell = Callable[[str], None]
Options = RunOptions | Mapping[str, Any] | None


class Model(core.Model):
    """One model of a file, with settings. Immutable; `compile` makes programs of it.

    Each verb of the command line is a method of the same name. `options` are those of `compile` that say how a model
    is run (`unroll`, `backend`, `dtype`, `kernels`, `keep`, `memory_limit`, `truncate`, `swap`, `products`), by name,
    over the model's `schedule` block; dtype is float32 where neither says.
    """

    def options(self, **given: Any) -> RunOptions:
        """How to run it: these over the model's `schedule` block over what holds where nobody says."""
        known = dict.fromkeys(asdict(RunOptions()))
        for name in given:
            if name not in known:
                told = f"there is no option `{name}`"
                raise UserError(told, "E612", did_you_mean(name, known) or f"there are {', '.join(known)}")
        asked = {**known, **{n: None if v is None else str(v) for n, v in given.items()}}
        return run_options(self, **asked, dtype_default="float32")

    def _how(self, options: Options) -> RunOptions:
        return options if isinstance(options, RunOptions) else self.options(**(options or {}))

    def own(self, weights: Data, data: Data | None = None) -> Data:
        """The weights. UserError where they know that they were trained for another model, or on data whose numbers
        meant something else."""
        if isinstance(weights, Weights):
            refuse_other("the weights", weights.about, self.about)
            told = "those that the weights were trained on"
            refuse_made_otherwise(made_of(data or {}), weights.about.data, "the data", told)
        return weights

    @kinds_checked
    def fit(
        self,
        data: Data,
        validation_data: Data | None = None,
        *,
        weights: Data | None = None,
        checkpoint: PathLike | None = None,
        resume: PathLike | None = None,
        options: Options = None,
        progress: Callable[[Progress], None] | None = None,
        comm: Any = None,
        log_gradients: bool = False,
        **recipe: Any,
    ) -> Fitted:
        """Trains on data (rows are axis 0 of every array), from new weights or from these, and gives the weights.

        `recipe` overrides the model's `train` block: `epochs`, `batch`, `optimizer` ("adam", or ("adam", {"rate":
        0.01})), `rate`, `momentum` and `decay` of the optimiser that it names, `rate_schedule`, `clip_norm`, `segment`
        and the others of `training.config.FitConfig`. `progress` is told after every update. A `checkpoint` is written
        after each epoch; `resume` goes on from one, to the same bits. `Fitted.weights` know their model and how the
        data were made: `rnngraph.save_weights` keeps that. With `log_gradients` each record of the history has the
        norms of the gradient on the first batch: `gradient.NAME` of a weight, `back.time.8` of the states 8 steps
        before the end of their rows.

        `comm` is a communicator of mpi4py: all of its processes call `fit` with the same arguments, compute gradients
        together and have the same weights at the end, to the bit those of any other number of processes with as many
        `shards`. The first one writes the checkpoint and tells progress; what fails on one is raised on all.

        UserError where the model has no loss, the data do not fit it, or a setting is unknown or out of range;
        CannotDo where the loss is no longer finite.
        """
        from rnngraph.training.train import train, with_optimiser

        kept, old = (None if p is None else str(p) for p in (checkpoint, resume))

        def work() -> Fitted:
            refuse_unnamed(data=data, weights=weights or {})
            return train(
                self, data, validation_data, with_optimiser(self, recipe), options=self._how(options), weights=weights,
                checkpoint=kept, resume=old, progress=progress, processes=processes, log_gradients=log_gradients,
            )  # fmt: skip

        with _processes(comm) as processes:
            return processes.agreed(work)

    @kinds_checked
    def sweep(
        self,
        data: Data,
        vary: Mapping[str, Sequence[Any]],
        seeds: int = 1,
        *,
        jobs: int = 1,
        validation_data: Data | None = None,
        test_data: Data | None = None,
        options: Options = None,
        known: Mapping[tuple[str, ...], dict[str, Any]] | None = None,
        progress: Callable[[Sequence[Mapping[str, Any]]], None] = lambda records: None,
        comm: Any = None,
        **recipe: Any,
    ) -> Sweep:
        """A training for each choice of the values that `vary` gives by name, and each seed from 0 on.

        A name is an option of training (`rate`, `batch`, `optimizer`), else a setting of the model. `jobs` trainings
        run at a time, each in a process with its share of the cores (the calling script needs
        `if __name__ == "__main__"` then); the numbers do not depend on it. `recipe` is as in `fit`. `progress` is told
        all records so far; those that are `known`, by what was varied and the seed as texts, are not made again. The
        processes of `comm`, a communicator of mpi4py, all call it with the same arguments and each train one run at a
        time; all have the records at the end, and the first one is told. A training whose loss is no longer finite
        fails alone. UserError where a name or a value cannot be had.
        """
        from rnngraph.training.sweep import Given, Task, runs_of, sweep

        how, given = self._how(options), Given(data, validation_data, test_data)

        def work() -> Sweep:
            runs = runs_of(vary, seeds)
            each = {run.choice: given for run in runs}
            task = Task(self.file.source, self.name, self.settings, how, each, recipe)
            return sweep(task, runs, jobs, known, progress, processes)

        with _processes(comm) as processes:
            return processes.agreed(work)

    @kinds_checked
    def evaluate(self, data: Data, weights: Data, options: Options = None) -> dict[str, float]:
        """The loss and the metrics of all rows, by name. UserError where the model has no loss."""
        from rnngraph.training.train import tester

        return tester(self, data, self._how(options))(self.own(weights, data))

    @kinds_checked
    def predict(self, data: Data, weights: Data, options: Options = None) -> Predictions:
        """The outputs for all rows, in the units of the table that the weights were trained on, with ids and dates
        beside them. UserError where no output has a value for each row."""
        from rnngraph.training.predict import predict

        return predict(self, data, self.own(weights, data), self._how(options))

    @kinds_checked
    def generate(self, weights: Data, prompt: str = "", *, data: Data | None = None, **style: Any) -> str:
        """The prompt and what the model writes after it, by the alphabet that the weights know, else as ids.

        `style`: `length`, `temperature`, `top_k`, `top_p`, `beam`, `length_penalty`, `end`, `seed`, `tokens`, `scores`;
        `progress` is told before each token.
        UserError where the model does not score a next token, or the prompt has signs that it does not know.
        """
        from rnngraph.data.vocabulary import alphabet_in
        from rnngraph.generation.generate import generated

        known = alphabet_in(weights.about.data) if isinstance(weights, Weights) else None
        return generated(self, self.own(weights), prompt, data or {}, **{"alphabet": known, "spare": True, **style})

    @kinds_checked
    def stream(
        self, weights: Data, lines: Iterable[str], dtype: str = "float32", *, data: Data | None = None
    ) -> Iterator[str]:
        """For each line of numbers (or of JSON) one line of JSON: the outputs of that step; states are kept between.

        `data` hold what is the same at every step, first states, and the `seed`.
        """
        from rnngraph.generation.streaming import stream

        return stream(self, self.own(weights, data), lines, dtype, data or {})

    def summary(self) -> Summary:
        """Blocks, weights and states, with the number of values of each: a mapping, and a table in a notebook."""
        from rnngraph.viz.summary import as_json

        return as_json(self.block)

    @kinds_checked
    def cost(
        self,
        steps: int | Mapping[str, int] = 100,
        batch: int = 32,
        *,
        gradient: bool = False,
        lengths: bool = False,
        options: Options = None,
    ) -> ShownCost:
        """The bytes of arrays that a run (or, with `gradient`, a training step) will take; nothing is run.

        `steps` are those of all axes of the data, or `{"time": 100, "label": 15}`.
        """
        from rnngraph.analysis.cost import cost
        from rnngraph.viz.notebook_tables import ShownCost

        _refuse_counts(_numbers(steps), batch, 0)
        found = cost(self, self._how(options).planned(gradient), steps, batch, lengths)
        return ShownCost(**asdict(found))

    @kinds_checked
    def compare(
        self,
        steps: Iterable[int] | Mapping[str, int] = (2, 10, 50, 100, 200, 500, 1000),
        batch: int = 32,
        *,
        modes: Iterable[str | int] = ("static", "dynamic"),
        repeats: int = 9,
        options: Options = None,
        progress: Tell = lambda text: None,
        **schedules: str,
    ) -> ShownComparison:
        """The modes proven equal, then what each costs: nodes, compile time, run time, bytes predicted and measured.

        `steps` are those of all axes of the data, or one number for each: `{"time": 100, "label": 15}`.
        `schedules` (`keep="sqrt,revolve:10"`, `memory_limit`, `truncate`) add rows.
        """
        from rnngraph.analysis.compare import compare
        from rnngraph.analysis.compare import schedules as rows
        from rnngraph.analysis.equality import Asked
        from rnngraph.runtime.choose_backend import backend_named
        from rnngraph.viz.notebook_tables import ShownComparison

        how = self._how(options)
        more = rows(**{**dict.fromkeys(("keep", "memory_limit", "truncate"), ""), **schedules})
        steps = steps if isinstance(steps, Mapping) else tuple(steps)
        _refuse_counts(_numbers(steps), batch, 0)
        told = Asked.steps_of(self, [steps] if isinstance(steps, Mapping) else steps)
        asked = Asked(tuple(modes), **told, batch=batch, dtype=how.dtype, repeats=repeats, schedules=more)
        found = compare(self, backend_named(how.backend, how.kernels or None, how.products), asked, progress)
        return ShownComparison(**asdict(found))

    @kinds_checked
    def bench(
        self,
        steps: int | Mapping[str, int] = 100,
        batch: int = 32,
        *,
        seconds: float = 2.0,
        options: Options = None,
        progress: Tell = lambda text: None,
    ) -> Bench:
        """The speed on made-up data, forward and in training: seconds, share of the machine's peak, time by line."""
        from rnngraph.analysis.bench import bench

        _refuse_counts(_numbers(steps), batch, 1)
        how, axes = self._how(options), self.steps_by_axis(steps)
        tasks = {"infer": lambda: how.compiled(self, axes), "train": lambda: how.training_step(self, axes)}
        return bench(self, how.dtype, tasks, axes, batch, seconds, progress)

    @kinds_checked
    def render(self, path: PathLike | None = None, **style: Any) -> Picture:
        """Draws it, loops opened or their steps side by side; to a file where one is named, in a notebook by itself.

        `style`: `unroll`, `steps`, `level` (1 to 3), `fold`, `gradient`, `detail`, `title`, `direction`, `dark`,
        `legend`, `shapes` and `cell`, as the options of `rnngraph render`.
        """
        from rnngraph.viz.render import drawn
        from rnngraph.viz.write import write

        found = drawn(self, **style)
        if path is not None:
            write(found, str(path))
        return found

    @kinds_checked
    def export(self, path: PathLike, weights: Data, *, operators: bool = False, **wanted: Any) -> None:
        """Writes it with its weights as .onnx, or as a .py file that needs only NumPy.

        `wanted`: `unroll`, `steps`, `lengths` (as inputs), `states`, `loss`, `dtype`. With `operators` ONNX has
        operators of its own for the layers that it knows.
        """
        from rnngraph.exchange.export.files import write_numpy, write_onnx
        from rnngraph.exchange.export.request import Wanted
        from rnngraph.exchange.export.scaling import scaling_note

        weights, made = self.own(weights), kinds_checked(Wanted)
        wanted["note"] = scaling_note(self, weights, bool(wanted.get("loss")))
        if form_of(path, ("onnx", "py"), "a model") == "onnx":
            write_onnx(path, self, weights, made(**wanted), operators)
        else:
            write_numpy(path, self, weights, made(**{"dtype": "float64", "lengths": True, **wanted}))

    def _repr_svg_(self) -> str:
        from rnngraph.viz.notebook import model_svg

        return model_svg(self)


def _numbers(steps: int | Iterable[int] | Mapping[str, int]) -> Iterable[int]:
    return steps.values() if isinstance(steps, Mapping) else steps if isinstance(steps, Iterable) else [steps]


def _refuse_counts(steps: Iterable[int], batch: int, least: int) -> None:
    """UserError where there cannot be so many steps, or rows."""
    for what, number, fewest in (*(("steps", n, least) for n in steps), ("rows", batch, 1)):
        if not is_whole(number) or not fewest <= number < 2**63:
            told = f"{number} is not a number of {what}"
            raise UserError(told, "E621", f"give a whole number of {fewest} or more, and below 2**63")


@contextmanager
def _processes(comm: Any) -> Iterator[Processes]:
    """Those of a communicator; without one this process alone."""
    if comm is None:
        yield ALONE
        return
    from rnngraph.distributed.mpi import of

    processes = of(comm)
    try:
        yield processes
    finally:
        processes.free()


@kinds_checked
def load(path: PathLike, model: str | None = None, /, **settings: Any) -> Model:
    """The model of a `.rnn` file (by name, where there are several), with these settings.

    CannotDo where there is no readable file, UserError with every mistake that is in it.
    """
    from rnngraph.language.syntax.parser import read_source

    return Model.read(read_source(Path(path)), settings, model)


@kinds_checked
def parse(text: str, model: str | None = None, /, **settings: Any) -> Model:
    """The model of a text, with these settings. UserError with every mistake that is in it."""
    return Model.read(Source("<text>", text), settings, model)
