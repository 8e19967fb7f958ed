// What the compiler tells the page, as `rnngraph/explore/` writes it.

/** A value: the number of a node in its level, and which of its results. */
export type Value = [number, number];

export interface TypeOf { axes: string[]; shape: number[]; dtype: "float" | "int" | "bool" }

/** File, first and last character, line. */
export type Span = [number, number, number, number];

export interface NodeOf {
  op: string; types: number[]; in?: Value[]; span?: number; path?: number; back?: 1; name?: string;
  kind?: string; hidden?: 1; group?: number; mark?: "new" | "moved"; loop?: LoopOf;
}

export interface GroupOf { kind: string; title: string; text: string; root: number; span: number; through?: 1 }

export interface Level { nodes: NodeOf[]; groups: GroupOf[] }

export interface LoopOf {
  axis: string; reverse: 0 | 1; title: string; base: number; counter: number; body: Level;
  carries: { name: string; param: number; next: Value; first: string }[];
  slices: { name: string; param: number }[];
  captures: { name: string; param: number }[];
  stacks: { name: string; value: Value }[];
}

export interface Stage {
  name: string; why: string; nodes: number; level: Level;
  outputs: { name: string; value: Value }[];
  gone: { op: string; place: string; count: number }[];
}

export interface Block {
  path: number; name: string; definition: string; kind: string; span: number; leaf: 0 | 1;
  states: { name: string; shape: number[] }[];
  weights: { name: string; shape: number[]; frozen: 0 | 1 }[];
}

export interface Tables { files: { name: string; text: string }[]; spans: Span[]; types: TypeOf[]; paths: string[][] }

export interface ModelOf extends Tables { stages: Stage[]; blocks: Block[] }

export interface Place {
  file: string | null; line: number | null; column: number | null; end_line: number | null; end_column: number | null;
}

export interface Diagnostic extends Place {
  code: string; severity: "error" | "warning"; message: string; note: string; help: string;
  labels: (Place & { text: string })[];
}

/** Powers of steps, rows and units, and a fraction of bytes. */
export type Term = [number, number, number, number, number];

export interface Law { terms: Term[]; exact: 0 | 1; root: 0 | 1; text: string }

export interface Way {
  unroll: "static" | "dynamic"; gradient: boolean; keep: string; laws: Record<string, Law>;
  /** At the sizes that were asked for. */
  bytes: Record<string, number>; evaluations: [number, number][];
}

export interface Compiled { steps: number; nodes: number; seconds: number }

export interface Costs {
  ways: Way[]; count: number; asked: { steps: number; batch: number; units: number | null }; dtype: string;
  /** Numbers that it keeps for each weight. */
  optimiser: number;
  compiled: { static: Compiled[]; dynamic: Compiled };
}

export interface Slot { bytes: number; category: number; first: number; last: number; name: string; text: string; span: number }

export interface Panel {
  mode: string; allocated: number; starts: number[]; end: number; backward: number; bytes: number[][];
  runs: { name: string; text: string; span: number }[]; slots: Slot[];
}

export interface Memory extends Tables { panels: Panel[]; categories: string[]; steps: number; batch: number }

export interface Series {
  name: string; kind: "input" | "inside" | "output" | "gradient"; axes: string[]; span: number; of?: string;
  steps: number; entries: number; rows: (number | null)[][][];
}

export interface Values extends Tables {
  how: string; steps: Record<string, number>; series: Series[]; gradients: Series[];
  times: { place: string; forward: number; backward: number }[];
}

export interface ComparisonMode {
  mode: string; points: { steps: number; nodes: number; compile: number; run: [number, number, number]; bytes: number }[];
  categories: string[]; ledger: { steps: number; bytes: ({ text: string; right: boolean } | null)[] }[]; laws: string[];
}

export interface Comparison {
  facts: string[]; equal: boolean; verdict: string; notes: string[]; runs: string; columns: string[]; cells: string[][];
  modes: ComparisonMode[]; differences: { name: string; equal: boolean; most: number }[];
}

export interface Page {
  title: string; file: string; text: string; served: boolean; diagnostics: Diagnostic[];
  model: ModelOf | null; costs: Costs | null; memory: Memory | null; values: Values | null; comparison: Comparison | null;
}

export type Part = "model" | "costs" | "way" | "memory" | "values";

/** A state or weight as its instance calls it: `stack.0.c` is `c`, and `net.r.2`, made by a `for`, is `r.2`. */
export const ownName = (name: string) => name.match(/[^.]+(\.\d+)*$/)?.[0] ?? name;
