// A run from inside: every value at every step as a heat map, with one step chosen in all of them; gradients back in time.

import uPlot from "uplot";
import { Chart, axis } from "./charts";
import type { Series, Values } from "./data";
import { choice, colour, h, number } from "./dom";

const MAP = 92;

export class ValuesView {
  readonly element = h("section", { class: "values" });
  private row = 0;
  private step = 0;
  private of = "";
  private maps: HeatMap[] = [];
  private norms: Chart;
  private range = h("input", { type: "range", min: 0, max: 0, value: 0, id: "step" });
  private now = h("output", { for: "step", "aria-live": "polite" });

  constructor(private values: Values | null, private readonly point: (span: number, strong: boolean) => void, private readonly again: (() => void) | null) {
    this.norms = new Chart("The length of the gradient with respect to each state, by step", 240, (w, hh) => this.lengths(w, hh));
    this.range.addEventListener("input", () => this.go(Number(this.range.value)));
    this.build();
  }

  update(values: Values | null): void { this.values = values; this.build(); }

  redraw(): void { this.norms.redraw(); this.maps.forEach((map) => map.draw(this.step)); }

  private build(): void {
    const { values } = this;
    if (!values) { this.element.replaceChildren(h("p", { class: "empty", role: "status" }, "Running the model …")); return; }
    const rows = Math.max(1, ...values.series.map((one) => one.rows.length)), steps = Math.max(1, ...values.series.map((one) => one.rows[0]?.length ?? 0));
    this.row = Math.min(this.row, rows - 1);
    this.step = Math.min(this.step, steps - 1);
    this.range.max = String(steps - 1);
    const kinds: [string, Series[]][] = [["Inputs", values.series.filter((s) => s.kind === "input")], ["Inside the cells", values.series.filter((s) => s.kind === "inside")], ["Outputs", values.series.filter((s) => s.kind === "output")]];
    const objects = [...new Set(values.gradients.map((s) => s.of!))];
    this.of = objects.includes(this.of) ? this.of : objects[0] ?? "";
    this.maps = [];
    const rowChoice = rows > 1 ? choice("Row of the batch", Array.from({ length: rows }, (_, i): [string, string] => [String(i), `row ${i}`]), String(this.row), (i) => { this.row = Number(i); this.build(); this.redraw(); }) : null;
    const ofChoice = objects.length > 1 ? choice("Gradient of", objects.map((o): [string, string] => [o, `of ${o}`]), this.of, (o) => { this.of = o; this.build(); this.redraw(); }) : null;
    const shown = values.gradients.filter((s) => s.of === this.of);
    this.element.replaceChildren(
      h("div", { class: "tools" }, rowChoice, h("span", { class: "note" }, values.how), this.again && h("button", { type: "button", onclick: this.again }, "Other random numbers")),
      h("div", { class: "slider long sticky" }, h("label", { for: "step" }, "Step"), this.range, this.now),
      ...kinds.filter(([, list]) => list.length).flatMap(([title, list]) => [h("h2", {}, title), this.list(list)]),
      ...(shown.length ? [h("h2", {}, "The gradient, step by step back"),
        h("p", { class: "lead" }, `The gradient of ${this.of} with respect to the state that each step begins with, summed over what comes later. Where a line falls to the left, the past is forgotten.`),
        ofChoice ?? "", this.norms.element, this.list(shown)] : []));
    this.go(this.step);
    this.norms.redraw();
  }

  private list(series: Series[]): HTMLElement {
    return h("div", { class: "maps" }, ...series.map((one) => {
      const map = new HeatMap(one, this.row, (step) => this.go(step));
      this.maps.push(map);
      const name = one.span >= 0 ? h("button", { type: "button", class: "link", onclick: () => this.point(one.span, true) }, one.name) : h("span", {}, one.kind === "gradient" ? `dL/d ${one.name}` : one.name);
      const kept = one.rows[0]?.[0]?.length ?? 0, size = one.entries > kept ? `${kept} of ${number(one.entries)}` : String(one.entries);
      return h("div", { class: "map" }, h("div", { class: "name" }, name, h("span", { class: "note" }, `${size} × ${one.axes[0] ?? "step"}`), map.reading), map.canvas);
    }));
  }

  private go(step: number): void {
    this.step = step;
    this.range.value = String(step);
    this.now.textContent = `t = ${step}`;
    this.maps.forEach((map) => map.draw(step));
    this.norms.chart?.redraw(false);
  }

