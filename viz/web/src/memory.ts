// What is alive at each moment of a run: stacked by category, to point at; array by array, line by line.

import uPlot from "uplot";
import { CATEGORY, Chart, WORDS, axis, categoryColour } from "./charts";
import type { Memory, Panel } from "./data";
import { bytes, choice, colour, h, number } from "./dom";

const LISTED = 14;

export class MemoryView {
  readonly element = h("section", { class: "memory" });
  private mode = 0;
  private moment = 0;
  private chart: Chart;
  private range = h("input", { type: "range", min: 0, max: 0, value: 0, id: "moment" });
  private heading = h("p", { class: "lead", "aria-live": "polite" });
  private list = h("tbody", {});
  private rest = h("p", { class: "note" });

  constructor(private memory: Memory | null, private readonly point: (span: number, strong: boolean) => void) {
    this.chart = new Chart("Bytes alive over the run, stacked by category; the list tells the arrays of the moment that is chosen", 320, (w, hh) => this.plot(w, hh));
    this.range.addEventListener("input", () => this.go(Number(this.range.value)));
    this.build();
  }

  update(memory: Memory | null): void { this.memory = memory; this.build(); }

  redraw(): void { this.chart.redraw(); }

  private get panel(): Panel { return this.memory!.panels[this.mode]; }

  private build(): void {
    const { memory } = this;
    if (!memory) { this.element.replaceChildren(h("p", { class: "empty", role: "status" }, "Planning the memory of a run …")); return; }
    const modes = choice("Program", memory.panels.map((panel, i): [string, string] => [String(i), panel.mode]), "0", (i) => { this.mode = Number(i); this.start(); });
    this.element.replaceChildren(
      h("div", { class: "tools" }, modes, h("span", { class: "note" }, `${number(memory.steps)} steps, batch ${number(memory.batch)}`)),
      this.chart.element,
      h("div", { class: "slider long" }, h("label", { for: "moment" }, "Moment"), this.range), this.heading,
      h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Arrays alive at this moment" }, h("table", {}, h("thead", {}, h("tr", {}, ...["alive", "bytes", "kind", "from line", "until"].map((t) => h("th", { scope: "col" }, t)))), this.list)), this.rest,
      h("ul", { class: "legend" }, ...CATEGORY.map((name) => h("li", {}, h("i", { class: `cat-${name}` }), WORDS[name] ?? name))));
    this.start();
  }

  private start(): void {
    const totals = this.panel.bytes.map((row) => row.reduce((a, b) => a + b, 0));
    this.range.max = String(Math.max(0, totals.length - 1));
    this.chart.redraw();
    this.go(totals.indexOf(Math.max(...totals)));
  }

  private place(span: number): string {
    const found = this.memory!.spans[span];
    return found ? `${this.memory!.files[found[0]].name}:${found[3]}` : "";
  }

  private go(moment: number): void {
    const panel = this.panel, sum = panel.bytes[moment]?.reduce((a, b) => a + b, 0) ?? 0, run = panel.runs[moment];
    this.moment = moment;
    this.range.value = String(moment);
    const pass = moment >= panel.backward ? "backward" : "forward", what = run?.name ? `${run.name}${run.span >= 0 ? ` at ${this.place(run.span)}` : ""}` : "the loop's turn";
    this.range.setAttribute("aria-valuetext", `${pass}, ${what}, ${bytes(sum)}`);
    this.heading.textContent = `${pass[0].toUpperCase()}${pass.slice(1)} pass, kernel ${number(panel.starts[moment] ?? 0)} of ${number(panel.end)}: ${what}. ${bytes(sum)} alive, ${bytes(panel.allocated)} allocated.`;
    const alive = panel.slots.filter((slot) => slot.first <= moment && moment <= slot.last);
    this.list.replaceChildren(...alive.slice(0, LISTED).map((slot) => this.row(slot)));
    const more = alive.slice(LISTED);
    this.rest.textContent = more.length ? `and ${number(more.length)} smaller ones, ${bytes(more.reduce((n, slot) => n + slot.bytes, 0))} together` : "";
    this.point(run?.span ?? -1, false);
    const u = this.chart.chart;
    if (u) u.redraw(false);
  }

