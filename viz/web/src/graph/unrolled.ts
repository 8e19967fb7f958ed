// The steps side by side: time runs from left to right, one column for each step, the middle folded. All loops over one
// axis share its columns; what is computed for all steps at once is a bar across them.

import { type ModelOf, ownName } from "../data";
import { type Drawing, type Point, TITLE, empty, put, size, width } from "./drawing";
import { type Cell, type When, cell } from "./layout";
import type { Item, Link, Scene } from "./scene";

interface Column { t: number; folded: number; x: number; w: number }

interface Axis { columns: Column[]; steps: number; right: number }

interface Row { items: Placed[]; wide: boolean; y: number; h: number; gap: number; tracks: number }

interface Placed {
  item: Item; axis: string | null; rank: number; row: Row | null; x: number; y: number; w: number; h: number;
  cell?: Cell; shape: "loop" | "bar" | "pills" | "box";
}

const GAP = 44, FOLD = 96, HEAD = 46, LEFT = 84, SIDE = 72, SHOWN = 7;

export async function unrolled(scene: Scene, model: ModelOf, steps: number, when: When = "now"): Promise<Drawing> {
  const cells = new Map<string, Cell>();
  await Promise.all(scene.items.filter((item) => item.loop).map(async (item) => cells.set(item.key, await cell(item, when))));
  return new Bands(scene, model, steps, cells).drawing();
}

/** How many steps an axis has where the data have so many. */
export function stepsOf(axis: string, steps: number): number {
  const fixed = /^(\d+)@for$/.exec(axis), part = /^(.*)\/(\d+)$/.exec(axis);
  if (fixed) return Number(fixed[1]);
  return part ? Math.ceil(stepsOf(part[1], steps) / Number(part[2])) : steps;
}

class Bands {
  axes = new Map<string, Axis>();
  placed = new Map<string, Placed>();
  rows: Row[] = [];
  found = empty();
  into = new Map<string, Link[]>();
  outOf = new Map<string, Link[]>();
  lanes = 0;

  constructor(readonly scene: Scene, readonly model: ModelOf, readonly steps: number, readonly cells: Map<string, Cell>) {
    for (const link of scene.links) {
      this.into.set(link.to.item, [...(this.into.get(link.to.item) ?? []), link]);
      this.outOf.set(link.from.item, [...(this.outOf.get(link.from.item) ?? []), link]);
    }
    const over = scene.items.filter((item) => item.loop).map((item) => item.loop!.loop.axis);
    for (const axis of new Set(over)) this.axes.set(axis, this.columns(axis));
    for (const item of scene.items) this.placed.set(item.key, this.sized(item));
    for (const item of scene.items) this.rank(item.key);
    this.settle();
    this.arrange();
  }

  // --- sizes -----------------------------------------------------------------------------------------------------

  private columns(axis: string): Axis {
    const cells = this.scene.items.filter((item) => item.loop?.loop.axis === axis).map((item) => this.cells.get(item.key)!);
    const wide = Math.max(...cells.map((c) => c.drawing.w), 110), steps = stepsOf(axis, this.steps);
    const shown: [number, number][] = steps <= SHOWN ? Array.from({ length: steps }, (_, t) => [t, 0])
      : [[0, 0], [1, 0], [2, 0], [3, steps - 5], [steps - 2, 0], [steps - 1, 0]];
    let x = LEFT;
    const columns = shown.map(([t, folded]) => {
      const column = { t, folded, x, w: folded ? FOLD : wide };
      x += column.w + GAP;
      return column;
    });
    return { columns, steps, right: x - GAP };
  }

  /** The unrolled axis that a value runs along. */
  private axisOf(item: Item): string | null {
    if (item.loop) return item.loop.loop.axis;
    const axes = item.type >= 0 ? this.model.types[item.type].axes : [];
    return axes.find((axis) => this.axes.has(axis)) ?? null;
  }

  private sized(item: Item): Placed {
    const axis = this.axisOf(item), own = size(item);
    const plain = { item, axis, rank: -1, row: null, x: 0, y: 0, w: own.width, h: own.height };
    if (item.loop) {
      const made = this.cells.get(item.key)!;
      return { ...plain, cell: made, h: made.drawing.h + HEAD + 12, w: this.axes.get(axis!)!.right - LEFT, shape: "loop" };
    }
    if (axis && (item.kind === "input" || item.kind === "output" || item.kind === "backward" && item.op === "input")) {
      return { ...plain, h: 32, shape: "pills" };
    }
    if (axis) return { ...plain, h: 34, w: this.axes.get(axis)!.right - LEFT, shape: "bar" };
    return { ...plain, shape: "box" };
  }

  // --- rows ------------------------------------------------------------------------------------------------------

