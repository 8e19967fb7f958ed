// The graph to look at: what is open, which stage of the compiler, zoom, hover, search, keys.

import type { Costs, ModelOf, Stage, TypeOf, Values } from "../data";
import { bytes, choice, h, number, on, s, seconds, slider } from "../dom";
import { draw } from "./draw";
import type { Drawing } from "./drawing";
import { layered } from "./layout";
import { PanZoom } from "./panzoom";
import { type Detail, type Form, type Item, type View, sceneOf, shape } from "./scene";
import { stepsOf, unrolled } from "./unrolled";

export interface Told { model: ModelOf | null; values: Values | null; costs: Costs | null }

const NOTHING = "The graph is drawn when the errors in the source are mended.";

export class GraphView {
  readonly element: HTMLElement;
  private view: View = { form: "opened", detail: "cells", backward: false, marks: false, toggled: new Set() };
  private steps = 50;
  private batch = 32;
  private stage = 0;
  private items = new Map<string, Item>();
  private selected = "";
  private turn = 0;
  private ahead: ModelOf | null = null;
  private drawing: Drawing | null = null;
  private readonly svg = s("svg", { class: "canvas", tabindex: 0, role: "group", "aria-label": "The graph. Arrow keys move between boxes, Enter opens and closes, plus and minus zoom, 0 fits." });
  private readonly zoom = new PanZoom(this.svg);
  private readonly tip = h("div", { class: "tip", role: "status", hidden: true });
  private readonly search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search in the graph", id: "graph-search" });
  private readonly count = h("span", { class: "count", "aria-live": "polite" });
  private readonly stageName = h("b", {});
  private readonly stageWhy = h("span", {});
  private readonly stageCounts = h("span", { class: "counts", "aria-live": "polite" });
  private readonly gone = h("ul", {});
  private readonly goneBox = h("details", { hidden: true }, h("summary", {}, "What went away"), this.gone);
  private readonly stageRange = h("input", { type: "range", min: 0, max: 0, value: 0, id: "stage" });
  private readonly stepsSlider = slider("Steps", 2, 1000, this.steps, (n) => { this.steps = n; void this.redraw("keep"); }, 10_000);
  private readonly forms: HTMLElement;
  private readonly passes: HTMLElement;
  private readonly backwardBox = h("input", { type: "checkbox", id: "backward" });
  private readonly message = h("p", { class: "empty", hidden: true });

  constructor(private told: Told, private readonly point: (span: number, strong: boolean) => void) {
    this.passes = choice<Detail>("Detail", [["cells", "Cells"], ["equations", "Equations"], ["operations", "Operations"]], "cells",
      (detail) => this.change({ detail, toggled: new Set() }));
    this.forms = choice<Form>("Loops", [["closed", "Closed"], ["opened", "Opened"], ["unrolled", "Unrolled"]], "opened",
      (form) => this.change({ form, toggled: new Set() }));
    this.backwardBox.addEventListener("change", () => this.setBackward(this.backwardBox.checked));
    this.stageRange.addEventListener("input", () => this.setStage(Number(this.stageRange.value)));
    this.search.addEventListener("input", () => this.find(false));
    this.search.addEventListener("keydown", on<KeyboardEvent>((event) => { if (event.key === "Enter") this.find(true); }));
    const button = (label: string, text: string, act: () => void) => h("button", { type: "button", class: "icon", title: label, "aria-label": label, onclick: act }, text);
    this.element = h("section", { class: "graph" },
      h("div", { class: "tools" }, this.forms, this.passes,
        h("span", { class: "check" }, this.backwardBox, h("label", { for: "backward" }, "Backward pass")),
        this.stepsSlider.element,
        h("span", { class: "find" }, this.search, this.count)),
      h("div", { class: "stage" },
        h("div", { class: "row" }, h("label", { for: "stage" }, "Compiler"), button("The pass before", "◀", () => this.setStage(this.stage - 1)), this.stageRange, button("The next pass", "▶", () => this.setStage(this.stage + 1)), this.stageCounts),
        h("p", {}, this.stageName, " ", this.stageWhy), this.goneBox),
      h("div", { class: "stagebox" }, this.svg,
        h("span", { class: "zooms" }, button("Zoom out", "−", () => this.zoom.by(1 / 1.3)), button("Zoom in", "+", () => this.zoom.by(1.3)), button("Fit the whole graph", "Fit", () => this.zoom.fit())),
        this.tip, this.message));
    this.listen();
  }

  // --- what is shown ---------------------------------------------------------------------------------------------

  update(told: Told): void {
    const before = this.told.model;
    this.told = told;
    if (told.model === before) return;
    this.stale(!told.model);
    const count = told.model?.stages.length ?? 0;
    this.stageRange.max = String(Math.max(0, count - 1));
    const gradient = this.firstBackward();
    this.backwardBox.disabled = gradient < 0;
    if (gradient < 0) this.view = { ...this.view, backward: false };
    this.stage = before ? Math.min(this.stage, count - 1) : 0;
    this.selected = "";
    void this.redraw(before ? "keep" : "fit");
  }

