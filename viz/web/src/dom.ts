// Elements made from data. Text is only ever set as text: nothing here parses markup.

type Child = Node | string | null | undefined | false;
type Props = Record<string, string | number | boolean | EventListener | undefined>;

function fill<E extends Element>(element: E, props: Props, children: Child[]): E {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child) || child === ""));
  return element;
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), props, children);
}

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

export function on<E extends Event>(handle: (event: E) => void): EventListener {
  return handle as EventListener;
}

/** The colour that a variable of the style sheet has now. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit++; }
  return `${unit === 0 || count >= 100 ? Math.round(count) : Number(count.toPrecision(3))} ${units[unit]}`;
}

export function seconds(time: number): string {
  if (time >= 1) return `${Number(time.toPrecision(3))} s`;
  return time >= 1e-3 ? `${Number((time * 1e3).toPrecision(3))} ms` : `${Number((time * 1e6).toPrecision(3))} µs`;
}

export function number(value: number): string {
  return value.toLocaleString("en");
}

let serial = 0;

export function unique(prefix: string): string {
  return `${prefix}-${++serial}`;
}

/** Radio buttons that look like one bar. */
export function choice<T extends string>(
  label: string, options: [T, string][], value: T, changed: (value: T) => void
): HTMLFieldSetElement {
  const name = unique("choice");
  return h("fieldset", { class: "choice" }, h("legend", { class: "hidden" }, label), ...options.map(([key, text]) => {
    const id = unique("option");
    const input = h("input", { type: "radio", name, id, value: key, checked: key === value, onchange: () => changed(key) });
    return h("span", {}, input, h("label", { for: id }, text));
  }));
}

export interface Slider { element: HTMLElement; set(value: number): void }

/** A slider over a logarithmic scale of whole numbers, with a field for the number itself. */
export function slider(
  label: string, least: number, most: number, value: number, changed: (value: number) => void, beyond = most
): Slider {
  const range = h("input", { type: "range", min: 0, max: 1000, id: unique("slider") });
  const field = h("input", { type: "number", min: least, max: beyond, "aria-label": `${label}, as a number` });
  const toPlace = (n: number) => (1000 * Math.log(n / least)) / Math.log(most / least);
  const show = (n: number, moved: boolean) => {
    if (!moved) range.value = String(toPlace(Math.min(n, most)));
    range.setAttribute("aria-valuetext", number(n));
    field.value = String(n);
  };
  range.addEventListener("input", () => {
    const n = Math.round(least * (most / least) ** (Number(range.value) / 1000));
    show(n, true);
    changed(n);
  });
  field.addEventListener("change", () => {
    const n = Math.min(beyond, Math.max(least, Math.round(Number(field.value)) || least));
    show(n, false);
    changed(n);
  });
  show(value, false);
  return {
    element: h("div", { class: "slider" }, h("label", { for: range.id }, label), range, field),
    set: (n) => show(n, false),
  };
}

/** Calls at most once in so many milliseconds, the last time for sure. */
export function settled<A extends unknown[]>(wait: number, call: (...given: A) => void): (...given: A) => void {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => call(...given), wait);
  };
}
