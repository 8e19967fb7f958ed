// A level of the graph as boxes, frames and links: what is closed, what is left out, what stands for what.

import { type Block, type Level, type LoopOf, type ModelOf, type NodeOf, type Stage, type Value, ownName } from "../data";

export type Detail = "cells" | "equations" | "operations";
export type Form = "closed" | "opened" | "unrolled";

export interface View {
  form: Form; detail: Detail; backward: boolean; marks: boolean;
  /** Loops and blocks that are in the other state than their form or detail says, by key. */
  toggled: ReadonlySet<string>;
}

export interface Item {
  key: string; kind: string; title: string; detail: string; lines: string[]; op: string; span: number; type: number;
  path: string[]; back: boolean; mark: string; weights: string[];
  /** The key by which it opens, where it can. */
  opens: string;
  loop?: Inside;
}

export interface Inside { loop: LoopOf; level: Scene }

/** An item of a level, or its border (""), and a port there. */
export interface End { item: string; port: string }

export interface Link { from: End; to: End; kind: string; label: string }

export interface Scene { items: Item[]; links: Link[]; base: string[]; names: Map<string, string> }

type Source = End | { weight: string } | null;

interface Context {
  model: ModelOf; view: View; blocks: Map<string, Block>;
  /** Paths of the cells that are unrolled: they open with their loops. */
  cells: Set<string>;
  /** Paths of blocks with loops in them: where loops are opened these are, too. */
  holders: Set<string>;
}

export const pathKey = (path: string[]): string => path.join("\u0000");

export function sceneOf(model: ModelOf, stage: Stage, view: View): Scene {
  const blocks = new Map(model.blocks.map((block) => [pathKey(model.paths[block.path] ?? []), block]));
  const context = { model, view, blocks, cells: new Set<string>(), holders: new Set<string>() };
  findCells(stage.level, context);
  const outputs = stage.outputs.filter((o) => view.backward || !stage.level.nodes[o.value[0]].back);
  const builder = new Builder(stage.level, context, [], "", new Map(), outputs.map((o) => o.value));
  const records = new Map<string, { name: string; value: Value }[]>();
  for (const output of outputs) {
    const root = output.name.split(/[.:]/)[0];
    records.set(root, [...(records.get(root) ?? []), output]);
  }
  for (const [root, parts] of records) builder.output(root, parts);
  return builder.scene();
}

function findCells(level: Level, context: Context): void {
  for (const node of level.nodes) {
    if (!node.loop) continue;
    const path = node.path === undefined ? [] : context.model.paths[node.path];
    path.forEach((_, i) => context.holders.add(pathKey(path.slice(0, i + 1))));
    context.cells.add(pathKey(context.model.paths[node.loop.base] ?? []));
    findCells(node.loop.body, context);
  }
}

const MOST_LINE = 34;

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line && line.length + word.length + 1 > MOST_LINE) { lines.push(line); line = ""; }
    line = line ? `${line} ${word}` : word;
    while (line.length > MOST_LINE) { lines.push(line.slice(0, MOST_LINE)); line = line.slice(MOST_LINE); }
  }
  if (line) lines.push(line);
  return lines.length > 3 ? [...lines.slice(0, 2), `${lines[2].slice(0, MOST_LINE - 1)}…`] : lines;
}

class Builder {
  items = new Map<string, Item>();
  links = new Map<string, Link>();
  needed = new Map<number, Set<number>>();
  keys: string[];

  constructor(
    readonly level: Level, readonly context: Context, readonly base: string[], readonly prefix: string,
    readonly params: Map<number, Source>, roots: Value[],
  ) {
    this.need(roots);
    this.keys = [];
    level.nodes.forEach((node, index) => this.keys.push(this.drawn(node, index) ? this.keyOf(node, index) : ""));
    level.nodes.forEach((node, index) => { if (this.keys[index]) this.add(node, index); });
    level.nodes.forEach((node, index) => { if (this.keys[index]) this.join(node, index); });
  }

  scene(): Scene {
    const names = new Map([...this.context.blocks].map(([key, block]) => [key, blockTitle(block)]));
    const used = new Set([...this.links.values()].flatMap((link) => [link.from.item, link.to.item]));
    const items = [...this.items.values()].filter((item) => item.kind !== "input" || used.has(item.key));
    return { items, links: [...this.links.values()], base: this.base, names };
  }