  /** Says whether the text has errors, and what is drawn is an earlier one. */
  stale(is: boolean): void {
    this.message.textContent = this.drawing ? "This is the graph of the text before; the text that is there has errors." : NOTHING;
    this.message.hidden = !is;
    this.element.classList.toggle("stale", is && Boolean(this.drawing));
  }

  show(): void {
    if (this.drawing) this.zoom.shown();
    else void this.redraw("fit");
  }

  private firstBackward(): number {
    return this.told.model?.stages.findIndex((stage) => stage.outputs.some((o) => stage.level.nodes[o.value[0]].back)) ?? -1;
  }

  private change(part: Partial<View>): void {
    this.view = { ...this.view, ...part };
    void this.redraw("fit");
  }

  private setBackward(backward: boolean): void {
    if (backward && this.stage < this.firstBackward()) this.stage = this.told.model!.stages.length - 1;
    this.change({ backward, marks: false });
  }

  private setStage(stage: number): void {
    const last = (this.told.model?.stages.length ?? 1) - 1;
    this.stage = Math.max(0, Math.min(last, stage));
    const gradient = this.firstBackward();
    if (this.view.backward && this.stage < gradient) this.view = { ...this.view, backward: false };
    if (this.stage === gradient) this.view = { ...this.view, backward: true };
    this.view = { ...this.view, marks: this.stage > 0 };
    void this.redraw("keep");
  }

  private controls(): void {
    const stages = this.told.model?.stages ?? [], stage = stages[this.stage];
    this.stageRange.value = String(this.stage);
    this.backwardBox.checked = this.view.backward;
    this.stepsSlider.element.hidden = this.view.form !== "unrolled";
    if (!stage) return;
    this.stageRange.setAttribute("aria-valuetext", stage.name);
    this.stageName.textContent = stage.name === "elaborate" ? "as written" : stage.name;
    this.stageWhy.textContent = stage.why;
    const changes = this.changes(stage);
    const less = this.stage ? stage.nodes - stages[this.stage - 1].nodes : 0;
    this.stageCounts.replaceChildren(
      h("span", {}, `${number(stage.nodes)} nodes${less ? ` (${less > 0 ? "+" : "−"}${number(Math.abs(less))})` : ""}`),
      ...(changes.new ? [h("span", { class: "tag new" }, `${changes.new} new`)] : []),
      ...(changes.moved ? [h("span", { class: "tag moved" }, `${changes.moved} moved`)] : []),
      ...(this.stage && !changes.new && !changes.moved && !less ? [h("span", { class: "tag" }, "nothing to do here")] : []));
    this.goneBox.hidden = !stage.gone.length;
    this.gone.replaceChildren(...stage.gone.map((g) => h("li", {}, h("b", {}, `${g.op}${g.count > 1 ? ` × ${g.count}` : ""}`), ` ${g.place}`)));
  }

  private changes(stage: Stage): { new: number; moved: number } {
    const found = { new: 0, moved: 0 };
    const visit = (nodes: Stage["level"]["nodes"]) => nodes.forEach((node) => {
      if (node.mark) found[node.mark]++;
      if (node.loop) visit(node.loop.body.nodes);
    });
    visit(stage.level.nodes);
    return found;
  }

  private async redraw(place: "fit" | "keep"): Promise<void> {
    const turn = ++this.turn, { model } = this.told;
    this.controls();
    if (!model) { this.stale(true); return; }
    if (!this.element.classList.contains("stale")) this.stale(false);
    const scene = sceneOf(model, model.stages[this.stage], this.view);
    const drawing = await (this.view.form === "unrolled" ? unrolled(scene, model, this.steps) : layered(scene));
    if (turn !== this.turn) return;
    this.drawing = drawing;
    this.items = new Map(drawing.boxes.map((box) => [box.key, box.item]));
    this.zoom.content.replaceChildren(draw(drawing));
    this.zoom.size(drawing.w, drawing.h);
    if (place === "fit") this.zoom.fit(true, this.view.form !== "unrolled");
    this.select(this.items.has(this.selected) ? this.selected : "", false);
    this.find(false);
    this.svg.dataset.drawn = String(turn);
    if (this.ahead !== model) void this.prepare(model);
  }

