// The page: its views, what they share, and the server, where there is one.

import { CompareView } from "./compare";
import { CostView } from "./cost";
import type { Costs, Diagnostic, Memory, ModelOf, Page, Part, Values, Way } from "./data";
import { h, on, settled } from "./dom";
import { GraphView } from "./graph/view";
import { unpacked } from "./graph/layout";
import { MemoryView } from "./memory";
import { place, source } from "./source";
import { ValuesView } from "./values";

type Name = "compare" | "graph" | "cost" | "memory" | "values" | "source";

const VIEWS: [Name, string][] = [["compare", "Compare"], ["graph", "Graph"], ["cost", "Cost"], ["memory", "Memory"], ["values", "Values"], ["source", "Source"]];
const NEEDS: Record<Name, Part | null> = { compare: null, graph: null, cost: "costs", memory: "memory", values: "values", source: null };

async function start(): Promise<void> {
  const page: Page = JSON.parse(await unpacked(document.getElementById("page-data")!.textContent!));
  new Explorer(page).mount(document.body);
}

class Explorer {
  private model: ModelOf | null;
  private text: string;
  private shown: Name = "graph";
  private seed = 0;
  private version = 0;
  private asked = new Set<Part>();
  private tabs = new Map<Name, HTMLButtonElement>();
  private panels = new Map<Name, HTMLElement>();
  private graph: GraphView;
  private cost: CostView;
  private compare: CompareView;
  private memory: MemoryView;
  private values: ValuesView;
  private source: ReturnType<typeof source>;
  private heading: HTMLElement;
  private state = h("span", { class: "state", role: "status" });
  private aside = h("aside", { class: "beside", "aria-label": "Source beside the view" });

  constructor(private page: Page) {
    this.model = page.model;
    this.heading = h("h1", {}, page.title);
    this.text = page.text;
    const point = (tables: () => { files: ModelOf["files"]; spans: ModelOf["spans"] } | null) => (span: number, strong: boolean) =>
      this.source.tell(tables() as ModelOf | null, span, strong);
    this.source = source(page.file, page.text, page.served, settled(350, (text: string) => void this.edited(text)), (at) => this.pointed(at));
    this.graph = new GraphView({ model: null, values: null, costs: null }, point(() => this.model));
    this.cost = new CostView(page.costs);
    this.compare = new CompareView(page.comparison);
    this.memory = new MemoryView(page.memory, point(() => this.page.memory));
    this.values = new ValuesView(page.values, point(() => this.page.values), page.served ? () => { this.seed++; this.forget("values"); } : null);
    this.source.problems(page.diagnostics);
    this.tellState(page.diagnostics);
  }