  private row(slot: Panel["slots"][number]): HTMLElement {
    const panel = this.panel, category = CATEGORY[slot.category], last = panel.runs[slot.last];
    const end = slot.last >= panel.runs.length - 1 ? "the end" : last?.name ? `${last.name}${last.span >= 0 ? `, ${this.place(last.span)}` : ""}` : `kernel ${number(panel.starts[slot.last])}`;
    const line = slot.span >= 0 ? h("button", { type: "button", class: "link", onclick: () => this.point(slot.span, true) }, this.place(slot.span)) : "";
    return h("tr", {}, h("th", { scope: "row" }, slot.name, slot.text && slot.text !== slot.name ? h("code", {}, slot.text) : ""), h("td", {}, bytes(slot.bytes)), h("td", {}, h("i", { class: `dot cat-${category}` }), WORDS[category] ?? category), h("td", {}, line), h("td", {}, end));
  }

  private plot(width: number, height: number): [uPlot.Options, uPlot.AlignedData] | null {
    if (!this.memory) return null;
    const panel = this.panel, xs = [...panel.starts, panel.end];
    const stacked: number[][] = [];
    CATEGORY.forEach((_, c) => stacked.push(panel.bytes.map((row, i) => row[c] + (c ? stacked[c - 1][i] : 0))));
    const step = uPlot.paths.stepped!({ align: 1 });
    const layers = CATEGORY.map((name, c) => ({ name, values: [...stacked[c], stacked[c][stacked[c].length - 1] ?? 0] })).reverse();
    return [{
      width, height, legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: [0, Math.max(1, panel.end)] }, y: { range: [0, panel.allocated * 1.12] } },
      axes: [axis({ label: "kernels run", values: (_, v) => v.map((n) => number(n)) }), axis({ size: 70, values: (_, v) => v.map((n) => bytes(n)) })],
      series: [{}, ...layers.map(({ name }): uPlot.Series => ({ paths: step, fill: categoryColour(name), stroke: categoryColour(name), width: 0, points: { show: false } }))],
      hooks: {
        draw: [(u) => this.marks(u)],
        setCursor: [(u) => { const { left } = u.cursor; if (left !== undefined && left >= 0) this.hovered(u.posToVal(left, "x")); }],
      },
    }, [xs, ...layers.map((layer) => layer.values)]];
  }

  private hovered(kernel: number): void {
    const { starts } = this.panel;
    let low = 0, high = starts.length - 1;
    while (low < high) { const middle = Math.ceil((low + high) / 2); if (starts[middle] <= kernel) low = middle; else high = middle - 1; }
    if (low !== this.moment) this.go(low);
  }

  private marks(u: uPlot): void {
    const { ctx } = u, { left, top, width, height } = u.bbox, panel = this.panel;
    const line = (x: number, dash: number[], paint: string) => {
      ctx.strokeStyle = paint;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
    };
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    if (panel.backward < panel.starts.length) {
      const x = u.valToPos(panel.starts[panel.backward], "x", true);
      line(x, [4, 4], colour("soft"));
      ctx.fillStyle = colour("soft");
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "right";
      ctx.fillText("forward", x - 8, top + 16 * devicePixelRatio);
      ctx.textAlign = "left";
      ctx.fillText("backward", x + 8, top + 16 * devicePixelRatio);
    }
    const y = u.valToPos(panel.allocated, "y", true);
    ctx.strokeStyle = colour("ink");
    ctx.setLineDash([6, 4]);
    ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
    ctx.lineWidth = 2 * devicePixelRatio;
    line(u.valToPos(panel.starts[this.moment] ?? 0, "x", true), [], colour("accent"));
    ctx.restore();
  }
}
