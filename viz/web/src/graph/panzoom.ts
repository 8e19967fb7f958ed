// Moving and zooming of an svg: by pointer, wheel, two fingers.

import { on, s } from "../dom";

const LEAST = 0.05, MOST = 4, READABLE = 0.7;

export class PanZoom {
  readonly content = s("g", {});
  private x = 0;
  private y = 0;
  private k = 1;
  private w = 1;
  private h = 1;
  private pointers = new Map<number, { x: number; y: number }>();
  private moved = 0;
  private target: Element | null = null;
  private late: (() => void) | null = null;
  onclick: (target: Element | null) => void = () => {};

  constructor(private readonly svg: SVGSVGElement) {
    svg.append(this.content);
    svg.addEventListener("wheel", on<WheelEvent>((event) => {
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      this.at(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - box.left, event.clientY - box.top);
    }), { passive: false });
    svg.addEventListener("pointerdown", on<PointerEvent>((event) => {
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.moved = 0;
      this.target = event.target as Element;
      svg.setPointerCapture(event.pointerId);
    }));
    svg.addEventListener("pointermove", on<PointerEvent>((event) => this.drag(event)));
    const end = on<PointerEvent>((event) => {
      const held = this.pointers.delete(event.pointerId);
      if (held && event.type === "pointerup" && this.moved < 5) this.onclick(this.target);
    });
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", end);
  }

  private drag(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (other) {
      const box = this.svg.getBoundingClientRect();
      const apart = (a: { x: number; y: number }) => Math.hypot(a.x - other.x, a.y - other.y);
      this.at(apart(now) / (apart(before) || 1), (now.x + other.x) / 2 - box.left, (now.y + other.y) / 2 - box.top);
    } else {
      this.x += now.x - before.x;
      this.y += now.y - before.y;
      this.apply();
    }
    this.pointers.set(event.pointerId, now);
  }

  size(w: number, h: number): void { [this.w, this.h] = [w, h]; }

  by(factor: number): void { this.at(factor, this.svg.clientWidth / 2, this.svg.clientHeight / 2); }

  private at(factor: number, x: number, y: number): void {
    const k = Math.min(MOST, Math.max(LEAST, this.k * factor));
    this.x = x - ((x - this.x) * k) / this.k;
    this.y = y - ((y - this.y) * k) / this.k;
    this.k = k;
    this.apply();
  }

  /** All of it in sight; where it is only asked to be readable, no smaller than that, from its beginning. */
  fit(readable = false, middle = false): void {
    const { clientWidth: w, clientHeight: h } = this.svg;
    this.late = !w || !h ? () => this.fit(readable, middle) : null;
    if (this.late) return;
    const whole = Math.min(w / this.w, h / this.h, 1.25);
    this.k = readable ? Math.max(whole, Math.min(READABLE, 1.25)) : whole;
    this.x = this.w * this.k < w ? (w - this.w * this.k) / 2 : 0;
    this.y = this.h * this.k < h ? (h - this.h * this.k) / 2 : 0;
    if (readable && this.w * this.k > w) this.x = middle ? (w - this.w * this.k) / 2 : 0;
    this.apply();
  }

  /** What was drawn while it was hidden is fitted when it is shown. */
  shown(): void { this.late?.(); }

  toClient(x: number, y: number): [number, number] {
    const box = this.svg.getBoundingClientRect();
    return [box.left + this.x + x * this.k, box.top + this.y + y * this.k];
  }

  /** Moves only where the place is out of sight. */
  reveal(x: number, y: number): void {
    const [sx, sy] = [this.x + x * this.k, this.y + y * this.k], { clientWidth: w, clientHeight: h } = this.svg;
    if (sx > 60 && sy > 40 && sx < w - 60 && sy < h - 40) return;
    this.x = w / 2 - x * this.k;
    this.y = h / 2 - y * this.k;
    this.apply();
  }

  private apply(): void { this.content.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.k})`); }
}