  /** Everything that the roots need: nodes, and which results of each. */
  private need(roots: Value[]): void {
    const want = ([node, result]: Value) => this.needed.set(node, (this.needed.get(node) ?? new Set()).add(result));
    roots.forEach(want);
    for (let index = this.level.nodes.length - 1; index >= 0; index--) {
      if (this.needed.has(index)) for (const value of this.level.nodes[index].in ?? []) want(value);
    }
  }

  private drawn(node: NodeOf, index: number): boolean {
    if (!this.needed.has(index) || node.hidden || node.kind === "weight" || node.kind === "param") return false;
    return !this.through(node) && this.ofWeight(node) === null;
  }

  /** A piece of a weight, or a weight laid out anew: the weight stands for it. */
  private ofWeight(node: NodeOf): string | null {
    if (this.context.view.detail === "operations" || node.group === undefined || node.in?.length !== 1) return null;
    if (this.level.groups[node.group].kind !== "shape" || this.closedBlock(node)) return null;
    const source = this.source(node.in[0]);
    return source && "weight" in source ? source.weight : null;
  }

  private through(node: NodeOf): boolean {
    const plain = node.group !== undefined && this.level.groups[node.group].through;
    return Boolean(plain) && this.context.view.detail !== "operations" && !this.closedBlock(node);
  }

  private path(node: NodeOf): string[] {
    return node.path === undefined ? [] : this.context.model.paths[node.path];
  }

  /** The outermost block around a node that is closed, within this level's own. */
  private closedBlock(node: NodeOf): string[] | null {
    const path = this.path(node);
    for (let size = this.base.length + 1; size <= path.length; size++) {
      const part = path.slice(0, size);
      if (!this.context.blocks.has(pathKey(part)) || this.context.cells.has(pathKey(part))) continue;
      const { detail, form, toggled } = this.context.view;
      const closed = detail === "cells" && (form === "closed" || !this.context.holders.has(pathKey(part)));
      if (closed !== toggled.has(`block ${pathKey(part)}`)) return part;
    }
    return null;
  }

  private keyOf(node: NodeOf, index: number): string {
    const block = this.closedBlock(node);
    if (block) return `${this.prefix}b${pathKey(block)}${node.back ? "'" : ""}`;
    if (node.loop) return `${this.prefix}l${index}`;
    if (node.kind) return `${this.prefix}i${index}`;
    if (this.context.view.detail === "operations") return `${this.prefix}n${index}`;
    const line = this.lineOf(node);
    return line ? `${this.prefix}d${line.join(":")}` : `${this.prefix}g${node.group}`;
  }

  /** File and line of a node of the backward pass: where no more is asked for, one box is the gradient of one line. */
  private lineOf(node: NodeOf): [number, number] | null {
    const span = this.context.model.spans[node.span ?? -1];
    return this.context.view.detail === "cells" && node.back && span ? [span[0], span[3]] : null;
  }

  private add(node: NodeOf, index: number): void {
    const key = this.keys[index];
    const known = this.items.get(key);
    const mark = this.context.view.marks ? marked(node) : "";
    if (known && !known.title && this.lineOf(node)) known.title = through(node.name);
    if (known) {
      if (known.kind === "block") known.type = node.types[0] ?? known.type;
      known.mark = known.mark === "new" || mark === "new" ? "new" : known.mark || mark;
      return;
    }
    const block = this.closedBlock(node);
    const plain = block ? this.blockItem(node, block) : this.plainItem(node, index);
    this.items.set(key, { ...plain, key, mark, back: Boolean(node.back), weights: [], op: node.op });
  }

  private blockItem(node: NodeOf, path: string[]): Omit<Item, "key" | "mark" | "back" | "weights" | "op"> {
    const block = this.context.blocks.get(pathKey(path))!;
    const states = block.states.map((state) => `${ownName(state.name)} ${shape(state.shape)}`);
    return {
      kind: "block", title: `${node.back ? "gradient of " : ""}${blockTitle(block)}`, detail: "",
      lines: states.length ? [`state ${states.join(", ")}`] : [], span: block.span, type: node.types[0] ?? -1, path: path.slice(0, -1),
      opens: `block ${pathKey(path)}`,
    };
  }

