// What charts share: colours of the theme, axes, sizes that follow the page.

import uPlot from "uplot";
import { colour, h } from "./dom";

export const CATEGORY = ["parameters", "inputs", "outputs", "saved", "gradients", "workspace"];
export const WORDS: Record<string, string> = { saved: "saved for backward" };

export const categoryColour = (name: string): string => colour(`cat-${name}`);

/** An axis in the colours of the page. */
export function axis(more: uPlot.Axis): uPlot.Axis {
  const grid = colour("grid");
  return { stroke: colour("soft"), grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 20, ...(more.size ? {} : { size: 32 }), ...more };
}

/** A place that a chart fills, drawn anew when its width changes; told to those who cannot see it. */
export class Chart {
  readonly element: HTMLElement;
  readonly mount = h("div", { class: "plot" });
  private plot: uPlot | null = null;
  private wide = 0;

  constructor(label: string, private readonly height: number, private readonly make: (width: number, height: number) => [uPlot.Options, uPlot.AlignedData] | null) {
    this.element = h("figure", { class: "chart", "aria-label": label }, this.mount);
    new ResizeObserver(() => { if (Math.abs(this.mount.clientWidth - this.wide) > 2) this.redraw(); }).observe(this.mount);
  }

  get chart(): uPlot | null { return this.plot; }

  redraw(): void {
    this.wide = this.mount.clientWidth;
    this.plot?.destroy();
    this.plot = null;
    if (this.wide < 40) return;
    const made = this.make(this.wide, this.height);
    if (made) this.plot = new uPlot(made[0], made[1], this.mount);
  }
}
