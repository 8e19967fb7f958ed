// What `compare` found: the verdict, charts against the number of steps, tables.

import uPlot from "uplot";
import { Chart, axis } from "./charts";
import type { Comparison, ComparisonMode } from "./data";
import { bytes, colour, h, number, seconds } from "./dom";

type Point = ComparisonMode["points"][number];

const CHARTS: [string, (point: Point) => number, (value: number) => string][] = [
  ["Nodes of the graph with gradient", (p) => p.nodes, number],
  ["Seconds to compile", (p) => p.compile, seconds],
  ["Seconds of a later run", (p) => p.run[0], seconds],
  ["Bytes of arrays in a run", (p) => p.bytes, bytes],
];
const MOST = 40;

export class CompareView {
  readonly element = h("section", { class: "compare cost" });
  private charts: Chart[] = [];

  constructor(private readonly found: Comparison | null) {
    if (!found) return;
    const differing = found.differences.filter((d) => !d.equal).length, shown = found.differences.slice(0, MOST);
    this.charts = CHARTS.map(([title, value, text]) => new Chart(`${title}, by number of steps, for each mode; the table below has the numbers`, 230, (w, hh) => this.plot(w, hh, value, text)));
    this.element.append(
      h("p", { class: "note" }, found.facts.join(" · ")),
      h("p", { class: `verdict ${found.equal ? "same" : "differs"}` }, found.verdict),
      ...found.notes.map((note) => h("p", { class: "lead" }, note)),
      h("h2", {}, "Against the number of steps"),
      h("div", { class: "pair" }, ...this.charts.map((chart, i) => h("div", {}, h("h3", {}, CHARTS[i][0]), chart.element))),
      h("h2", {}, "Cost"), h("p", { class: "note" }, `Runs; ${found.runs}.`),
      table("Cost of each mode", found.columns, found.cells.map(([mode, ...rest]) => [mode, ...rest])),
      h("h2", {}, "Bytes in memory"), h("p", { class: "note" }, "Predicted from the plan, measured in the run; one number where both are the same."),
      ...found.modes.filter((mode) => mode.categories.length).flatMap((mode) => [h("h3", {}, mode.mode), this.ledger(mode)]),
      h("h2", {}, "Equality"),
      table("Outputs and gradients", ["output or gradient", "largest difference"], shown.map((d) => [d.name, d.equal ? "same bits" : d.most.toPrecision(3)])),
      found.differences.length > MOST ? h("p", { class: "note" }, `${number(found.differences.length - MOST)} more; ${differing} differ in all.`) : "");
  }

  redraw(): void { this.charts.forEach((chart) => chart.redraw()); }

  private ledger(mode: ComparisonMode): HTMLElement {
    const rows = mode.ledger.map((row) => [number(row.steps), ...row.bytes.map((entry) => entry?.text ?? "")]);
    return table(`Bytes of ${mode.mode}`, ["steps", ...mode.categories], [...rows, ["growth", ...mode.laws]]);
  }

  private plot(width: number, height: number, value: (point: Point) => number, text: (value: number) => string): [uPlot.Options, uPlot.AlignedData] | null {
    const modes = this.found!.modes, steps = [...new Set(modes.flatMap((m) => m.points.map((p) => p.steps)))].sort((a, b) => a - b);
    if (!steps.length) return null;
    const lines = modes.map((m) => steps.map((n) => { const p = m.points.find((q) => q.steps === n); return p && value(p) > 0 ? value(p) : null; }));
    const others = ["line-1", "line-2", "line-3"];
    const paint = (mode: string, i: number) => colour(mode === "static" || mode === "dynamic" ? `mode-${mode}` : others[i % 3]);
    return [{
      width, height, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: [axis({ label: "steps", values: (_, v) => v.map((n) => (n === null ? "" : number(n))) }), axis({ size: 72, values: (_, v) => v.map((n) => (n === null ? "" : text(n))) })],
      series: [{ label: "steps", value: (_, n) => (n === null ? "–" : number(n)) }, ...modes.map((m, i): uPlot.Series => ({
        label: m.mode, stroke: paint(m.mode, i), width: m.mode === "static" ? 4 : 2, points: { show: true, size: 6 }, value: (_, n) => (n === null ? "–" : text(n)),
      }))],
    }, [steps, ...lines] as uPlot.AlignedData];
  }
}

function table(label: string, columns: string[], rows: string[][]): HTMLElement {
  return h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, ...columns.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows.map(([head, ...rest]) => h("tr", { class: head === "growth" ? "law" : "" }, h("th", { scope: "row" }, head), ...rest.map((text) => h("td", {}, text)))))));
}