  private rank(key: string): number {
    const placed = this.placed.get(key)!;
    if (placed.rank >= 0) return placed.rank;
    placed.rank = 0; // what is met again on the way runs in a circle
    placed.rank = Math.max(0, ...(this.into.get(key) ?? []).filter((l) => this.placed.has(l.from.item)).map((l) => this.rank(l.from.item) + 1));
    return placed.rank;
  }

  /** What nothing goes into stands right above what reads it first. */
  private settle(): void {
    for (const [key, placed] of this.placed) {
      const readers = (this.outOf.get(key) ?? []).map((link) => this.placed.get(link.to.item)!.rank);
      if (!this.into.get(key)?.length && readers.length) placed.rank = Math.min(...readers) - 0.5;
    }
  }

  private arrange(): void {
    const ranks = [...new Set([...this.placed.values()].map((p) => p.rank))].sort((a, b) => a - b);
    for (const rank of ranks) {
      const here = [...this.placed.values()].filter((p) => p.rank === rank);
      const narrow = here.filter((p) => p.shape === "box");
      const add = (items: Placed[], wide: boolean) => {
        const row = { items, wide, y: 0, h: Math.max(...items.map((p) => p.h)), gap: 0, tracks: 0 };
        items.forEach((p) => { p.row = row; });
        this.rows.push(row);
      };
      for (const shape of ["pills", "bar", "loop"] as const) for (const p of here) if (p.shape === shape) add([p], true);
      if (narrow.length) add(narrow, false);
    }
    for (const row of this.rows) for (const p of row.items) row.tracks += this.tracks(p);
    let y = 20;
    for (const row of this.rows) {
      row.gap = 24 + 7 * Math.min(8, row.tracks);
      row.y = y += row.gap;
      y += row.h;
      this.across(row);
    }
  }

  /** How many lines turn in the gap above. */
  private tracks(p: Placed): number {
    return (this.into.get(p.item.key) ?? []).length;
  }

  private across(row: Row): void {
    const right = Math.max(LEFT + 300, ...[...this.axes.values()].map((axis) => axis.right));
    let atRight = right, atLeft = LEFT;
    for (const p of row.items) {
      p.y = row.y;
      if (row.wide) { p.x = LEFT; continue; }
      if (this.ends(p)) { atRight -= p.w; p.x = Math.max(LEFT, atRight); atRight -= 24; }
      else { p.x = atLeft; atLeft += p.w + 24; }
    }
  }

  /** Whether it stands where time ends: behind a forward loop, or in front of a backward one. */
  private ends(p: Placed): boolean {
    const before = this.ancestors(p.item.key), loops = before.filter((q) => q.shape === "loop");
    if (!p.item.back && p.item.kind !== "backward") return loops.length > 0;
    return !loops.some((q) => q.item.back);
  }

  private ancestors(key: string): Placed[] {
    const seen = new Set<string>(), todo = [key];
    while (todo.length) {
      for (const link of this.into.get(todo.pop()!) ?? []) {
        if (!seen.has(link.from.item)) { seen.add(link.from.item); todo.push(link.from.item); }
      }
    }
    return [...seen].map((k) => this.placed.get(k)!);
  }

  // --- drawing ---------------------------------------------------------------------------------------------------

  drawing(): Drawing {
    for (const p of this.placed.values()) {
      if (p.shape === "loop") this.loop(p);
      else if (p.shape === "pills") this.pills(p);
      else if (p.shape === "bar") this.bar(p);
      else this.found.boxes.push({ item: p.item, key: p.item.key, x: p.x, y: p.y, w: p.w, h: p.h });
    }
    for (const p of this.placed.values()) this.links(p);
    const last = this.rows[this.rows.length - 1];
    const widths = this.found.boxes.map((b) => b.x + b.w), frames = this.found.frames.map((f) => f.x + f.w);
    return { ...this.found, w: Math.max(...widths, ...frames, 200) + 20, h: (last ? last.y + last.h : 0) + 30 };
  }

  private bar(p: Placed): void {
    const text = [p.item.title, p.item.lines.join(" "), p.item.detail].filter(Boolean).join("   ");
    this.found.boxes.push({ item: p.item, key: p.item.key, x: p.x, y: p.y, w: p.w, h: p.h, title: `${text}   · all steps at once` });
  }

  private pills(p: Placed): void {
    for (const column of this.axes.get(p.axis!)!.columns) {
      const text = column.folded ? "…" : `${p.item.title}[t = ${column.t}]`;
      const w = Math.max(44, Math.ceil(width(text, TITLE)) + 24), x = column.x + column.w / 2 - w / 2;
      this.found.boxes.push({ item: p.item, key: p.item.key, x, y: p.y, w, h: p.h, title: text });
    }
  }

