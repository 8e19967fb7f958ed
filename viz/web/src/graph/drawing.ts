// What is to be drawn, at its place: made by the layouts, drawn by `draw.ts`.

import { ownName } from "../data";
import type { Item } from "./scene";

export interface Box { item: Item; key: string; x: number; y: number; w: number; h: number; title?: string }

export interface Frame {
  key: string; kind: "loop" | "block" | "step" | "fold" | "band"; title: string; opens: string; back: boolean; span: number;
  x: number; y: number; w: number; h: number;
}

export interface Path { points: Point[]; kind: string; from: string; to: string; curve?: boolean; under?: boolean }

export interface Label { x: number; y: number; text: string; anchor: "start" | "middle" | "end"; kind: string }

export type Point = [number, number];

export interface Drawing { boxes: Box[]; frames: Frame[]; paths: Path[]; labels: Label[]; w: number; h: number }

export const empty = (): Drawing => ({ boxes: [], frames: [], paths: [], labels: [], w: 0, h: 0 });

/** Everything of one drawing put into another, moved; keys of boxes stay, so that copies of one are known as such. */
export function put(into: Drawing, part: Drawing, dx: number, dy: number): void {
  into.boxes.push(...part.boxes.map((box) => ({ ...box, x: box.x + dx, y: box.y + dy })));
  into.frames.push(...part.frames.map((frame) => ({ ...frame, x: frame.x + dx, y: frame.y + dy })));
  into.labels.push(...part.labels.map((label) => ({ ...label, x: label.x + dx, y: label.y + dy })));
  into.paths.push(...part.paths.map((path) => ({
    ...path, points: path.points.map(([x, y]): Point => [x + dx, y + dy]),
  })));
}

export const FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif";
export const MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace";
export const LINE = 17, PAD = 11;

const context = document.createElement("canvas").getContext("2d")!;
const known = new Map<string, number>();

export function width(text: string, font: string): number {
  const key = `${font}\n${text}`;
  let found = known.get(key);
  if (found === undefined) {
    context.font = font;
    known.set(key, found = context.measureText(text).width);
  }
  return found;
}

export const TITLE = `600 13px ${FONT}`, SMALL = `11.5px ${FONT}`, CODE = `12px ${MONO}`;

/** How wide and high a box has to be for its text. */
export function size(item: Item): { width: number; height: number } {
  const head = width(item.title, TITLE) + (item.detail ? width(item.detail, SMALL) + 8 : 0) + (item.opens ? 18 : 0);
  const chips = item.weights.length ? width(chipText(item), SMALL) + 14 : 0;
  const widest = Math.max(head, chips, ...item.lines.map((line) => width(line, CODE)));
  const heads = item.title || item.opens || (item.detail && !item.lines.length) ? 1 : 0;
  const detailBelow = !heads && item.detail ? width(item.detail, SMALL) + 8 : 0;
  const last = item.lines.length ? width(item.lines[item.lines.length - 1], CODE) + detailBelow : 0;
  const rows = heads + item.lines.length + (chips ? 1 : 0);
  return { width: Math.ceil(Math.max(widest, last, 30)) + 2 * PAD, height: Math.max(1, rows) * LINE + 2 * 7 + (chips ? 4 : 0) };
}

export function chipText(item: Item): string {
  const names = item.weights.map(ownName);
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} +${names.length - 3}` : names.join(", ");
}
