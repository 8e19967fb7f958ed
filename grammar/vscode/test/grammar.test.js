// The TextMate grammar as VS Code runs it: which scope each word of a text gets.

const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");
const oniguruma = require("vscode-oniguruma");
const { Registry, parseRawGrammar } = require("vscode-textmate");

const FILE = join(__dirname, "..", "syntaxes", "rnn.tmLanguage.json");

async function scopes(line) {
  await oniguruma.loadWASM(readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")).buffer).catch(() => {});
  const onigLib = Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  });
  const loadGrammar = async () => parseRawGrammar(readFileSync(FILE, "utf-8"), FILE);
  const grammar = await new Registry({ onigLib, loadGrammar }).loadGrammar("source.rnn");
  const found = {};
  for (const token of grammar.tokenizeLine(line, null).tokens) {
    const word = line.slice(token.startIndex, token.endIndex).trim();
    if (word) found[word] = token.scopes.at(-1);
  }
  return found;
}

for (const [line, wanted] of [
  ["cell Gate(units, act = tanh) {", { cell: "keyword.control.rnn", Gate: "entity.name.type.rnn", tanh: "support.function.rnn" }],
  ["  h' = tanh([x, h] @ kernel)  # note", { "h'": "variable.other.property.rnn", "@": "keyword.operator.rnn", "# note": "comment.line.number-sign.rnn" }],
  ["  y, final = unroll LSTM(4) over x reversed", { unroll: "keyword.control.rnn", LSTM: "support.class.rnn", 4: "constant.numeric.rnn", reversed: "keyword.control.rnn" }],
  ["  input words: seq@source int", { input: "keyword.control.rnn", seq: "storage.type.rnn", int: "storage.type.rnn" }],
  ["  param k: [n] ~ glorot_uniform", { "~": "keyword.operator.rnn", glorot_uniform: "support.function.rnn" }],
  ['import "cells.rnn"', { import: "keyword.control.rnn", '"cells.rnn"': "string.quoted.double.rnn" }],
  ["  stop = float(x) and true", { float: "support.function.rnn", and: "keyword.operator.logical.rnn", true: "constant.language.rnn" }],
]) {
  test(line, async () => {
    const found = await scopes(line);
    for (const [word, scope] of Object.entries(wanted)) assert.equal(found[word], scope, word);
  });
}
