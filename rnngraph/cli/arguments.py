"""What stands on the command line, looked at in one place before a verb begins.

Every file that a verb reads is an `Input`, every one that it writes an `Output`, so that `Verb` knows them all and
lets none be written over by another; every number has a type that says which it may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.optional import refuse_missing
from rnngraph.files.atomic_writes import form_of, refuse_clashes, refuse_unwritable

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType

Paths = dict[str, list[str]]
"""Files by the option that names them."""


class _OnDisk(_Type):
    """What a shell completes with the names of files."""

    kind = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type=self.kind)]


class Input(_OnDisk):
    """A file that is read."""

    name = "path"


class Output(_OnDisk):
    """A file that is written. `forms` are the endings that its name may have."""

    name = "path"

    def __init__(self, what: str, *forms: str) -> None:
        self.what, self.forms = what, forms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        form_of(value, self.forms, self.what)
        return value


class Plot(Output):
    """A picture that matplotlib draws, an extra: where it is missing, that is said before a verb begins."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        super().convert(value, param, ctx)
        refuse_missing("matplotlib")
        return value


class Folder(_OnDisk):
    """A folder in which files are written."""

    name = "folder"
    kind = "dir"


class EmptyText(_Type):
    """A text that may be empty."""

    name = "text"


class Whole(_Type):
    """A whole number from `least` on."""

    name = "integer"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            found = int(value)
        except ValueError:
            raise UserError(f"{_flag(param)} {_clipped(value)}: not a whole number", "E621") from None
        if found >= 2**63:
            raise UserError(f"{_flag(param)} {_clipped(value)}: too large", "E621")
        if found < self.least:
            raise UserError(f"{_flag(param)} {_clipped(value)}: must be {self.least} or more", "E621")
        return found


class Real(_Type):
    """A finite number from `least` on."""

    name = "number"

    def __init__(self, least: float = -math.inf) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = float(value)
        except ValueError:
            raise UserError(f"{_flag(param)} {_clipped(value)}: not a number", "E621") from None
        if not math.isfinite(found):
            raise UserError(f"{_flag(param)} {_clipped(value)}: must be finite", "E621")
        if found < self.least:
            raise UserError(f"{_flag(param)} {_clipped(value)}: must be {self.least:g} or more", "E621")
        return found


class Steps(_Type):
    """A number of steps for all axes, or one for each: 20, or source=20,target=30."""

    name = "N|AXIS=N,..."

    def __init__(self, least: int = 0) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | dict[str, int]:
        found = _steps(str(value)) if not isinstance(value, dict) else value
        given = f"{_flag(param)} {_clipped(value)}"
        if found is None:
            help = f"write {_flag(param)} 20, or {_flag(param)} source=20,target=30"
            raise UserError(f"{given}: neither a number of steps nor one for each axis", "E621", help)
        if not all(self.least <= n < 2**63 for n in (found.values() if isinstance(found, dict) else (found,))):
            raise UserError(f"{given}: a number of steps must be {self.least} or more, and below 2**63", "E621")
        return found


def _steps(text: str) -> int | dict[str, int] | None:
    pairs = [part.partition("=") for part in text.split(",")]
    with suppress(ValueError):
        if len(pairs) == 1 and not pairs[0][1]:
            return int(text)
        found = {axis.strip(): int(steps) for axis, _, steps in pairs}
        return found if len(found) == len(pairs) else None
    return None


class Wholes(_Type):
    """Whole numbers from `least` on, with commas between: 2,10,50."""

    name = "integers"

    def __init__(self, least: int = 0, what: str = "a number of steps") -> None:
        self.least, self.what = least, what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            told = f"{_flag(param)} {_clipped(value)}: not whole numbers with commas between"
            raise UserError(told, "E621", f"write {_flag(param)} 2,10,50") from None
        if any(not self.least <= n < 2**63 for n in found):
            raise UserError(f"{_flag(param)} {_clipped(value)}: {self.what} is {self.least} or more", "E621")
        return found


class StepsToTry(_Type):
    """Numbers of steps with commas between, and one for each axis that has its own: 2,10,50 or 2,10,50,label=15."""

    name = "N,...,AXIS=N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | dict[str, int], ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if any(_steps(part) is None for part in parts):
            told = f"{_flag(param)} {_clipped(value)}: not whole numbers with commas between"
            help = f"write {_flag(param)} 2,10,50, or {_flag(param)} 2,10,label=15 where an axis has its own number"
            raise UserError(told, "E621", help)
        return tuple(Steps().convert(part, param, ctx) for part in parts)


def _flag(param: click.Parameter | None) -> str:
    return param.opts[0] if param is not None else "the value"


def _clipped(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


class Verb(click.Command):
    """A command whose files and texts are looked at before it begins.

    `also` gives the outputs that no option names, such as a checkpoint beside the weights, from the parameters;
    `same` are pairs of options that may name one file.
    """

    def __init__(
        self,
        *args: Any,
        also: Callable[[Mapping[str, Any]], Paths] | None = None,
        same: tuple[tuple[str, str], ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.also, self.same = also, same

    def invoke(self, ctx: click.Context) -> Any:
        for option, value in self._given(ctx.params, click.types.StringParamType):
            if value == "":
                raise UserError(f"{option} is empty", "E624", "give it a value, or leave it out")
        inputs, outputs = self.inputs(ctx.params), self.outputs(ctx.params)
        for one, other in self.same:
            if one in outputs and inputs.get(other) == outputs[one]:
                inputs = {name: paths for name, paths in inputs.items() if name != other}
        refuse_clashes(inputs, outputs)
        refuse_unwritable(*(path for paths in outputs.values() for path in paths))
        return super().invoke(ctx)

    def inputs(self, given: Mapping[str, Any]) -> Paths:
        """The files that are read, by option."""
        return _gathered(self._given(given, Input))

    def outputs(self, given: Mapping[str, Any]) -> Paths:
        """The files that are written, by option."""
        return {**_gathered(self._given(given, Output)), **(self.also(given) if self.also else {})}

    def _given(self, given: Mapping[str, Any], kind: type) -> Iterator[tuple[str, Any]]:
        for param in self.params:
            value = given.get(param.name or "")
            if isinstance(param.type, kind) and value is not None:
                for one in value if isinstance(value, tuple | list) else [value]:
                    yield param.opts[0] if isinstance(param, click.Option) else f"`{param.human_readable_name}`", one


def _gathered(pairs: Iterator[tuple[str, Any]]) -> Paths:
    found: Paths = {}
    for option, path in pairs:
        found.setdefault(option, []).append(str(path))
    return found


class Verbs(click.Group):
    """A group whose commands are verbs."""

    command_class = Verb
