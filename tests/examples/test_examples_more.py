"""The sequence examples: a spotter that reads from both sides, attention, and labels without places in time."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rnngraph as rg
from rnngraph.cli.main import cli
from rnngraph.data.read import load
from tests.support.paths import ROOT
from tests.support.running import same_bits

EXAMPLES = ROOT / "examples"
DATA = EXAMPLES / "data"
PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")
NAMES = ["word_ends", "dates", "strips"]
AXES = {
    "word_ends": {"letters": "time", "ends": "time"},
    "dates": {"words": "source", "digits": "target"},
    "strips": {"strip": "column", "digits": "digit"},
}  # fmt: skip
"""The inputs of each model and the axes that they run over."""


@pytest.fixture(scope="module")
def scripts():
    """The scripts of the examples, which name each other by their own names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import make_sequences
        import read_sequences
        import sequence_baselines

        yield {"make": make_sequences, "baselines": sequence_baselines, "read": read_sequences}


def some_rows(name: str, count: int = 5) -> dict[str, Any]:
    """The shortest held-back rows of an example, with a step of padding behind the longest."""
    data = load([DATA / f"{name}-test.npz"])
    first = next(iter(AXES[name]))
    order = np.argsort(data[f"{first}.lengths"], kind="stable")[: 4 * count : 4]
    rows = {key: array[order] for key, array in data.items()}
    kept = {key: int(rows.get(f"{key}.lengths", rows[f"{first}.lengths"]).max()) + 1 for key in AXES[name]}
    return {key: array[:, : kept[key]] if key in kept else array for key, array in rows.items()}


def with_rubbish(name: str, rows: dict[str, Any]) -> dict[str, Any]:
    """The same rows with something else in the padding: NaN among the pixels, another id elsewhere."""
    first, changed = next(iter(AXES[name])), dict(rows)
    for key in AXES[name]:
        lengths = rows.get(f"{key}.lengths", rows[f"{first}.lengths"])
        padding = np.arange(rows[key].shape[1]) >= lengths[:, None]
        assert padding.any()
        changed[key] = rows[key].astype(float if key == "strip" else int)
        changed[key][padding] = np.nan if key == "strip" else 1
    return changed


def gave_the_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours and same_bits(ours, theirs)