  private top = (p: Placed): number => p.y + (p.shape === "loop" ? HEAD : 0);

  private bottom = (p: Placed): number => p.y + (p.shape === "loop" ? HEAD + p.cell!.drawing.h : p.h);

  private loop(p: Placed): void {
    const { item, cell: made } = p, { loop } = item.loop!, axis = this.axes.get(p.axis!)!, { columns } = axis;
    const y = this.top(p), h = made!.drawing.h;
    this.found.frames.push({
      key: item.key, kind: "band", title: item.title, opens: item.opens, back: item.back, span: item.span,
      x: LEFT - SIDE, y: p.y - 6, w: axis.right - LEFT + 2 * SIDE, h: h + HEAD + 18,
    });
    for (const column of columns) {
      const middle = column.x + column.w / 2;
      if (column.folded) {
        this.found.frames.push({ key: item.key, kind: "fold", title: "", opens: "", back: item.back, span: -1, x: column.x, y, w: column.w, h });
        this.found.labels.push({ x: middle, y: y + h / 2 - 6, text: `${column.folded.toLocaleString("en")} more`, anchor: "middle", kind: "fold" });
        this.found.labels.push({ x: middle, y: y + h / 2 + 12, text: column.folded === 1 ? "step" : "steps", anchor: "middle", kind: "fold" });
        continue;
      }
      put(this.found, made!.drawing, this.cellX(p, column), y);
      this.found.labels.push({ x: this.cellX(p, column) + 2, y: y - 6, text: `t = ${column.t.toLocaleString("en")}`, anchor: "start", kind: "time" });
    }
    loop.carries.forEach((carry, i) => this.state(p, columns, carry, i));
  }

  private cellX = (p: Placed, column: Column): number => column.x + (column.w - p.cell!.drawing.w) / 2;

  private state(p: Placed, columns: Column[], carry: { name: string; first: string }, index: number): void {
    const { loop } = p.item.loop!, order = loop.reverse ? [...columns].reverse() : columns, side = loop.reverse ? -1 : 1;
    const enter = this.at(p, `c${index}`), leave = this.at(p, `C${index}`), name = ownName(carry.name);
    const edge = (column: Column, port: Point, out: boolean): Point => {
      const x = column.folded ? column.x + ((side > 0) === out ? column.w : 0) : this.cellX(p, column) + port[0];
      return [x, this.top(p) + port[1]];
    };
    for (let i = 0; i + 1 < order.length; i++) {
      const from = edge(order[i], leave, true), to = edge(order[i + 1], enter, false);
      if (order[i].folded) from[1] = to[1];
      if (order[i + 1].folded) to[1] = from[1];
      this.found.paths.push({ points: [from, to], kind: p.item.back ? "next backward" : "next", from: p.item.key, to: p.item.key, curve: true });
      if (i === 0) this.found.labels.push({ x: from[0] + side * 5, y: from[1] - 5, text: name, anchor: side > 0 ? "start" : "end", kind: "state" });
    }
    const first = edge(order[0], enter, false);
    if (carry.first && !(this.into.get(p.item.key) ?? []).some((link) => link.to.port === `c${index}`)) {
      this.found.paths.push({ points: [[first[0] - side * 22, first[1]], first], kind: "next", from: "", to: p.item.key });
      this.found.labels.push({ x: first[0] - side * 24, y: first[1] - 5, text: `${name} = ${carry.first}`, anchor: side > 0 ? "end" : "start", kind: "state" });
    }
  }

  private at(p: Placed, port: string): Point {
    return p.cell!.ports.get(port) ?? [p.cell!.drawing.w / 2, port[0] === "o" ? p.cell!.drawing.h : 0];
  }

  // --- links -----------------------------------------------------------------------------------------------------

  private links(p: Placed): void {
    let track = 0;
    const above = (y: number) => y - 9 - 7 * (track++ % 8);
    const grouped = new Map<string, Link[]>();
    for (const link of this.into.get(p.item.key) ?? []) {
      const key = link.kind === "saved" ? `${link.from.item} saved` : `${link.from.item} ${link.from.port} ${link.to.port}`;
      grouped.set(key, [...(grouped.get(key) ?? []), link]);
    }
    for (const links of grouped.values()) {
      const link = links[0], from = this.placed.get(link.from.item);
      if (!from) continue;
      const y = above(p.row!.y - (p.shape === "loop" ? 6 : 0));
      if (link.to.port[0] === "c" || link.from.port[0] === "C") this.single(from, p, link, y);
      else if (from.axis && from.axis === p.axis && p.shape !== "box" && from.shape !== "box") this.columnwise(from, p, link, y);
      else if (from.shape !== "box" && from.axis && p.shape === "box") this.gather(from, p, link, y);
      else if (from.shape === "box" && p.shape === "loop") this.spread(from, p, link, y);
      else this.single(from, p, link, y);
    }
  }