  /** Lays out what will probably be looked at next, so that it is there when it is asked for. */
  private async prepare(model: ModelOf): Promise<void> {
    this.ahead = model;
    const last = model.stages[model.stages.length - 1], first = model.stages[0], plain = { ...this.view, toggled: new Set<string>(), marks: false };
    for (const [stage, backward] of [[first, false], [last, true]] as const) {
      for (const form of ["unrolled", "closed", "opened"] as const) {
        if (this.ahead !== model || (backward && this.firstBackward() < 0)) return;
        const scene = sceneOf(model, stage, { ...plain, form, backward });
        await (form === "unrolled" ? unrolled(scene, model, this.steps, "ahead") : layered(scene, "ahead"));
      }
    }
  }

  // --- pointing --------------------------------------------------------------------------------------------------

  private listen(): void {
    this.svg.addEventListener("pointermove", on<PointerEvent>((event) => this.hover(keyed(event.target), event)));
    this.svg.addEventListener("pointerleave", () => this.hover(null));
    this.zoom.onclick = (target) => this.click(keyed(target));
    this.svg.addEventListener("keydown", on<KeyboardEvent>((event) => this.key(event)));
  }

  private hover(element: Element | null, event?: PointerEvent): void {
    const item = element && this.items.get(element.getAttribute("data-key")!);
    this.tip.hidden = !item;
    if (!item) { if (!this.selected) this.point(-1, false); return; }
    this.tip.replaceChildren(...this.words(item));
    if (event) this.put(event.clientX, event.clientY);
    if (!this.selected) this.point(item.span, false);
  }

  private put(x: number, y: number): void {
    const box = this.element.querySelector(".stagebox")!.getBoundingClientRect();
    const left = Math.min(x - box.left + 16, box.width - this.tip.offsetWidth - 8), top = y - box.top + 18;
    this.tip.style.left = `${Math.max(8, left)}px`;
    this.tip.style.top = `${top + this.tip.offsetHeight > box.height ? Math.max(8, top - this.tip.offsetHeight - 34) : top}px`;
  }

  /** What is said of a box: name, line, shape, bytes, time. */
  private words(item: Item): HTMLElement[] {
    const model = this.told.model!, place = model.spans[item.span], type = model.types[item.type];
    const rows: [string, string][] = [];
    if (place) {
      const file = model.files[place[0]];
      rows.push(["line", `${file.name}:${place[3]}`], ["", file.text.split("\n")[place[3] - 1]?.trim() ?? ""]);
    }
    if (type) {
      rows.push(["shape", [...type.axes, `${shape(type.shape)} ${type.dtype}`.trim()].join(" × ")]);
      rows.push(["bytes", this.size(type)]);
    }
    if (item.weights.length) rows.push(["weights", item.weights.join(", ")]);
    const time = place && this.time(`${model.files[place[0]].name}:${place[3]}`, item.back);
    if (time) rows.push(["time", time]);
    if (item.mark) rows.push(["pass", item.mark === "new" ? "made by this pass" : "moved by this pass"]);
    const title = item.title || item.lines.join(" ") || item.op;
    return [h("b", {}, title), h("dl", {}, ...rows.flatMap(([name, text]) => [h("dt", {}, name), h("dd", { class: name ? "" : "code" }, text)]))];
  }

  private size(type: TypeOf): string {
    const item = { float: this.told.costs?.dtype === "float64" ? 8 : 4, int: 8, bool: 1 }[type.dtype];
    const own = item * type.shape.reduce((a, b) => a * b, 1);
    const over = type.axes.map((axis) => (axis === "batch" ? this.batch : stepsOf(axis, this.steps)));
    const law = [`${number(own)} B`, ...type.axes].join(" × ");
    const here = type.axes.map((axis, i) => `${axis} ${number(over[i])}`).join(", ");
    return type.axes.length ? `${law} = ${bytes(over.reduce((a, b) => a * b, own))} at ${here}` : law;
  }

  private time(place: string, back: boolean): string {
    const found = this.told.values?.times.find((line) => line.place === place), all = this.told.values?.times ?? [];
    if (!found) return "";
    const own = back ? found.backward : found.forward, total = all.reduce((a, b) => a + b.forward + b.backward, 0);
    return own ? `${seconds(own)} ${back ? "backward" : "forward"}, ${Math.round((100 * own) / total)} % of the run (this line, all steps)` : "";
  }

  private click(element: Element | null): void {
    const key = element?.getAttribute("data-key") ?? "", opens = element?.getAttribute("data-opens") ?? "";
    if (opens) this.toggle(opens, key);
    else this.select(key === this.selected ? "" : key, true);
  }

  private toggle(opens: string, key: string): void {
    const toggled = new Set(this.view.toggled);
    if (!toggled.delete(opens)) toggled.add(opens);
    this.selected = key;
    this.view = { ...this.view, toggled };
    void this.redraw("keep");
    const span = this.items.get(key)?.span ?? -1;
    this.point(span, true);
  }