  mount(body: HTMLElement): void {
    const theme = h("button", { type: "button", class: "icon", title: "Light or dark", "aria-label": "Light or dark", onclick: () => this.theme() }, "◐");
    const tabs = h("div", { role: "tablist", "aria-label": "Views" });
    for (const [name, title] of this.views) {
      const tab = h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, onclick: () => this.show(name) }, title);
      const panel = h("div", { role: "tabpanel", id: `view-${name}`, "aria-labelledby": `tab-${name}`, class: "view" });
      this.tabs.set(name, tab);
      this.panels.set(name, panel);
      tabs.append(tab);
    }
    tabs.addEventListener("keydown", on<KeyboardEvent>((event) => this.arrow(event)));
    const parts = { compare: this.compare, graph: this.graph, cost: this.cost, memory: this.memory, values: this.values };
    for (const [name, part] of Object.entries(parts)) this.panels.get(name as Name)?.append(part.element);
    body.append(
      h("header", { class: "top" }, this.heading, h("span", { class: "file" }, this.page.file), tabs, this.state, theme),
      h("main", {}, h("div", { class: "views" }, ...this.panels.values()), this.aside));
    document.addEventListener("keydown", on<KeyboardEvent>((event) => {
      const typing = event.target instanceof Element && event.target.closest("input, textarea, .cm-editor");
      if (event.key === "/" && !typing) { event.preventDefault(); this.show("graph"); this.graph.focusSearch(); }
    }));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    const asked = this.views.find(([name]) => `#${name}` === location.hash);
    this.show((asked ?? this.views[0])[0]);
    this.graph.update({ model: this.model, values: this.page.values, costs: this.page.costs });
    if (this.page.served) setTimeout(() => void this.fetched("values"), 600); // hovering tells the times that are in there
  }

  /** Those that the page has something for, or a server that makes it. */
  private get views(): typeof VIEWS {
    return VIEWS.filter(([name]) => {
      const need = NEEDS[name];
      if (name === "compare") return this.page.comparison !== null;
      return !need || this.page.served || this.page[need as "costs" | "memory" | "values"] !== null;
    });
  }

  // --- views -----------------------------------------------------------------------------------------------------

  private show(name: Name): void {
    this.shown = name;
    for (const [key] of this.views) {
      const chosen = key === name;
      this.tabs.get(key)!.setAttribute("aria-selected", String(chosen));
      this.tabs.get(key)!.tabIndex = chosen ? 0 : -1;
      this.panels.get(key)!.hidden = !chosen;
    }
    const whole = name === "source";
    (whole ? this.panels.get("source")! : this.aside).append(this.source.element);
    this.aside.hidden = whole || name === "cost" || name === "compare";
    this.source.refresh();
    if (NEEDS[name]) void this.fetched(NEEDS[name]);
    this.repaint();
  }

  private repaint(): void {
    if (this.shown === "graph") this.graph.show();
    if (this.shown === "cost") this.cost.redraw();
    if (this.shown === "compare") this.compare.redraw();
    if (this.shown === "memory") this.memory.redraw();
    if (this.shown === "values") this.values.redraw();
  }

  private arrow(event: KeyboardEvent): void {
    const views = this.views, at = views.findIndex(([name]) => name === this.shown), last = views.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.show(views[to][0]);
    this.tabs.get(views[to][0])!.focus();
  }

  private theme(): void {
    const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    this.repaint();
  }

  private pointed(at: number): void {
    if (this.model?.files[0]?.text === this.text) this.graph.selectPlace(place(this.text, at));
  }

  // --- the server ------------------------------------------------------------------------------------------------

  private async edited(text: string): Promise<void> {
    this.text = text;
    this.version++;
    const found = await this.ask<{ diagnostics: Diagnostic[]; model: ModelOf | null }>("model");
    if (!found) return;
    this.source.problems(found.diagnostics);
    this.tellState(found.diagnostics);
    this.graph.stale(!found.model);
    if (!found.model) return;
    this.model = found.model;
    this.heading.textContent = document.title = this.model.blocks[0]?.definition ?? this.page.title;
    this.asked.clear();
    for (const part of ["costs", "memory", "values"] as const) this.take(part, null);
    this.graph.update({ model: this.model, values: this.page.values, costs: this.page.costs });
    const need = NEEDS[this.shown];
    if (need) void this.fetched(need);
  }

  private forget(part: Part): void {
    this.asked.delete(part);
    this.take(part, null);
    void this.fetched(part);
  }

  private async fetched(part: Part): Promise<void> {
    if (!this.page.served || this.asked.has(part) || !this.model) return;
    this.asked.add(part);
    const found = await this.ask<Record<string, unknown> & { diagnostics: Diagnostic[] }>(part, part === "values" ? this.seed : 0);
    if (!found) return;
    if (!found[part]) this.failed(part, found.diagnostics);
    else this.take(part, found[part]);
    if (part === "costs" && found.costs) await this.ways(found.costs as Costs);
  }

  /** One way to run the model after the other: each takes a moment, and is shown when it is known. */
  private async ways(costs: Costs): Promise<void> {
    for (let index = 0; index < costs.count; index++) {
      const found = await this.ask<{ way: Way | null }>("way", index);
      if (!found) return;
      if (found.way) costs.ways.push(found.way);
      this.take("costs", costs);
    }
  }

  private failed(part: Part, found: Diagnostic[]): void {
    const why = found.filter((d) => d.severity === "error").map((d) => [d.message, d.help].filter(Boolean).join("; ")).join("\n");
    this.panels.get(VIEWS.find(([name]) => NEEDS[name] === part)![0])!.querySelector(".empty")?.replaceChildren(`This cannot be shown: ${why}`);
  }

  private take(part: Part, found: unknown): void {
    if (part === "costs") this.cost.update((this.page.costs = found as Costs | null));
    if (part === "memory") this.memory.update((this.page.memory = found as Memory | null));
    if (part === "values") this.values.update((this.page.values = found as Values | null));
    this.graph.update({ model: this.model, values: this.page.values, costs: this.page.costs });
  }

  /** What the server says of the text as it is; null where that was changed meanwhile, or nobody answers. */
  private async ask<T>(part: Part, number = 0): Promise<T | null> {
    const version = this.version;
    this.state.textContent = part === "model" ? "compiling …" : "computing …";
    try {
      const answer = await fetch("api", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ part, text: this.text, number }) });
      const found = await answer.json();
      if (version !== this.version) return null;
      this.state.textContent = "";
      this.state.classList.remove("bad");
      return found;
    } catch {
      this.state.textContent = "the server has ended";
      this.state.classList.add("bad");
      return null;
    }
  }

  private tellState(found: Diagnostic[]): void {
    const errors = found.filter((d) => d.severity === "error").length, warnings = found.length - errors;
    const words = [errors && `${errors} error${errors > 1 ? "s" : ""}`, warnings && `${warnings} warning${warnings > 1 ? "s" : ""}`].filter(Boolean);
    this.state.textContent = words.join(", ");
    this.state.classList.toggle("bad", errors > 0);
  }
}

void start();