  private lengths(width: number, height: number): [uPlot.Options, uPlot.AlignedData] | null {
    const shown = this.values?.gradients.filter((s) => s.of === this.of) ?? [];
    if (!shown.length) return null;
    const steps = Math.max(...shown.map((s) => s.rows[0].length)), xs = Array.from({ length: steps }, (_, t) => t);
    const lines = shown.map((s) => xs.map((t) => norm((s.rows[Math.min(this.row, s.rows.length - 1)] ?? [])[t])));
    const paints = ["line-1", "line-2", "line-3", "mode-static", "mode-dynamic"].map(colour);
    return [{
      width, height, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false }, y: { distr: 3 } },
      axes: [axis({ label: "step", incrs: [1, 2, 5, 10, 20, 50, 100] }), axis({ size: 66, values: (_, v) => v.map((n) => (n === null ? "" : n.toExponential(0))) })],
      series: [{ label: "step" }, ...shown.map((s, i): uPlot.Series => ({ label: `|dL/d ${s.name}|`, stroke: paints[i % paints.length], width: 2, points: { show: steps < 60, size: 5 }, value: (_, n) => (n === null ? "–" : n.toPrecision(3)) }))],
      hooks: { draw: [(u) => {
        const x = u.valToPos(this.step, "x", true);
        u.ctx.save();
        u.ctx.strokeStyle = colour("accent");
        u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke();
        u.ctx.restore();
      }] },
    }, [xs, ...lines]];
  }
}

function norm(step: (number | null)[] | undefined): number | null {
  const found = Math.sqrt((step ?? []).reduce<number>((sum, x) => sum + (x ?? 0) ** 2, 0));
  return found > 0 ? found : null;
}

/** Time from left to right, entries from top to bottom; blue below 0, red above, or one colour from 0 to 1. */
class HeatMap {
  readonly canvas: HTMLCanvasElement;
  readonly reading = h("span", { class: "reading" });
  private readonly steps: (number | null)[][];
  private readonly least: number;
  private readonly most: number;
  private picture: HTMLCanvasElement | null = null;
  private painted = "";

  constructor(series: Series, row: number, chosen: (step: number) => void) {
    this.steps = series.rows[Math.min(row, series.rows.length - 1)] ?? [];
    const numbers = this.steps.flat().filter((x): x is number => x !== null);
    this.least = numbers.reduce((a, b) => Math.min(a, b), Infinity);
    this.most = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
    const range = numbers.length ? `from ${short(this.least)} to ${short(this.most)}` : "no numbers";
    this.canvas = h("canvas", { role: "img", "aria-label": `${series.name}: ${this.steps.length} steps of ${series.entries}, ${range}`, height: MAP });
    const pick = (event: Event) => {
      const { buttons, type, offsetX } = event as PointerEvent;
      if (type === "pointerdown" || buttons) chosen(Math.min(this.steps.length - 1, Math.max(0, Math.floor((offsetX / this.canvas.clientWidth) * this.steps.length))));
    };
    this.canvas.addEventListener("pointerdown", pick);
    this.canvas.addEventListener("pointermove", pick);
  }

  draw(step: number): void {
    const wide = this.canvas.clientWidth, theme = colour("paper");
    const at = Math.min(step, this.steps.length - 1), values = this.steps[at] ?? [];
    this.reading.textContent = values.length === 1 ? short(values[0]) : values.length ? `${short(extreme(values, Math.min))} … ${short(extreme(values, Math.max))}` : "";
    if (!wide || !this.steps.length) return;
    if (this.painted !== `${wide} ${theme}`) { this.paint(wide); this.painted = `${wide} ${theme}`; }
    const context = this.canvas.getContext("2d")!, scale = this.canvas.width / wide;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture!, 0, 0, this.canvas.width, this.canvas.height);
    const cell = this.canvas.width / this.steps.length;
    context.strokeStyle = colour("ink");
    context.lineWidth = 2 * scale;
    context.strokeRect(at * cell + scale, scale, Math.max(cell - 2 * scale, scale), this.canvas.height - 2 * scale);
  }

  private paint(wide: number): void {
    const entries = this.steps[0]?.length ?? 1, image = new ImageData(this.steps.length, entries);
    const paper = rgb(colour("paper")), low = rgb(colour("map-low")), high = rgb(colour("map-high")), none = rgb(colour("faint"));
    const reach = Math.max(Math.abs(this.least), Math.abs(this.most)) || 1;
    this.steps.forEach((step, t) => step.forEach((value, i) => {
      const share = value === null ? 0 : Math.abs(value) / reach, end = value === null ? none : value < 0 ? low : high;
      const weight = value === null ? 1 : share;
      for (let c = 0; c < 3; c++) image.data[4 * (i * this.steps.length + t) + c] = paper[c] + (end[c] - paper[c]) * weight;
      image.data[4 * (i * this.steps.length + t) + 3] = 255;
    }));
    this.picture = document.createElement("canvas");
    [this.picture.width, this.picture.height] = [this.steps.length, entries];
    this.picture.getContext("2d")!.putImageData(image, 0, 0);
    const high2 = Math.max(18, Math.min(MAP, entries * 12));
    this.canvas.style.height = `${high2}px`;
    [this.canvas.width, this.canvas.height] = [wide * devicePixelRatio, high2 * devicePixelRatio];
  }
}

const extreme = (values: (number | null)[], choose: (a: number, b: number) => number): number | null =>
  values.reduce((a, b) => (a === null ? b : b === null ? a : choose(a, b)), null);

const short = (x: number | null | undefined): string => (x === null || x === undefined ? "–" : String(Number(x.toPrecision(3))));

function rgb(text: string): number[] {
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}

