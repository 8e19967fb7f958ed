// What a run costs at any steps, batch and units: the laws in closed form, so that nothing has to be asked.

import uPlot from "uplot";
import { CATEGORY, Chart, WORDS, axis } from "./charts";
import type { Costs, Way } from "./data";
import { bytes, choice, colour, h, number, seconds, slider } from "./dom";

interface Sizes { steps: number; batch: number; units: number }

/**
 * The bytes of a category: by its law, as `analysis/polynomial_fit.py` computes it; where none was found that is exact, in
 * proportion to what they are at the sizes that the laws were made for.
 */
export function at(way: Way, name: string, { steps, batch, units }: Sizes, asked: Sizes): number {
  const law = way.laws[name];
  if (!law) return 0;
  if (!law.exact) {
    const longer = steps / asked.steps;
    return way.bytes[name] * (way.keep === "sqrt" ? Math.sqrt(longer) : longer) * (batch / asked.batch) * (units / asked.units);
  }
  const t = law.root ? Math.sqrt(steps) : steps;
  return law.terms.reduce((sum, [p, q, r, over, under]) => sum + (over / under) * t ** p * batch ** q * units ** r, 0);
}

export const exact = (way: Way): boolean => CATEGORY.every((name) => !way.laws[name] || way.laws[name].exact);

export function total(way: Way, sizes: Sizes, asked: Sizes): number {
  return CATEGORY.reduce((sum, name) => sum + at(way, name, sizes, asked), 0);
}

/** The longest sequence that fits; Infinity where bytes do not grow with the steps. */
export function longest(way: Way, sizes: Sizes, asked: Sizes, limit: number): number {
  const fits = (steps: number) => total(way, { ...sizes, steps }, asked) <= limit;
  if (!fits(1)) return 0;
  let low = 1, high = 2;
  while (fits(high)) { low = high; high *= 2; if (high > 1e12) return Infinity; }
  while (high - low > 1) { const middle = Math.floor((low + high) / 2); if (fits(middle)) low = middle; else high = middle; }
  return low;
}

/** How often a forward step is computed, between the lengths that it was told for. */
export function evaluations(way: Way, steps: number): number {
  const known = way.evaluations;
  if (!known.length) return 1;
  const after = known.findIndex(([length]) => length >= steps);
  if (after <= 0) return known[after === 0 ? 0 : known.length - 1][1];
  const [[a, x], [b, y]] = [known[after - 1], known[after]];
  return x + ((y - x) * Math.log(steps / a)) / Math.log(b / a);
}

const lawText = (way: Way, name: string): string => {
  const law = way.laws[name];
  return !law ? "0" : law.exact ? law.text : `about in proportion to ${way.keep === "sqrt" ? "√T" : "T"} B U`;
};

const told = (way: Way): string => (way.keep === "all" ? way.unroll : `keep ${way.keep}`);

export class CostView {
  readonly element = h("section", { class: "cost" });
  private sizes: Sizes = { steps: 100, batch: 32, units: 1 };
  private limit = 512e6;
  private training = true;
  private begun = false;
  private asked: Sizes = { steps: 1, batch: 1, units: 1 };
  private bars = h("div", { class: "bars" });
  private table = h("tbody", {});
  private sentence = h("p", { class: "lead", "aria-live": "polite" });
  private growth: Chart;
  private nodes: Chart;
  private compile: Chart;
  private note = h("p", { class: "note" });

  constructor(private costs: Costs | null) {
    this.growth = new Chart("Bytes by number of steps, for each way to run the model; the table below has the numbers", 280, (w, hh) => this.growing(w, hh));
    this.nodes = new Chart("Nodes of the static and of the dynamic program by number of steps", 210, (w, hh) => this.sized(w, hh, "nodes"));
    this.compile = new Chart("Seconds to compile the static and the dynamic program by number of steps, measured here", 210, (w, hh) => this.sized(w, hh, "seconds"));
    this.build();
  }

  update(costs: Costs | null): void {
    const more = this.costs === costs && costs && costs.ways.length > 1;
    this.costs = costs;
    if (more) this.refresh();
    else this.build();
  }

  redraw(): void { this.nodes.redraw(); this.compile.redraw(); this.refresh(); }