  private select(key: string, tell: boolean): void {
    this.selected = key;
    const near = new Set<string>([key]);
    for (const line of this.svg.querySelectorAll<SVGGElement>(".line")) {
      const { from = "", to = "" } = line.dataset, on = key !== "" && (from === key || to === key);
      line.classList.toggle("near", on);
      if (on) { near.add(from); near.add(to); }
    }
    this.svg.classList.toggle("selecting", key !== "");
    for (const box of this.svg.querySelectorAll<SVGGElement>(".box")) {
      box.classList.toggle("selected", key !== "" && box.dataset.key === key);
      box.classList.toggle("near", near.has(box.dataset.key!));
    }
    if (tell) this.point(this.items.get(key)?.span ?? -1, true);
  }

  /** The box that stands for a place of the model's own text: the one with the shortest span around it. */
  selectPlace(offset: number): void {
    const model = this.told.model;
    if (!model) return;
    let best: Item | null = null, least = Infinity;
    for (const item of this.items.values()) {
      const span = model.spans[item.span];
      if (!span || span[0] !== 0 || span[1] > offset || span[2] < offset) continue;
      if (span[2] - span[1] < least) [best, least] = [item, span[2] - span[1]];
    }
    this.select(best?.key ?? "", false);
    if (best) this.reveal(best.key);
  }

  private reveal(key: string): void {
    const box = this.drawing?.boxes.find((b) => b.key === key);
    if (box) this.zoom.reveal(box.x + box.w / 2, box.y + box.h / 2);
  }

  // --- search and keys -------------------------------------------------------------------------------------------

  private find(go: boolean): void {
    const words = this.search.value.trim().toLowerCase();
    const fits = (item: Item) => [item.title, ...item.lines, ...item.weights, item.op].some((text) => text.toLowerCase().includes(words));
    const found = words ? [...this.items.values()].filter(fits) : [];
    const keys = new Set(found.map((item) => item.key));
    for (const box of this.svg.querySelectorAll<SVGGElement>(".box")) box.classList.toggle("found", keys.has(box.dataset.key!));
    this.count.textContent = words ? `${found.length} found` : "";
    if (go && found.length) {
      const next = found[(found.findIndex((item) => item.key === this.selected) + 1) % found.length];
      this.select(next.key, true);
      this.reveal(next.key);
    }
  }

  focusSearch(): void { this.search.focus(); }

  private key(event: KeyboardEvent): void {
    const act: Record<string, () => void> = {
      "+": () => this.zoom.by(1.3), "=": () => this.zoom.by(1.3), "-": () => this.zoom.by(1 / 1.3), "0": () => this.zoom.fit(),
      Escape: () => this.select("", true), Enter: () => this.enter(), " ": () => this.enter(),
      ArrowUp: () => this.step(0, -1), ArrowDown: () => this.step(0, 1), ArrowLeft: () => this.step(-1, 0), ArrowRight: () => this.step(1, 0),
    };
    if (!act[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act[event.key]();
  }

  private enter(): void {
    const item = this.items.get(this.selected);
    if (item?.opens) this.toggle(item.opens, item.key);
    else if (this.selected) {
      const frame = this.drawing?.frames.find((f) => f.key === this.selected && f.opens);
      if (frame) this.toggle(frame.opens, frame.key);
    }
  }

  /** To the nearest box in a direction, frames that can be closed among them. */
  private step(dx: number, dy: number): void {
    const boxes = [...(this.drawing?.boxes ?? []), ...(this.drawing?.frames ?? []).filter((f) => f.opens).map((f) => ({ ...f, h: 30 }))];
    const here = boxes.find((box) => box.key === this.selected);
    if (!here) { if (boxes[0]) this.go(boxes[0].key); return; }
    const middle = (b: { x: number; y: number; w: number; h: number }) => [b.x + b.w / 2, b.y + b.h / 2];
    const [x, y] = middle(here);
    let best = "", least = Infinity;
    for (const box of boxes) {
      const [bx, by] = middle(box), along = (bx - x) * dx + (by - y) * dy, across = Math.abs((bx - x) * dy) + Math.abs((by - y) * dx);
      if (box.key === here.key || along < 4) continue;
      if (along + 2 * across < least) [best, least] = [box.key, along + 2 * across];
    }
    if (best) this.go(best);
  }

  private go(key: string): void {
    this.select(key, true);
    const box = this.drawing?.boxes.find((b) => b.key === key) ?? this.drawing?.frames.find((f) => f.key === key);
    if (box) this.zoom.reveal(box.x + box.w / 2, box.y + 15);
    const item = this.items.get(key);
    this.tip.hidden = !item;
    if (item && box) {
      this.tip.replaceChildren(...this.words(item));
      const [x, y] = this.zoom.toClient(box.x + box.w, box.y);
      this.put(x, y);
    }
  }
}

function keyed(target: EventTarget | Element | null): Element | null {
  return target instanceof Element ? target.closest("[data-key]") : null;
}