  private plainItem(node: NodeOf, index: number): Omit<Item, "key" | "mark" | "back" | "weights" | "op"> {
    const { model, view } = this.context;
    const type = node.types[0] ?? -1, path = this.path(node), span = node.span ?? -1;
    const detail = type >= 0 ? shape(model.types[type].shape) : "";
    if (node.loop) return this.loopItem(node, node.loop, index);
    if (node.kind) {
      const over = type >= 0 ? model.types[type].axes.filter((axis) => axis !== "batch") : [];
      const kind = node.kind === "state" ? "state" : node.back || node.kind === "cotangent" ? "backward" : "input";
      return {
        kind, title: told(node.name ?? ""), detail, lines: over.length ? [`each step of ${over.join(" and ")}`] : [],
        span, type, path: [], opens: "",
      };
    }
    if (view.detail === "operations" || node.group === undefined) {
      const kind = node.back ? "backward" : node.group === undefined ? "shape" : this.level.groups[node.group].kind;
      return { kind, title: node.op, detail, lines: node.name ? [node.name] : [], span, type, path, opens: "" };
    }
    const group = this.level.groups[node.group], root = this.level.nodes[group.root], line = this.lineOf(node);
    if (line) {
      const text = model.files[line[0]].text.split("\n")[line[1] - 1].trim();
      return { kind: "backward", title: through(node.name), detail: "", lines: wrapped(text), span: group.span, type: -1, path, opens: "" };
    }
    return {
      kind: group.kind, title: node.back ? through(group.title) : group.title, detail: shape(model.types[root.types[0]].shape),
      lines: wrapped(group.text), span: group.span, type: root.types[0], path, opens: "",
    };
  }

  private loopItem(
    node: NodeOf, loop: LoopOf, index: number
  ): Omit<Item, "key" | "mark" | "back" | "weights" | "op"> {
    const { model, view } = this.context;
    const base = model.paths[loop.base] ?? [], path = this.path(node);
    const key = `loop ${this.prefix}${index}`, toggled = view.toggled.has(key);
    const open = (view.form === "closed" || (view.form === "unrolled" && this.prefix !== "")) === toggled;
    const states = loop.carries.map((carry) => ownName(carry.name));
    const block = this.context.blocks.get(pathKey(base));
    const name = block && base.length ? blockTitle(block) : "loop";
    const title = loop.title.startsWith("loop ") || loop.title.startsWith("gradient of loop ")
      ? loop.title.replace("loop", name) : loop.title;
    const inside = open ? { loop, level: this.inner(loop, index, base) } : undefined;
    return {
      kind: node.back ? "backward" : "loop", title, detail: "",
      lines: states.length ? wrapped(`state ${states.join(", ")}`) : ["no state"], span: node.span ?? -1,
      type: node.types[0] ?? -1, path: pathKey(path) === pathKey(base) ? path.slice(0, -1) : path, opens: key, loop: inside,
    };
  }

  private inner(loop: LoopOf, index: number, base: string[]): Scene {
    const count = loop.carries.length, results = this.needed.get(index) ?? new Set<number>();
    const stacks = loop.stacks.map((stack, i) => ({ ...stack, port: `o${i}` })).filter((_, i) => results.has(count + i));
    const params = new Map<number, Source>(), inputs = this.level.nodes[index].in ?? [];
    const bind = (param: number, port: string, at: number) => {
      const source = this.source(inputs[at]);
      if (param >= 0) params.set(param, source && "weight" in source ? source : port[0] === "c" || source ? { item: "", port } : null);
    };
    loop.carries.forEach((c, i) => bind(c.param, `c${i}`, i));
    loop.slices.forEach((c, i) => bind(c.param, `s${i}`, count + i));
    loop.captures.forEach((c, i) => bind(c.param, `k${i}`, count + loop.slices.length + i));
    const roots = [...loop.carries.map((c) => c.next), ...stacks.map((stack) => stack.value)];
    const builder = new Builder(loop.body, this.context, base, `${this.prefix}${index}/`, params, roots);
    loop.carries.forEach((c, i) => builder.leave(c.next, `C${i}`));
    stacks.forEach((stack) => builder.leave(stack.value, stack.port));
    return builder.scene();
  }

  private leave(value: Value, port: string): void {
    this.link(this.source(value), { item: "", port }, port[0] === "C" ? "state" : "data");
  }

