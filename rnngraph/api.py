"""What `import rnngraph` gives: a model with a method for each command, under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnngraph import model as core
from rnngraph.diagnostics.source import Source
from rnngraph.files.outputs import PathLike, form_of
from rnngraph.run_options import RunOptions, over_defaults

if TYPE_CHECKING:
    from rnngraph.analysis.bench import Bench
    from rnngraph.analysis.cost import Cost
    from rnngraph.analysis.results import Comparison
    from rnngraph.training.fit import Fitted, Progress
    from rnngraph.training.predict import Predictions
    from rnngraph.viz.write import Picture

Data = Mapping[str, Any]
Tell = Callable[[str], None]


class Model(core.Model):
    """One model of a file, with settings. Immutable; `compile` makes programs of it.

    Each verb of the command line is a method of the same name. `options` are those of `compile` that say how a model
    is run (`unroll`, `backend`, `dtype`, `kernels`, `keep`, `memory_limit`, `truncate`, `swap`), over the model's
    `schedule` block; dtype is float32 where neither says.
    """

    def options(self, **given: Any) -> RunOptions:
        """How to run it: these over the model's `schedule` block over what holds where nobody says."""
        asked = {**dict.fromkeys(asdict(RunOptions())), **{n: None if v is None else str(v) for n, v in given.items()}}
        return RunOptions(**over_defaults(self.made.schedule, **asked, dtype_default="float32"))

    def fit(
        self,
        data: Data,
        validation_data: Data | None = None,
        *,
        weights: Data | None = None,
        checkpoint: PathLike | None = None,
        resume: PathLike | None = None,
        options: RunOptions | None = None,
        progress: Callable[[Progress], None] | None = None,
        **recipe: Any,
    ) -> Fitted:
        """Trains on data (rows are axis 0 of every array), from new weights or from these, and gives the weights.

        `recipe` overrides the model's `train` block: `epochs`, `batch`, `optimizer` ("adam", or ("adam", {"rate":
        0.01})), `rate_schedule`, `clip_norm`, `segment` and the others of `training.config.FitConfig`. `progress` is
        told after every update. A `checkpoint` is written after each epoch; `resume` goes on from one, to the same
        bits. `Fitted.weights` know their model and how the data were made: `rnngraph.save_weights` keeps that.

        UserError where the model has no loss, the data do not fit it, or a setting is unknown or out of range;
        CannotDo where the loss is no longer finite.
        """
        from rnngraph.training.train import train

        kept, old = (None if p is None else str(p) for p in (checkpoint, resume))
        how = options or self.options()
        return train(
            self, data, validation_data, recipe,
            options=how, weights=weights, checkpoint=kept, resume=old, progress=progress,
        )  # fmt: skip

    def evaluate(self, data: Data, weights: Data, options: RunOptions | None = None) -> dict[str, float]:
        """The loss and the metrics of all rows, by name. UserError where the model has no loss."""
        from rnngraph.training.train import tester

        return tester(self, data, options or self.options())(weights)

    def predict(self, data: Data, weights: Data, options: RunOptions | None = None) -> Predictions:
        """The outputs for all rows, in the units of the table that the weights were trained on, with ids and dates
        beside them. UserError where no output has a value for each row."""
        from rnngraph.training.predict import predict

        return predict(self, data, weights, options or self.options())

    def generate(self, weights: Data, prompt: str = "", *, data: Data | None = None, **style: Any) -> str:
        """The prompt and what the model writes after it, by the alphabet that the weights know, else as ids.

        `style`: `length`, `temperature`, `top_k`, `top_p`, `beam`, `length_penalty`, `end`, `seed`, `tokens`, `scores`.
        UserError where the model does not score a next token, or the prompt has signs that it does not know.
        """
        from rnngraph.data.alphabet import alphabet_in
        from rnngraph.generation.generate import generated
        from rnngraph.weights.save_load import Weights

        known = alphabet_in(weights.about.data) if isinstance(weights, Weights) else None
        return generated(self, weights, prompt, data or {}, **{"alphabet": known, **style})

    def stream(self, weights: Data, lines: Iterable[str], dtype: str = "float32") -> Iterator[str]:
        """For each line of numbers (or of JSON) one line of JSON: the outputs of that step; states are kept between."""
        from rnngraph.generation.streaming import stream

        return stream(self, weights, lines, dtype, {})

    def summary(self) -> dict[str, Any]:
        """Blocks, weights and states, with the number of values of each."""
        from rnngraph.viz.summary import as_json

        return as_json(self.block)

    def cost(
        self,
        steps: int = 100,
        batch: int = 32,
        *,
        gradient: bool = False,
        lengths: bool = False,
        options: RunOptions | None = None,
    ) -> Cost:
        """The bytes of arrays that a run (or, with `gradient`, a training step) will take; nothing is run."""
        from rnngraph.analysis.cost import cost

        how = options or self.options()
        return cost(self, how.training_step if gradient else how.compiled, steps, batch, lengths)

    def compare(
        self,
        steps: Iterable[int] = (2, 10, 50, 100, 200, 500, 1000),
        batch: int = 32,
        *,
        modes: Iterable[str] = ("static", "dynamic"),
        repeats: int = 9,
        options: RunOptions | None = None,
        progress: Tell = lambda text: None,
        **schedules: str,
    ) -> Comparison:
        """The modes proven equal, then what each costs: nodes, compile time, run time, bytes predicted and measured.

        `schedules` (`keep="sqrt,revolve:10"`, `memory_limit`, `truncate`) add rows.
        """
        from rnngraph.analysis.compare import compare
        from rnngraph.analysis.compare import schedules as rows
        from rnngraph.analysis.equality import Asked
        from rnngraph.runtime.choose_backend import backend_named

        how = options or self.options()
        more = rows(**{**dict.fromkeys(("keep", "memory_limit", "truncate"), ""), **schedules})
        asked = Asked(tuple(modes), tuple(steps), batch, how.dtype, repeats, 0, more)
        return compare(self, backend_named(how.backend, how.kernels or None), asked, progress)

    def bench(
        self,
        steps: int | Mapping[str, int] = 100,
        batch: int = 32,
        *,
        seconds: float = 2.0,
        options: RunOptions | None = None,
        progress: Tell = lambda text: None,
    ) -> Bench:
        """The speed on made-up data, forward and in training: seconds, share of the machine's peak, time by line."""
        from rnngraph.analysis.bench import bench

        how, axes = options or self.options(), self.steps_by_axis(steps)
        tasks = {"infer": lambda: how.compiled(self, axes), "train": lambda: how.training_step(self, axes)}
        return bench(self, how.dtype, tasks, axes, batch, seconds, progress)

    def render(self, path: PathLike | None = None, **style: Any) -> Picture:
        """Draws it: one box for each cell and layer; to a file where one is named, in a notebook by itself.

        `style`: `unroll`, `steps`, `opened`, `fold`, `gradient`, `detail`, as the options of `rnngraph render`.
        """
        from rnngraph.viz.render import drawn
        from rnngraph.viz.write import write

        found = drawn(self, **style)
        if path is not None:
            write(found, str(path))
        return found

    def export(self, path: PathLike, weights: Data, **wanted: Any) -> None:
        """Writes it with its weights as .onnx, or as a .py file that needs only NumPy.

        `wanted`: `unroll`, `steps`, `lengths` (as inputs), `states`, `loss`, `dtype`; for ONNX `operators`.
        """
        from rnngraph.exchange.export.files import write_numpy, write_onnx
        from rnngraph.exchange.export.request import Wanted

        operators = bool(wanted.pop("operators", False))
        if form_of(path, ("onnx", "py"), "a model") == "onnx":
            write_onnx(path, self, weights, Wanted(**wanted), operators)
        else:
            write_numpy(path, self, weights, Wanted(**{"dtype": "float64", "lengths": True, **wanted}))

    def _repr_svg_(self) -> str:
        from rnngraph.viz.notebook import model_svg

        return model_svg(self)


def load(path: PathLike, model: str | None = None, /, **settings: Any) -> Model:
    """The model of a `.rnn` file (by name, where there are several), with these settings.

    CannotDo where there is no readable file, UserError with every mistake that is in it.
    """
    from rnngraph.language.syntax.parser import read_source

    return Model.read(read_source(Path(path)), settings, model)


def parse(text: str, model: str | None = None, /, **settings: Any) -> Model:
    """The model of a text, with these settings. UserError with every mistake that is in it."""
    return Model.read(Source("<text>", text), settings, model)