  private build(): void {
    const { costs } = this;
    if (!costs?.ways.length) { this.element.replaceChildren(h("p", { class: "empty", role: "status" }, "Counting bytes: each way to run the model is planned, not run …")); return; }
    this.asked = { steps: costs.asked.steps, batch: costs.asked.batch, units: costs.asked.units ?? 1 };
    if (!this.begun) this.sizes = this.asked;
    this.begun = true;
    this.training &&= costs.ways.some((way) => way.gradient);
    const set = (part: Partial<Sizes>) => { this.sizes = { ...this.sizes, ...part }; this.refresh(); };
    const sliders = [slider("Steps", 1, 4096, this.sizes.steps, (steps) => set({ steps }), 1e6), slider("Batch", 1, 1024, this.sizes.batch, (batch) => set({ batch }), 1e6)];
    if (costs.asked.units) sliders.push(slider("Units", 1, 4096, this.sizes.units, (units) => set({ units }), 1e5));
    sliders.push(slider("Memory, MB", 1, 65536, this.limit / 1e6, (mb) => { this.limit = mb * 1e6; this.refresh(); }, 1e7));
    const task = this.training
      ? choice("What is run", [["train", "Training step"], ["infer", "Forward"]], "train", (value) => { this.training = value === "train"; this.redraw(); }) : null;
    this.element.replaceChildren(
      h("div", { class: "tools" }, task, ...sliders.map((one) => one.element)), this.sentence,
      h("h2", {}, "Bytes by category"), this.bars,
      h("h2", {}, "What fits"),
      h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Table of what fits" }, h("table", {}, h("thead", {}, h("tr", {}, ...["way", "bytes", "of the limit", "longest sequence that fits", "forward steps computed", "law of what is saved"].map((t) => h("th", { scope: "col" }, t)))), this.table)),
      this.note,
      h("h2", {}, "Bytes by steps"), this.growth.element,
      h("h2", {}, "The programs themselves"),
      h("div", { class: "pair" }, h("div", {}, h("h3", {}, "Nodes"), this.nodes.element), h("div", {}, h("h3", {}, "Seconds to compile, measured here"), this.compile.element)));
    this.redraw();
  }

  private get ways(): Way[] {
    const found = this.costs!.ways.filter((way) => way.gradient === this.training);
    return found.length ? found : this.costs!.ways.slice(0, 1);
  }

  private refresh(): void {
    if (!this.costs) return;
    const ways = this.ways, sizes = this.sizes;
    const plain = ways.find((way) => way.unroll === "dynamic" && way.keep === "all") ?? ways[0];
    const optimiser = this.training ? (this.costs.optimiser * at(plain, "parameters", sizes, this.asked)) : 0;
    this.sentence.textContent = `${this.training ? "A training step" : "A forward run"} over ${number(sizes.steps)} steps and ${number(sizes.batch)} rows takes ${bytes(total(plain, sizes, this.asked))} of arrays (${this.costs.dtype})`
      + (optimiser ? `; the optimiser keeps ${bytes(optimiser)} beside them.` : ".");
    const most = Math.max(...ways.map((way) => total(way, sizes, this.asked)), 1);
    this.bars.replaceChildren(...ways.map((way) => this.bar(way, most)), this.legend());
    this.table.replaceChildren(...ways.map((way) => this.row(way)));
    const rough = ways.filter((way) => !exact(way)).map(told);
    this.note.textContent = "The laws are exact at whole multiples of 16 steps and of 64 rows and units; between them each array is rounded up to 64 bytes. Workspace depends on how arrays are packed, and may be a few percent more."
      + (rough.length ? ` Not every category of ${rough.join(", ")} has an exact law: that one is taken in proportion (≈).` : "")
      + (this.costs.ways.every((way) => way.unroll === "dynamic") ? " Static programs of this model are too large to fit a law to them here; what they save for the backward pass is the same." : "");
    this.growth.redraw();
  }

  private bar(way: Way, most: number): HTMLElement {
    const parts = CATEGORY.filter((name) => way.laws[name]).map((name): [string, number] => [name, at(way, name, this.sizes, this.asked)]);
    const sum = total(way, this.sizes, this.asked);
    const words = parts.filter(([, n]) => n).map(([name, n]) => `${WORDS[name] ?? name} ${bytes(n)}`).join(", ");
    return h("div", { class: "bar" }, h("span", { class: "name" }, told(way)),
      h("div", { class: "track", role: "img", "aria-label": `${told(way)}: ${words}` }, ...parts.filter(([, n]) => n > 0).map(([name, n]) => {
        const part = h("span", { class: `cat cat-${name}`, title: `${WORDS[name] ?? name}: ${bytes(n)} = ${lawText(way, name)}` });
        part.style.width = `${(100 * n) / most}%`;
        return part;
      })), h("span", { class: "sum" }, `${exact(way) ? "" : "≈ "}${bytes(sum)}`));
  }