  /** Where a value comes from: through what only spreads, to an item, the border, or a weight. */
  private source([index, result]: Value): Source {
    let node = this.level.nodes[index];
    while (this.through(node) && !node.hidden) {
      [index, result] = node.in![0];
      node = this.level.nodes[index];
    }
    if (node.hidden) return null;
    if (node.kind === "weight") return { weight: node.name ?? "" };
    if (node.kind === "param") return this.params.get(index) ?? null;
    const weight = this.ofWeight(node);
    if (weight !== null) return { weight };
    if (!this.keys[index]) return null;
    const carries = node.loop?.carries.length ?? 0;
    const port = !node.loop || this.items.get(this.keys[index])?.kind === "block" ? ""
      : result < carries ? `C${result}` : `o${result - carries}`;
    return { item: this.keys[index], port };
  }

  private join(node: NodeOf, index: number): void {
    const item = this.items.get(this.keys[index])!, loop = item.loop?.loop;
    const read = new Set(item.loop?.level.links.map((link) => (link.from.item === "" ? link.from.port : "")));
    (node.in ?? []).forEach((value, at) => {
      const source = this.source(value);
      if (source && "weight" in source) {
        if (!item.weights.includes(source.weight)) item.weights.push(source.weight);
        return;
      }
      const count = loop?.carries.length ?? 0, slices = loop?.slices.length ?? 0;
      const port = !loop ? "" : at < count ? `c${at}` : at < count + slices ? `s${at - count}` : `k${at - count - slices}`;
      if (loop && port[0] !== "c" && !read.has(port)) return; // no step that is shown reads it
      const from = source && "item" in source ? this.items.get(source.item) : undefined;
      const saved = item.back && from && !from.back && source && "port" in source && source.port[0] === "o";
      this.link(source, { item: item.key, port }, saved ? "saved" : item.back ? "backward" : "data");
    });
  }

  private link(from: Source, to: End, kind: string): void {
    if (!from || "weight" in from || (from.item === to.item && from.item !== "")) return;
    if (from.item === "" && from.port[0] === "c" && kind !== "backward") kind = "state";
    const key = [from.item, from.port, to.item, to.port].join("\u0001");
    if (!this.links.has(key)) this.links.set(key, { from, to, kind, label: "" });
  }

  output(root: string, parts: { name: string; value: Value }[]): void {
    const nodes = this.level.nodes, first = nodes[parts[0].value[0]], single = parts.length === 1;
    const made = this.source(parts[0].value), own = made && "item" in made ? this.items.get(made.item) : undefined;
    if (single && !first.back && (root === "loss" || root === "metric") && own && !own.opens && own.kind !== "input") {
      own.kind = "loss"; // what computes it stands for it
      own.title = parts[0].name.replace("metric.", "");
      return;
    }
    const types = parts.map((part) => nodes[part.value[0]].types[part.value[1]]);
    const shapes = types.map((type) => shape(this.context.model.types[type].shape));
    const kind = first.back ? "backward" : root === "loss" || root === "metric" ? "loss" : "output";
    const names = parts.map((part, i) => `${part.name.slice(root.length + 1)} ${shapes[i]}`);
    const shown = names.length > 6 ? [...names.slice(0, 5), `and ${names.length - 5} more`] : names;
    const key = `${this.prefix}o${root}`;
    const title = root === "grad" ? "gradients" : single ? parts[0].name : root;
    this.items.set(key, {
      key, kind, title, detail: single ? shapes[0] : "", lines: single ? [] : shown, op: "output", span: first.span ?? -1,
      type: types[0], path: [], back: Boolean(first.back), mark: "", weights: [], opens: "",
    });
    for (const part of parts) this.link(this.source(part.value), { item: key, port: "" }, first.back ? "backward" : "data");
  }
}

function marked(node: NodeOf): string {
  if (node.mark || !node.loop) return node.mark ?? "";
  const found = node.loop.body.nodes.map(marked);
  return found.includes("new") ? "new" : found.includes("moved") ? "moved" : "";
}

/** The gradient on its way back, as a lecture says it. */
function through(name: string | undefined): string {
  return name ? `through ${name}` : "";
}

function blockTitle(block: Block): string {
  const name = block.name && block.name.toLowerCase() !== block.definition.toLowerCase() ? ` ${block.name}` : "";
  return `${block.definition || block.name}${block.definition ? name : ""}`;
}

export function shape(sizes: number[]): string {
  return sizes.length ? `[${sizes.join(", ")}]` : "";
}

/** A name of the compiler's in the words of a lecture. */
function told(name: string): string {
  if (name.startsWith("cot:")) return `dL/d ${name.slice(4)}`;
  return name.startsWith("lengths@") ? `lengths along ${name.slice(8)}` : name;
}
