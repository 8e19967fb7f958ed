// Boxes in layers by ELK, in a worker; loops and blocks that are open are boxes that hold others.

import ELK from "elkjs/lib/elk-api.js";
import type { ElkEdgeSection, ElkExtendedEdge, ElkNode, ElkPort } from "elkjs/lib/elk-api.js";
import { ownName } from "../data";
import { type Drawing, type Point, empty, size } from "./drawing";
import { type End, type Item, type Scene, pathKey } from "./scene";

type Engine = Promise<InstanceType<typeof ELK>>;

/** One engine for what is looked at; another lays out beforehand what will probably be asked for. */
const engines: { now: Engine | null; ahead: Engine | null } = { now: null, ahead: null };
export type When = keyof typeof engines;

/** The engine comes with the page, packed, and runs from there. */
async function started(): Promise<InstanceType<typeof ELK>> {
  const packed = document.getElementById("layout-engine")!.textContent!;
  const url = URL.createObjectURL(new Blob([await unpacked(packed)], { type: "text/javascript" }));
  return new ELK({ workerFactory: () => new Worker(url) });
}

export async function unpacked(text: string): Promise<string> {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const known = new Map<string, Promise<ElkNode>>();

function placed(graph: ElkNode, when: When): Promise<ElkNode> {
  const key = JSON.stringify(graph);
  if (known.size > 200) known.clear();
  if (!known.has(key)) known.set(key, (engines[when] ??= started()).then((elk) => elk.layout(graph).catch(() => elk.layout(apart(graph)))));
  return known.get(key)!;
}

/** Each loop laid out by itself, for what ELK cannot lay out as one: the same boxes, with lines that are less straight. */
function apart(graph: ElkNode): ElkNode {
  const separate = graph.ports ? { layoutOptions: { ...graph.layoutOptions, ...APART } } : {};
  return { ...graph, ...separate, children: graph.children?.map(apart) };
}

const OPTIONS: Record<string, string> = {
  "elk.algorithm": "layered",
  "elk.direction": "DOWN",
  "elk.hierarchyHandling": "INCLUDE_CHILDREN",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.layered.spacing.nodeNodeBetweenLayers": "26",
  "elk.layered.spacing.edgeNodeBetweenLayers": "13",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "9",
  "elk.spacing.nodeNode": "20",
  "elk.spacing.portPort": "17",
  "elk.spacing.edgeNode": "14",
  "elk.spacing.edgeEdge": "9",
  "elk.layered.mergeEdges": "true",
  "elk.layered.nodePlacement.bk.fixedAlignment": "BALANCED",
};

/** Of a loop within a loop: ELK fails on the ports of some when all levels are laid out at once. */
const APART = { ...OPTIONS, "elk.hierarchyHandling": "SEPARATE_CHILDREN" };

/** The whole scene, from top to bottom. */
export async function layered(scene: Scene, when: When = "now"): Promise<Drawing> {
  const root: ElkNode = { id: "root", layoutOptions: { ...OPTIONS, "elk.padding": "[top=24,left=40,bottom=24,right=40]" } };
  const frames = new Map<string, Scene>(), items = new Map<string, Item>();
  root.children = level(scene, "root", frames, items);
  root.edges = edges(scene, "");
  return gathered(await placed(root, when), items, frames);
}

export interface Cell { drawing: Drawing; ports: Map<string, Point> }

/** One step of a loop: what enters and leaves at its sides is known by its port. */
export async function cell(item: Item, when: When): Promise<Cell> {
  const items = new Map<string, Item>(), frames = new Map<string, Scene>();
  const root: ElkNode = { id: "root", layoutOptions: { ...OPTIONS, "elk.padding": "[top=0,left=0,bottom=0,right=0]" } };
  const only: Scene = { items: [{ ...item, path: [] }], links: [], base: [], names: new Map() };
  root.children = level(only, "root", frames, items, true);
  root.edges = edges(only, "");
  const found = await placed(root, when), node = found.children![0];
  const drawing = gathered({ ...found, children: [{ ...node, x: 0, y: 0 }], edges: found.edges }, items, frames, true);
  const ports = new Map((node.ports ?? []).map((port): [string, Point] => [
    port.id.slice(port.id.lastIndexOf("|") + 1), [clamp(port.x! + port.width! / 2, node.width!), clamp(port.y! + port.height! / 2, node.height!)],
  ]));
  return { drawing: { ...drawing, w: node.width!, h: node.height! }, ports };
}

const clamp = (place: number, most: number): number => Math.min(most, Math.max(0, place));

// --- to ELK ----------------------------------------------------------------------------------------------------------

function level(scene: Scene, id: string, frames: Map<string, Scene>, items: Map<string, Item>, bare = false): ElkNode[] {
  const top: ElkNode[] = [], made = new Map<string, ElkNode>();
  const within = (path: string[], back: boolean): ElkNode[] => {
    if (path.length <= scene.base.length || !starts(path, scene.base)) return top;
    const key = `${id}/${pathKey(path)}${back ? "'" : ""}`;
    if (!made.has(key)) {
      const name = scene.names.get(pathKey(path)) ?? path[path.length - 1], title = `${back ? "gradient of " : ""}${name}`;
      const node: ElkNode = { id: `frame ${key}`, children: [], layoutOptions: padding(title, 16) };
      frames.set(node.id, { items: [frameItem(title, path)], links: [], base: [], names: new Map() });
      made.set(key, node);
      within(path.slice(0, -1), back).push(node);
    }
    return made.get(key)!.children!;
  };
  for (const item of scene.items) {
    items.set(item.key, item);
    const last = scene.links.filter((link) => link.from.item === item.key && link.from.port[0] === "C").map((link) => lastPort(link.from.port));
    within(item.path, item.back).push(item.loop ? loopNode(item, frames, items, bare, last) : { id: item.key, ...size(item), layoutOptions: rank(item) });
  }
  return top;
}

function rank(item: Item): Record<string, string> {
  return item.kind === "input" && !item.back ? { "elk.layered.layering.layerConstraint": "FIRST" } : {};
}

function frameItem(title: string, path: string[]): Item {
  return {
    key: `frame ${pathKey(path)}`, kind: "block", title, detail: "", lines: [], op: "", span: -1, type: -1, path, back: false,
    mark: "", weights: [], opens: `block ${pathKey(path)}`,
  };
}

const starts = (path: string[], base: string[]): boolean => base.every((part, i) => path[i] === part);

function padding(title: string, side: number): Record<string, string> {
  return {
    "elk.padding": `[top=38,left=${side},bottom=18,right=${side}]`,
    "elk.nodeSize.constraints": "MINIMUM_SIZE",
    "elk.nodeSize.minimum": `(${Math.ceil(title.length * 7.4) + 50}, 60)`,
  };
}

/** Below the loop: where the last value of a state leaves it, beside the port at its side that leads to the next step. */
const lastPort = (port: string): string => port.replace("C", "f");

function loopNode(item: Item, frames: Map<string, Scene>, items: Map<string, Item>, bare: boolean, last: string[]): ElkNode {
  const { loop, level: inside } = item.loop!;
  const before = loop.reverse ? "EAST" : "WEST", after = loop.reverse ? "WEST" : "EAST";
  const ports = new Map<string, ElkPort>();
  const port = (name: string) => {
    const side = { c: before, C: after, s: "NORTH", k: "NORTH", o: "SOUTH", f: "SOUTH" }[name[0]]!;
    ports.set(name, { id: `${item.key}|${name}`, width: 1, height: 1, layoutOptions: { "elk.port.side": side } });
  };
  loop.carries.forEach((_, i) => { port(`c${i}`); port(`C${i}`); });
  last.forEach(port);
  for (const link of inside.links) for (const end of [link.from, link.to]) if (end.item === "" && !ports.has(end.port)) port(end.port);
  const options = bare ? { "elk.padding": "[top=16,left=26,bottom=16,right=26]" } : padding(item.title, 30);
  frames.set(item.key, inside);
  return {
    id: item.key, ports: [...ports.values()], children: level(inside, item.key, frames, items), edges: [],
    layoutOptions: { ...(item.key.includes("/") ? APART : {}), ...options, "elk.portConstraints": "FIXED_SIDE" },
  };
}

/** All links of a level and of those within; they stand at the root, which knows every box. */
function edges(scene: Scene, border: string): ElkExtendedEdge[] {
  const open = new Set(scene.items.filter((item) => item.loop).map((item) => item.key));
  const end = ({ item, port }: End): string => (item === "" ? `${border}|${port}` : open.has(item) && port ? `${item}|${port}` : item);
  const own = scene.links.map((link, i) => ({
    id: `${border}>${i}>${link.kind}`, sources: [end(link.from.item ? { ...link.from, port: lastPort(link.from.port) } : link.from)], targets: [end(link.to)],
  }));
  const inner = scene.items.flatMap((item) => (item.loop ? edges(item.loop.level, item.key) : []));
  return [...own, ...inner];
}

// --- from ELK --------------------------------------------------------------------------------------------------------

function gathered(root: ElkNode, items: Map<string, Item>, frames: Map<string, Scene>, bare = false): Drawing {
  const found = empty(), origin = new Map<string, Point>([["root", [0, 0]]]);
  const visit = (node: ElkNode, dx: number, dy: number) => {
    const x = dx + (node.x ?? 0), y = dy + (node.y ?? 0), item = items.get(node.id);
    const place = { x, y, w: node.width!, h: node.height! };
    origin.set(node.id, [x, y]);
    if (item && !item.loop) found.boxes.push({ item, key: item.key, ...place });
    else if (item?.loop && !bare) frame(found, item, node, place);
    else if (!item) {
      const { title, opens, span } = frames.get(node.id)!.items[0];
      found.frames.push({ key: node.id, kind: "block", title, opens, back: false, span, ...place });
    } else if (item.loop) found.frames.push({ key: item.key, kind: "step", title: "", opens: "", back: item.back, span: -1, ...place });
    bare = false;
    for (const child of node.children ?? []) visit(child, x, y);
  };
  for (const child of root.children ?? []) visit(child, 0, 0);
  for (const edge of root.edges ?? []) path(found, edge, origin);
  return { ...found, w: root.width!, h: root.height! };
}

type Place = { x: number; y: number; w: number; h: number };

function frame(found: Drawing, item: Item, node: ElkNode, place: Place): void {
  found.frames.push({ key: item.key, kind: "loop", title: item.title, opens: item.opens, back: item.back, span: item.span, ...place });
  const loop = item.loop!.loop, ports = new Map((node.ports ?? []).map((port) => [port.id, port]));
  loop.carries.forEach((carry, i) => {
    const start = ports.get(`${item.key}|C${i}`)!, end = ports.get(`${item.key}|c${i}`)!;
    const a: Point = [place.x + start.x!, place.y + start.y! + 0.5], b: Point = [place.x + end.x!, place.y + end.y! + 0.5];
    const out = 12 + 7 * i, side = loop.reverse ? -1 : 1, top = place.y - 10 - 7 * i;
    found.paths.push({
      points: [a, [a[0] + side * out, a[1]], [a[0] + side * out, top], [b[0] - side * out, top], [b[0] - side * out, b[1]], b],
      kind: "next", from: item.key, to: item.key,
    });
    const name = ownName(carry.name);
    found.labels.push({ x: b[0] + side * 5, y: b[1] - 5, text: name, anchor: side > 0 ? "start" : "end", kind: "state" });
    found.labels.push({ x: a[0] - side * 5, y: a[1] - 5, text: `${name}'`, anchor: side > 0 ? "end" : "start", kind: "state" });
  });
}

function path(found: Drawing, edge: ElkExtendedEdge, origin: Map<string, Point>): void {
  const [dx, dy] = origin.get((edge as { container?: string }).container ?? "root") ?? [0, 0];
  const kind = edge.id.slice(edge.id.lastIndexOf(">") + 1);
  for (const section of edge.sections ?? []) {
    found.paths.push({ points: points(section).map(([x, y]): Point => [x + dx, y + dy]), kind, from: boxOf(edge.sources[0]), to: boxOf(edge.targets[0]) });
  }
}

const boxOf = (end: string): string => (end.includes("|") ? end.slice(0, end.lastIndexOf("|")) : end);

function points(section: ElkEdgeSection): Point[] {
  return [section.startPoint, ...(section.bendPoints ?? []), section.endPoint].map(({ x, y }): Point => [x, y]);
}