  private legend(): HTMLElement {
    return h("ul", { class: "legend" }, ...CATEGORY.map((name) => h("li", {}, h("i", { class: `cat-${name}` }), WORDS[name] ?? name)));
  }

  private row(way: Way): HTMLElement {
    const sum = total(way, this.sizes, this.asked), fits = longest(way, this.sizes, this.asked, this.limit), again = evaluations(way, this.sizes.steps);
    const about = exact(way) ? "" : "≈ ", share = Math.round((100 * sum) / this.limit);
    return h("tr", { class: sum <= this.limit ? "fits" : "over" }, h("th", { scope: "row" }, told(way)), h("td", {}, about + bytes(sum)),
      h("td", {}, `${sum <= this.limit ? "fits" : "does not fit"}, ${share > 999 ? "> 999" : share || "< 1"} %`), h("td", {}, fits === Infinity ? "any" : fits ? `${about}${number(fits)} steps` : "none"),
      h("td", {}, this.training ? `× ${again.toFixed(2)}` : "× 1"), h("td", { class: "law" }, lawText(way, "saved")));
  }

  private growing(width: number, height: number): [uPlot.Options, uPlot.AlignedData] | null {
    if (!this.costs) return null;
    const ways = this.ways, steps = Array.from({ length: 60 }, (_, i) => Math.round(4096 ** (i / 59))).filter((n, i, all) => n !== all[i - 1]);
    const lines = ways.map((way) => steps.map((t) => Math.max(1, total(way, { ...this.sizes, steps: t }, this.asked))));
    const colours = ["mode-dynamic", "mode-static", "line-1", "line-2", "line-3"].map(colour);
    const here = this.sizes.steps;
    return [{
      width, height, legend: { live: true }, cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: [axis({ label: "steps", values: (_, v) => v.map((n) => (n === null ? "" : number(n))) }), axis({ size: 70, values: (_, v) => v.map((n) => (n === null ? "" : bytes(n))) })],
      series: [{ label: "steps", value: (_, n) => (n === null ? "–" : number(n)) }, ...ways.map((way, i): uPlot.Series => ({
        label: told(way), stroke: colours[i % colours.length], width: 2, dash: way.unroll === "static" ? [6, 4] : [], value: (_, n) => (n === null ? "–" : bytes(n)), points: { show: false },
      }))],
      hooks: { draw: [(u) => mark(u, here, this.limit)] },
    }, [steps, ...lines]];
  }

  private sized(width: number, height: number, what: "nodes" | "seconds"): [uPlot.Options, uPlot.AlignedData] | null {
    if (!this.costs) return null;
    const points = this.costs.compiled.static, dynamic = this.costs.compiled.dynamic[what];
    const shown = what === "nodes" ? number : seconds;
    return [{
      width, height, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: [axis({ label: "steps", values: (_, v) => v.map((n) => (n === null ? "" : number(n))) }), axis({ size: 64, values: (_, v) => v.map((n) => (n === null ? "" : shown(n))) })],
      series: [{ label: "steps", value: (_, n) => (n === null ? "–" : number(n)) },
        { label: "static", stroke: colour("mode-static"), width: 2, points: { show: true, size: 7 }, value: (_, n) => (n === null ? "–" : shown(n)) },
        { label: "dynamic", stroke: colour("mode-dynamic"), width: 2, points: { show: true, size: 7 }, value: (_, n) => (n === null ? "–" : shown(n)) }],
    }, [points.map((p) => p.steps), points.map((p) => p[what]), points.map(() => dynamic)]];
  }
}

/** The steps that are asked for, and the memory that there is, as lines in a chart. */
function mark(u: uPlot, steps: number, limit: number): void {
  const { ctx } = u, { left, top, width, height } = u.bbox;
  const x = u.valToPos(steps, "x", true), y = u.valToPos(limit, "y", true);
  ctx.save();
  ctx.strokeStyle = colour("soft");
  ctx.setLineDash([5, 5]);
  ctx.beginPath();
  if (x >= left && x <= left + width) { ctx.moveTo(x, top); ctx.lineTo(x, top + height); }
  if (y >= top && y <= top + height) { ctx.moveTo(left, y); ctx.lineTo(left + width, y); }
  ctx.stroke();
  ctx.restore();
}