# --- the models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_both_modes_give_the_same_bits(name: str) -> None:
    model, data = rg.load(EXAMPLES / f"{name}.rnn", units=6), some_rows(name)
    steps = {axis: data[key].shape[1] for key, axis in AXES[name].items()}
    static = model.compile(unroll="static", steps=steps, gradient=True)
    dynamic, weights = model.compile(gradient=True), model.init(1)
    gave_the_same(static.run(data, weights), dynamic.run(data, weights))
    (loss, ours), (other, theirs) = static.gradients(data, weights), dynamic.gradients(data, weights)
    assert loss == other
    gave_the_same(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_the_padding_does_not_matter(name: str) -> None:
    model, data = rg.load(EXAMPLES / f"{name}.rnn", units=6), some_rows(name)
    program, weights = model.compile(gradient="weights"), model.init(1)
    changed = with_rubbish(name, data)
    gave_the_same(program.run(data, weights), program.run(changed, weights))
    gave_the_same(program.gradients(data, weights)[1], program.gradients(changed, weights)[1])


def test_a_word_end_is_told_by_the_letters_behind_it() -> None:
    given = np.array([[ord(c) - ord("a") for c in text] for text in ("atruth", "atrust")])
    for forwards in (False, True):
        model = rg.load(EXAMPLES / "word_ends.rnn", units=6, forwards=forwards)
        data = {"letters": given, "ends": np.zeros_like(given)}
        scores = model.compile(watch=("scores",)).run(data, model.init(1))["scores"]
        assert np.array_equal(scores[0, :4], scores[1, :4]) == forwards
        assert not np.array_equal(scores[0, 4:], scores[1, 4:])


@pytest.mark.parametrize("attend", [True, False])
def test_a_date_is_exact_where_the_model_writes_it_so_by_itself(scripts: Any, attend: bool) -> None:
    """Told the right signs before, every sign is right just where the loop that reads its own signs is."""
    model = rg.load(EXAMPLES / "dates.rnn", units=6, attend=attend)
    program, data = model.compile(), some_rows("dates")
    for seed in range(3):
        weights = model.init(seed)
        written = program.run(data, weights)["written"]
        own = {"digits": written, "digits.lengths": np.array([ended(row) for row in written])}
        assert program.run({**data, **own}, weights)["exact"] == 1
        other = {**own, "digits": (written + (np.arange(written.shape[1]) == 0)) % 12}
        assert program.run({**data, **other}, weights)["exact"] == 0


def ended(signs: Any) -> int:
    """How many signs a date has, with its end."""
    ends = np.flatnonzero(signs == 0)
    return int(ends[0]) + 1 if len(ends) else len(signs)


# --- what is learned -------------------------------------------------------------------------------------------

SHORT = {
    "word_ends": ({"units": 32}, ["--epochs", "2", "--rate", "0.02"], "accuracy", 0.94),
    "dates": ({}, ["--epochs", "2"], "exact", 0.97),
    "strips": ({"units": 32}, ["--epochs", "3", "--rate", "0.02"], "exact", 0.4),
}
"""Settings, flags, and what a training much shorter than the recipe's reaches with ease."""


@pytest.mark.parametrize("name", NAMES)
def test_a_short_training_is_well_under_way(name: str, scripts: Any, tmp_path: Path) -> None:
    settings, flags, metric, least = SHORT[name]
    weights, test = str(tmp_path / "w.safetensors"), DATA / f"{name}-test.npz"
    files = ["--data", str(DATA / f"{name}-train.npz"), "--test", str(test), "--out", weights]
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    result = CliRunner().invoke(cli, ["train", str(EXAMPLES / f"{name}.rnn"), *files, *flags, *given, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["test"][metric]
    assert told >= least
    figures, _ = scripts["read"].judged(name, rg.load_weights(weights), load([test]), **settings)
    assert float(figures.split()[0]) == pytest.approx(told, abs=0.003 if name == "word_ends" else 1e-4)


def test_a_row_thinks_until_it_has_had_enough() -> None:
    """Adaptive computation time: all rows are in no other part; thoughts are counted, their shares add up to 1."""
    train, test = (load([DATA / f"ponder-{part}.npz"]) for part in ("train", "test"))
    rows = {row.tobytes() for part in (train, test) for row in part["bits"]}
    assert len(rows) == 2 + 4 + 8 + 16 + 32 + 64 + 128 + 256 == len(train["bits"]) + len(test["bits"])
    model = rg.load(EXAMPLES / "ponder.rnn")
    run = model.compile(watch=("share",)).run(test, model.init(0))
    share = run["share"]
    assert np.allclose(share.sum(axis=-1), 1) and share.shape[-1] == 12
    thoughts = (share > 0).sum(axis=-1)
    assert thoughts.min() >= 1 and np.all(run["cost"] > thoughts) and np.all(run["cost"] <= thoughts + 1)


# --- the baselines ---------------------------------------------------------------------------------------------


def test_the_page_quotes_the_baselines(scripts: Any) -> None:
    baselines = scripts["baselines"]
    train, test = load([DATA / "word_ends-train.npz"]), load([DATA / "word_ends-test.npz"])
    assert f"| no letter ends a word | {100 * baselines.no_words(test):.1f} % | | |" in PAGE
    words, _ = baselines.by_dictionary(train, test)
    assert f"| {100 * words.accuracy:.1f} % | {100 * words.words:.1f} % | {100 * words.new:.1f} % |" in PAGE
    strips = baselines.by_templates(load([DATA / "digits-train.npz"]), load([DATA / "strips-test.npz"]))
    assert f"| {100 * strips.exact:.1f} % | {100 * strips.mistakes:.1f} |" in PAGE


def test_a_dictionary_finds_the_words_it_knows(scripts: Any) -> None:
    baselines = scripts["baselines"]
    known = [["a", "truth"], ["truth", "at", "last"], ["a", "truth"]]
    assert baselines.likeliest("atruthatlast", baselines.dictionary(known, 1)) == ["a", "truth", "at", "last"]
    found = baselines.found([["at", "ruth", "is"]], [["a", "truth", "is"]], {"a"})
    assert found == baselines.Found(accuracy=1 - 2 / 8, words=1 / 3, new=1 / 2)


@pytest.mark.parametrize(
    "a, b, edits", [([], [], 0), ([1, 2, 3], [], 3), ([1, 2, 3], [1, 3], 1), ([1, 2], [2, 1], 2), ([5, 5], [5, 6], 1)]
)
def test_edits_are_counted(scripts: Any, a: list[int], b: list[int], edits: int) -> None:
    assert scripts["baselines"].edit_distance(a, b) == scripts["baselines"].edit_distance(b, a) == edits


def test_templates_read_what_is_made_of_them(scripts: Any) -> None:
    make, baselines = scripts["make"], scripts["baselines"]
    digits = load([DATA / "digits-train.npz"])
    columns, labels = (digits["image"][:40] * 16).astype("uint8").transpose(0, 2, 1), digits["digit"][:40]
    kept = baselines.templates(columns, labels)
    for seed in range(5):
        strip, said = make.strip(columns, labels, np.random.default_rng(seed))
        assert baselines.nearest(strip, kept) == said.tolist()


# --- the data --------------------------------------------------------------------------------------------------


def test_the_data_is_what_its_script_cuts(scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pride_and_prejudice.txt", "digits-train.npz", "digits-test.npz"):
        (tmp_path / name).write_bytes((DATA / name).read_bytes())
    monkeypatch.setattr(scripts["make"], "FOLDER", tmp_path)
    for cut in ("word_ends", "dates", "strips", "ponder"):
        getattr(scripts["make"], cut)()
    for name in (f"{name}-{part}" for name in (*NAMES, "ponder") for part in ("train", "test")):
        ours, kept = load([tmp_path / f"{name}.npz"]), load([DATA / f"{name}.npz"])
        assert ours.keys() == kept.keys()
        assert all(ours[k].dtype == kept[k].dtype and np.array_equal(ours[k], kept[k]) for k in ours)


def test_no_date_is_in_both_parts() -> None:
    train, test = (load([DATA / f"dates-{part}.npz"])["digits"] for part in ("train", "test"))
    known = {row.tobytes() for row in train}
    assert len(known) == len(train) and not known & {row.tobytes() for row in test}


def test_dates_are_said_as_people_say_them(scripts: Any) -> None:
    make = scripts["make"]
    assert make.spoken_year(1984, "and", True) == "nineteen eighty four"
    assert make.spoken_year(1984, "and", False) == "nineteen hundred and eighty four"
    assert make.spoken_year(1905, "", True) == "nineteen oh five"
    assert make.spoken_year(1900, "and", True) == make.spoken_year(1900, "", False) == "nineteen hundred"
    assert make.spoken_year(2000, "and", True) == "two thousand"
    assert make.spoken_year(2007, "and", True) == "two thousand and seven"
    assert make.spoken_year(2019, "and", True) == "twenty nineteen"
    assert [make.ordinal(n) for n in (3, 20, 23, 30, 31)] == [
        "third", "twentieth", "twenty third", "thirtieth", "thirty first",
    ]  # fmt: skip
    said = {make.spoken(datetime.date(1984, 5, 3), np.random.default_rng(s)).split()[-1] for s in range(20)}
    assert said == {"four"}


def test_sentences_are_words_of_small_letters(scripts: Any) -> None:
    text = "\"Mr. Bennet's _very_ odd,\" said she; is he?\nYes! N-no."
    assert scripts["make"].sentences(text) == [
        ["mr", "bennets", "very", "odd", "said", "she"], ["is", "he"], ["yes"], ["n", "no"],
    ]  # fmt: skip
    rows = scripts["make"].sentences("abcdefghij " * 20)
    assert [len("".join(row)) for row in rows] == [80, 80, 40]


def test_the_page_says_what_the_examples_are_for() -> None:
    for name in (*NAMES, "ponder"):
        assert f"rnngraph train examples/{name}.rnn --data examples/data/{name}-train.npz" in PAGE
        assert f"`{name}-train.npz`" in (DATA / "README.md").read_text(encoding="utf-8")
