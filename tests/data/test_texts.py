"""Texts as data: signs as ids, windows with what follows, alphabets that are kept."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.data.tokenising import pieces
from rnngraph.data.vocabulary import BYTES, alphabet_for, alphabet_in

MODEL = """\
model Writer(vocab = 5) {
  input text: seq int
  input following: seq int
  y, final = unroll RNN(4) over Embedding(vocab, 3)(text)
  scores = Dense(vocab)(y)
  output scores, final
  loss cross_entropy(scores, following)
}
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("abcabcabde")
    return path


def test_what_combines_with_a_letter_is_part_of_its_word() -> None:
    """Vowel signs, accents that stand alone and joiners are no letters to Python."""
    cafe = unicodedata.normalize("NFD", "déjà-vu café!")
    for text, words in {
        "हिन्दी भाषा": ["हिन्दी", "भाषा"],
        cafe: [*cafe[:-1].split(), "!"],
        "مُحَمَّد": ["مُحَمَّد"],
        "می\u200cخواهم": ["می\u200cخواهم"],
        "ok ✌\ufe0f a_b don't": ["ok", "✌\ufe0f", "a", "_", "b", "don't"],
    }.items():
        assert pieces(text, "word") == words
        alphabet = alphabet_for(text, "word")
        assert pieces(alphabet.text(alphabet.ids(text)), "word") == words


def test_characters_in_windows_with_what_follows(corpus: Path) -> None:
    data = rg.data.text(rg.parse(MODEL), corpus, steps=3)
    assert data["text"].tolist() == [[0, 1, 2], [0, 1, 2], [0, 1, 3]]
    assert data["following"].tolist() == [[1, 2, 0], [1, 2, 0], [1, 3, 4]]
    assert alphabet_in(data.made).signs == tuple("abcde")


def test_a_text_laid_out_in_rows(corpus: Path) -> None:
    data = rg.data.text(rg.parse(MODEL), corpus, rows=2)
    assert data["text"].tolist() == [[0, 1, 2, 0], [1, 2, 0, 1]]
    assert data["following"].tolist() == [[1, 2, 0, 1], [2, 0, 1, 3]]


def test_an_alphabet_is_kept(corpus: Path, tmp_path: Path) -> None:
    model = rg.parse(MODEL)
    made = rg.data.text(model, corpus, steps=3).made
    other = tmp_path / "other.txt"
    other.write_text("edc")
    assert rg.data.text(model, other, steps=2, like=made)["text"].tolist() == [[4, 3]]
    other.write_text("edz")
    with pytest.raises(rg.UserError, match="has 'z', which the model was not trained on"):
        rg.data.text(model, other, steps=2, like=made)


def test_words_that_are_too_many_share_an_id(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("the cat sat. the cat isn't a dog.\n")
    data = rg.data.text(rg.parse(MODEL), path, tokens="word", steps=4)
    found = alphabet_in(data.made)
    assert found.signs == (".", "cat", "the", "\n", "<unknown>")
    assert data["text"][0].tolist() == [2, 1, 4, 0]
    assert found.text([2, 1, 0, 3, 2]) == "the cat.\nthe"
    whole = alphabet_for("the cat isn't here", "word")
    assert whole.text(whole.ids("the cat isn't here")) == "the cat isn't here"


def test_bytes_are_any_text() -> None:
    assert BYTES.text(BYTES.ids("naïve ☂")) == "naïve ☂"


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        (MODEL.replace("vocab = 5", "vocab = 4"), {"steps": 3}, "has 5 signs .*takes 4"),
        (MODEL, {"steps": 10}, "a window of 10 signs and the sign behind it is longer than .*, which has 10"),
        (MODEL, {"tokens": "letters"}, "read by char, byte, word, got `letters`"),
        (MODEL, {"rows": 20}, "too few for 20 rows"),
        ("model M { input x: seq[3]\n output x }", {}, "needs one input that is a sequence of integers"),
    ],
)
def test_what_is_wrong_is_told(corpus: Path, model: str, more: dict[str, object], told: str) -> None:
    with pytest.raises(rg.UserError, match=f"(?s){told}"):
        rg.data.text(rg.parse(model), corpus, **more)


def test_what_is_cut_keeps_its_alphabet(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", text=[0, 1, 2, 0, 1], alphabet=["a", "b", "c"])
    data = rg.data.load([tmp_path / "d.npz"])
    assert rg.data.windows(data, 2).made == rg.data.streams(data, 2).made == data.made != {}


def test_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"caf\xe9 and more")
    with pytest.raises(rg.UserError, match="byte 3 is not UTF-8 text"):
        rg.data.text(rg.parse(MODEL), path)