  /** Where a value leaves a row in a column, and where one enters. */
  private out(p: Placed, link: Link, column: Column, otherwise: number): Point {
    if (p.shape === "loop" && !column.folded) return [this.cellX(p, column) + this.at(p, link.from.port)[0], this.bottom(p)];
    return [p.shape === "bar" ? otherwise : column.x + column.w / 2, this.bottom(p)];
  }

  private in(p: Placed, link: Link, column: Column): Point {
    if (p.shape === "loop" && !column.folded) return [this.cellX(p, column) + this.at(p, link.to.port)[0], this.top(p)];
    return [column.x + column.w / 2, this.top(p)];
  }

  private columnwise(from: Placed, to: Placed, link: Link, y: number): void {
    const between = this.rows.slice(this.rows.indexOf(from.row!) + 1, this.rows.indexOf(to.row!));
    const blocked = between.some((row) => row.items.some((q) => q.shape === "loop" && q.axis === to.axis));
    const lane = blocked ? 9 + 6 * (this.lanes++ % 5) : 0;
    for (const column of this.axes.get(to.axis!)!.columns) {
      const end = this.in(to, link, column);
      if (to.shape === "bar") end[0] = this.out(from, link, column, column.x + column.w / 2)[0];
      const start = this.out(from, link, column, end[0]);
      if (!blocked) { this.line([start, [start[0], y], [end[0], y], end], link); continue; }
      const x = column.x - lane, under = this.bottom(from) + 8 + (lane / 2);
      this.line([start, [start[0], under], [x, under], [x, y], [end[0], y], end], link);
    }
  }

  private gather(from: Placed, to: Placed, link: Link, y: number): void {
    const end: Point = [to.x + to.w / 2, to.y], columns = this.axes.get(from.axis!)!.columns;
    const last = from.shape === "bar" ? columns.slice(-1) : columns;
    for (const column of last) {
      const start = this.out(from, link, column, Math.min(from.x + from.w - 20, end[0]));
      this.line([start, [start[0], y], [end[0], y], end], link);
    }
  }

  private spread(from: Placed, to: Placed, link: Link, y: number): void {
    const start: Point = [from.x + from.w / 2, from.y + from.h];
    for (const column of this.axes.get(to.axis!)!.columns) {
      const end = this.in(to, link, column);
      this.line([start, [start[0], y], [end[0], y], end], link);
    }
  }

  private single(from: Placed, to: Placed, link: Link, y: number): void {
    const start = this.leaving(from, link), end = this.entering(to, link);
    const side = to.shape === "loop" && link.to.port[0] === "c" ? (to.item.loop!.loop.reverse ? 1 : -1) : 0;
    const head: Point[] = start.length > 1 ? [...start.slice(0, -1)] : [];
    const begin = start[start.length - 1];
    const tail: Point[] = side ? [[end[0] + side * 20, y], [end[0] + side * 20, end[1]], end] : [[end[0], y], end];
    this.line([...head, begin, [begin[0], y], ...tail], link);
  }

  private leaving(p: Placed, link: Link): Point[] {
    if (p.shape !== "loop") return [[p.shape === "bar" ? Math.min(p.x + p.w - 30, this.axes.get(p.axis!)!.right - 30) : p.x + p.w / 2, this.bottom(p)]];
    const { reverse } = p.item.loop!.loop, columns = this.axes.get(p.axis!)!.columns;
    const column = reverse ? columns[0] : columns[columns.length - 1];
    if (link.from.port[0] !== "C") return [this.out(p, link, column, 0)];
    const [x, y] = this.at(p, link.from.port), side = reverse ? -1 : 1;
    const edge: Point = [this.cellX(p, column) + x, this.top(p) + y];
    return [edge, [edge[0] + side * 16, edge[1]]];
  }

  private entering(p: Placed, link: Link): Point {
    if (p.shape !== "loop") return [p.shape === "bar" ? p.x + 40 : p.x + p.w / 2, p.y];
    const { reverse } = p.item.loop!.loop, columns = this.axes.get(p.axis!)!.columns;
    const column = reverse ? columns[columns.length - 1] : columns[0];
    const [x, y] = this.at(p, link.to.port);
    return link.to.port[0] === "c" ? [this.cellX(p, column) + x, this.top(p) + y] : this.in(p, link, column);
  }

  private line(points: Point[], link: Link): void {
    this.found.paths.push({ points, kind: link.kind, from: link.from.item, to: link.to.item, under: true });
  }
}

