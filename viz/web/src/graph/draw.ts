// A drawing as svg: boxes, frames, lines with round corners.

import { s } from "../dom";
import { type Box, type Drawing, type Frame, type Path, type Point, CODE, LINE, SMALL, TITLE, chipText, width } from "./drawing";

export function draw(drawing: Drawing): SVGGElement {
  const flat = (kind: string) => drawing.frames.filter((frame) => frame.kind === kind).map(frameOf);
  return s("g", {},
    ...flat("band"), ...drawing.frames.filter((frame) => frame.kind === "loop" || frame.kind === "block").map(frameOf),
    s("g", {}, ...drawing.paths.filter((path) => path.under).map(pathOf)),
    ...flat("step"), ...flat("fold"),
    s("g", {}, ...drawing.paths.filter((path) => !path.under).map(pathOf)),
    ...drawing.frames.filter((frame) => frame.title).map(headOf),
    s("g", {}, ...drawing.labels.map((label) => s("text", { x: label.x, y: label.y, "text-anchor": label.anchor, class: `label ${label.kind}` }, label.text))),
    ...drawing.boxes.map(boxOf),
  );
}

function frameOf(frame: Frame): SVGGElement {
  const { x, y, w, h } = frame;
  const rect = s("rect", { x, y, width: w, height: h, rx: frame.kind === "step" || frame.kind === "fold" ? 8 : 12 });
  const classes = `frame ${frame.kind}${frame.back ? " back" : ""}`;
  return s("g", { class: classes }, rect);
}

/** What a frame is called, over all lines; a click there closes it. */
function headOf(frame: Frame): SVGGElement {
  const { x, y, w } = frame;
  const title = s("text", { x: x + 14, y: y + 20, class: "title" }, frame.title);
  const w2 = Math.min(w, width(frame.title, TITLE) + 52);
  return s("g", { class: `head ${frame.kind}`, "data-key": frame.key, "data-opens": frame.opens, role: "button", tabindex: -1, "aria-expanded": "true", "aria-label": `${frame.title}, open` },
    s("rect", { x: x + 2, y: y + 2, width: w2, height: 28, rx: 9, class: "hit" }), title,
    s("text", { x: x + 14 + width(frame.title, TITLE) + 10, y: y + 20, class: "sign" }, "−"));
}

function boxOf(box: Box): SVGGElement {
  const { item, x, y, w, h } = box;
  const kind = `box ${item.kind}${item.back ? " back" : ""}${item.mark ? ` mark-${item.mark}` : ""}`;
  const label = [item.title, item.lines.join(" "), item.detail, item.mark && `(${item.mark})`].filter(Boolean).join(" ");
  const group = s("g", {
    class: kind, "data-key": box.key, "data-opens": item.opens, role: "button", tabindex: -1, "aria-label": box.title ?? label,
    ...(item.opens ? { "aria-expanded": "false" } : {}),
  });
  const rx = item.kind === "input" || item.kind === "output" || item.kind === "state" || item.kind === "loss" ? Math.min(h / 2, 17) : 7;
  group.append(s("rect", { x, y, width: w, height: h, rx }));
  if (box.title !== undefined) {
    const wide = w > 300;
    group.append(s("text", { x: wide ? x + 14 : x + w / 2, y: y + h / 2 + 4.5, "text-anchor": wide ? "start" : "middle", class: wide ? "code" : "title" }, box.title));
    if (wide && item.weights.length) group.append(...chip(chipText(item), x + 30 + width(box.title, CODE) + width(chipText(item), SMALL) / 2, y + h / 2 + 2));
    return group;
  }
  group.append(...content(box));
  return group;
}

function content({ item, x, y, w, h }: Box): SVGElement[] {
  const found: SVGElement[] = [];
  const chips = item.weights.length ? 1 : 0;
  const head = item.title || item.opens || (item.detail && !item.lines.length);
  const rows = (head ? 1 : 0) + item.lines.length + chips;
  let line = y + (h - rows * LINE - (chips ? 4 : 0)) / 2 + 13;
  if (head) {
    const wide = width(item.title, TITLE), detail = item.detail ? width(item.detail, SMALL) + (item.title ? 8 : 0) : 0, sign = item.opens ? 18 : 0;
    const left = x + (w - wide - detail - sign) / 2;
    found.push(s("text", { x: left, y: line, class: "title" }, item.title));
    if (item.detail) found.push(s("text", { x: left + wide + (item.title ? 8 : 0), y: line, class: "detail" }, item.detail));
    if (item.opens) found.push(s("text", { x: left + wide + detail + 8, y: line, class: "sign" }, "+"));
    line += LINE;
  }
  item.lines.forEach((text, i) => {
    const row = s("text", { x: x + w / 2, y: line, "text-anchor": "middle", class: "code" }, text);
    if (!head && item.detail && i === item.lines.length - 1) row.append(s("tspan", { class: "detail", dx: 8 }, item.detail));
    found.push(row);
    line += LINE;
  });
  if (chips) {
    found.push(...chip(chipText(item), x + w / 2, line));
  }
  return found;
}

/** The weights that a box reads, around a middle. */
function chip(text: string, x: number, y: number): SVGElement[] {
  const wide = width(text, SMALL) + 14;
  return [
    s("rect", { x: x - wide / 2, y: y - 10, width: wide, height: 17, rx: 8, class: "chip" }),
    s("text", { x, y: y + 2.5, "text-anchor": "middle", class: "chip-text" }, text),
  ];
}

function pathOf(path: Path): SVGGElement {
  const points = plain(path.points), d = path.curve ? curve(points) : rounded(points), [tip, before] = [points[points.length - 1], points[points.length - 2]];
  const angle = path.curve ? (tip[0] >= before[0] ? 0 : 180) : (Math.atan2(tip[1] - before[1], tip[0] - before[0]) * 180) / Math.PI;
  return s("g", { class: `line ${path.kind}`, "data-from": path.from, "data-to": path.to },
    s("path", { d, class: "stroke" }),
    s("path", { d: "M0 0L-6.5 3.2L-6.5 -3.2Z", transform: `translate(${tip[0]} ${tip[1]}) rotate(${angle})`, class: "tip" }));
}

/** Without points that change nothing. */
function plain(points: Point[]): Point[] {
  const near = (a: Point, b: Point) => Math.abs(a[0] - b[0]) < 0.6 && Math.abs(a[1] - b[1]) < 0.6;
  const apart = points.filter((p, i) => i === 0 || !near(p, points[i - 1]));
  return apart.length > 1 ? apart : [points[0], points[points.length - 1]];
}

function curve([[x1, y1], [x2, y2]]: Point[]): string {
  const reach = (x2 - x1) / 2;
  return `M${x1} ${y1}C${x1 + reach} ${y1} ${x2 - reach} ${y2} ${x2} ${y2}`;
}

function rounded(points: Point[]): string {
  let d = `M${points[0][0]} ${points[0][1]}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [x0, y0] = points[i - 1], [x, y] = points[i], [x1, y1] = points[i + 1];
    const before = Math.hypot(x - x0, y - y0), after = Math.hypot(x1 - x, y1 - y), r = Math.min(7, before / 2, after / 2);
    const a = r / (before || 1), b = r / (after || 1);
    d += `L${x - (x - x0) * a} ${y - (y - y0) * a}Q${x} ${y} ${x + (x1 - x) * b} ${y + (y1 - y) * b}`;
  }
  const [x, y] = points[points.length - 1];
  return `${d}L${x} ${y}`;
}
