// The text of the model in an editor: errors at their places, the line of what is looked at.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Diagnostic, Span, Tables } from "./data";
import { h } from "./dom";

const WORDS = /^(model|cell|layer|input|state|param|output|loss|metric|train|schedule|unroll|over|with|from|for|if|else|import|stop|seq|as|and|or|not|reversed|record|split|optimizer)\b/;

const language = StreamLanguage.define({
  token(stream) {
    if (stream.match(/^#.*/)) return "comment";
    if (stream.match(/^"[^"]*"?/)) return "string";
    if (stream.match(/^\d+(\.\d+)?(e[-+]?\d+)?/)) return "number";
    if (stream.match(WORDS)) return "keyword";
    if (stream.match(/^[A-Z]\w*/)) return "typeName";
    if (stream.match(/^[a-z_]\w*(?=\s*\()/)) return "labelName";
    if (stream.match(/^\w+'?/)) return null;
    stream.next();
    return null;
  },
});

const look = HighlightStyle.define([
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
  { tag: tags.keyword, color: "var(--code-keyword)", fontWeight: "600" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: tags.typeName, color: "var(--code-type)", fontWeight: "600" },
  { tag: tags.labelName, color: "var(--code-call)" },
]);

const marking = StateEffect.define<{ from: number; to: number; strong: boolean } | null>();
const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(found, change) {
    found = found.map(change.changes);
    for (const effect of change.effects) {
      if (!effect.is(marking)) continue;
      const place = effect.value;
      const length = change.state.doc.length;
      if (!place || place.from >= length) found = Decoration.none;
      else {
        const line = change.state.doc.lineAt(place.from), to = Math.min(place.to, length);
        const parts = [Decoration.line({ class: "cm-told-line" }).range(line.from)];
        if (to > place.from) parts.push(Decoration.mark({ class: "cm-told" }).range(place.from, to));
        found = Decoration.set(parts, true);
      }
    }
    return found;
  },
  provide: (field) => EditorView.decorations.from(field),
});

export interface Source {
  element: HTMLElement;
  /** Shows a place of any file, and scrolls there where that is asked for. */
  tell(tables: Tables | null, span: number, scroll: boolean): void;
  problems(found: Diagnostic[]): void;
  refresh(): void;
}

export function source(
  name: string, text: string, editable: boolean, changed: (text: string) => void, pointed: (offset: number) => void
): Source {
  let shown = "";
  const title = h("span", { class: "file" });
  const back = h("button", { type: "button", class: "small", hidden: true, onclick: () => show("") }, `back to ${name}`);
  const mount = h("div", { class: "editor" }), other = h("div", { class: "editor", hidden: true });
  const problems = h("ul", { class: "problems", "aria-label": "Problems", "aria-live": "polite" });
  const shared = [lineNumbers(), language, syntaxHighlighting(look), marks, highlightSelectionMatches()];
  const view = new EditorView({
    parent: mount,
    state: EditorState.create({
      doc: text,
      extensions: [
        ...shared, history(), highlightActiveLine(), lintGutter(), keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap]),
        EditorState.readOnly.of(!editable), EditorView.contentAttributes.of({ "aria-label": `Source of the model${editable ? "" : ", read only"}` }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
          else if (update.selectionSet && update.transactions.some((t) => t.isUserEvent("select"))) pointed(update.state.selection.main.head);
        }),
      ],
    }),
  });
  const second = new EditorView({
    parent: other,
    state: EditorState.create({
      extensions: [...shared, EditorState.readOnly.of(true), EditorView.contentAttributes.of({ "aria-label": "Source of a library cell, read only" })],
    }),
  });

  function show(file: string, content = ""): void {
    const library = file !== "";
    title.textContent = library ? file : name;
    back.hidden = !library;
    mount.hidden = library;
    other.hidden = !library;
    if (library && file !== shown) second.dispatch({ changes: { from: 0, to: second.state.doc.length, insert: content } });
    shown = file;
  }

  show("");
  return {
    element: h("section", { class: "source", "aria-label": "Source" }, h("header", {}, title, back), mount, other, problems),
    tell(tables, span, scroll) {
      const place: Span | undefined = tables?.spans[span];
      if (!tables || !place) {
        view.dispatch({ effects: marking.of(null) });
        return;
      }
      const file = tables.files[place[0]], own = place[0] === 0;
      if (!own && !scroll && shown !== file.name) return;
      show(own ? "" : file.name, file.text);
      const target = own ? view : second, start = offset(file.text, place[1]), end = offset(file.text, place[2]);
      if (own && target.state.doc.toString() !== file.text) return;
      const effects: StateEffect<unknown>[] = [marking.of({ from: start, to: end, strong: scroll })];
      if (scroll) effects.push(EditorView.scrollIntoView(start, { y: "center" }));
      target.dispatch({ effects });
    },
    problems(found) {
      const doc = view.state.doc;
      const at = (line: number | null, column: number | null) => {
        if (!line || line > doc.lines) return 0;
        const row = doc.line(line);
        return Math.min(row.to, row.from + offset(row.text, (column ?? 1) - 1));
      };
      const own = found.filter((d) => d.line !== null && d.file === name);
      view.dispatch(setDiagnostics(view.state, own.map((d) => ({
        from: at(d.line, d.column), to: Math.max(at(d.end_line, d.end_column), at(d.line, d.column)),
        severity: d.severity, message: [d.message, d.note, d.help && `help: ${d.help}`].filter(Boolean).join("\n"),
      }))));
      problems.replaceChildren(...found.map((d) => h("li", { class: d.severity },
        h("button", {
          type: "button", onclick: () => {
            const from = at(d.line, d.column);
            show("");
            view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
            view.focus();
          },
        }, h("b", {}, `${d.line ? `line ${d.line}: ` : ""}${d.message}`), h("span", {}, ` ${[d.note, d.help && `help: ${d.help}`, `[${d.code}]`].filter(Boolean).join(" · ")}`)))));
    },
    refresh: () => { view.requestMeasure(); second.requestMeasure(); },
  };
}

/** From a place counted in whole characters, as Python does, to one counted as the browser does. */
export function offset(text: string, place: number): number {
  let at = 0;
  for (let i = 0; i < place && at < text.length; i++) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return at;
}

export function place(text: string, at: number): number {
  return [...text.slice(0, at)].length;
}
