/* One resource of one VM on one time axis: demand, allocation, what was and is forecast, and marks
 * where the card acted. Adapter for uPlot. */
import uPlot from "uplot";
import type { Forecast, History, Plan, ResourceName } from "./contract";
import { amount } from "./units";

export interface Mark {
  at: number; /* seconds since the epoch */
  text: string;
}

export interface Picture {
  resource: ResourceName;
  history: History | null;
  madeUs: number;
  forecasts: Forecast[]; /* of this resource, by horizon */
  marks: Mark[];
  from: number; /* seconds */
  to: number;
}

export type OnWindow = (from: number, to: number) => void;

const GAP = 3; /* intervals without a point: the line is broken */
type Value = number | null | undefined; /* null breaks a line, undefined does not */
type Row = { x: number; values: Value[] };

const MEAN = 0, MAXIMUM = 1, ALLOCATED = 2, PAST_P95 = 3, P50 = 4, P90 = 5, P95 = 6, P99 = 7, N = 8;

function row(x: number, values: Record<number, Value>): Row {
  return { x, values: Array.from({ length: N }, (_, i) => values[i]) };
}

function pastRows(history: History | null): Row[] {
  const rows: Row[] = [];
  let last = 0;
  for (const p of history?.points ?? []) {
    if (last && p.wall_us - last > GAP * (history?.interval_us ?? 0)) {
      const middle = (p.wall_us + last) / 2e6;
      rows.push(row(middle, { [MEAN]: null, [MAXIMUM]: null, [ALLOCATED]: null, [PAST_P95]: null }));
    }
    rows.push(row(p.wall_us / 1e6, {
      [MEAN]: p.mean, [MAXIMUM]: p.maximum, [ALLOCATED]: p.allocated || null, [PAST_P95]: p.forecast_p95 || undefined,
    }));
    last = p.wall_us;
  }
  return rows;
}

function futureRows(picture: Picture): Row[] {
  const first = picture.forecasts[0];
  if (!first) return [];
  const here = first.observed;
  return [
    row(picture.madeUs / 1e6, { [P50]: here, [P90]: here, [P95]: here, [P99]: here }),
    ...picture.forecasts.map((f) =>
      row((picture.madeUs + f.horizon_us) / 1e6, { [P50]: f.p50, [P90]: f.p90, [P95]: f.p95, [P99]: f.p99 })),
  ];
}

/* The allocation holds until something changes it: its step goes on to the fan's end. */
function extendAllocation(past: Row[], future: Row[]): void {
  const allocated = past[past.length - 1]?.values[ALLOCATED];
  const end = future[future.length - 1];
  if (allocated && end) end.values[ALLOCATED] = allocated;
}

function columns(picture: Picture): uPlot.AlignedData {
  const past = pastRows(picture.history);
  const future = futureRows(picture);
  extendAllocation(past, future);
  const rows = [...past, ...future].sort((a, b) => a.x - b.x);
  return [rows.map((r) => r.x), ...Array.from({ length: N }, (_, i) => rows.map((r) => r.values[i]))] as uPlot.AlignedData;
}

/* ---- drawing ------------------------------------------------------------------------------- */

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function drawMarks(plot: uPlot, marks: Mark[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--mark");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const mark of marks) {
    const x = plot.valToPos(mark.at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const size = 5 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x - size, bbox.top);
    ctx.lineTo(x + size, bbox.top);
    ctx.lineTo(x, bbox.top + 1.6 * size);
    ctx.fill();
  }
  ctx.restore();
}

function drawNow(plot: uPlot, madeUs: number): void {
  const x = plot.valToPos(madeUs / 1e6, "x", true);
  const { ctx, bbox } = plot;
  if (!madeUs || x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.fillStyle = colour("--faint");
  ctx.fillRect(x, bbox.top, devicePixelRatio, bbox.height);
  ctx.restore();
}

function seriesOf(resource: ResourceName): uPlot.Series[] {
  const value = (_: uPlot, v: number | null): string => (v == null ? "–" : amount(resource, v));
  const line = (label: string, stroke: string, more: uPlot.Series = {}): uPlot.Series =>
    ({ label, stroke: colour(stroke), width: 1.5, value, points: { show: false }, ...more });
  return [
    { label: "Time", value: (_, v) => (v == null ? "–" : new Date(v * 1000).toLocaleString("en-GB")) },
    line("Demand", "--demand", { width: 2 }),
    line("Highest", "--demand", { width: 0.7, alpha: 0.6 }),
    line("Allocated", "--allocated", { width: 2, paths: uPlot.paths.stepped!({ align: 1 }) }),
    line("P95 as forecast before", "--forecast", { width: 1, dash: [5, 4] }),
    line("P50", "--forecast", { width: 2 }),
    line("P90", "--forecast", { width: 0.8 }),
    line("P95", "--forecast", { width: 0.8 }),
    line("P99", "--forecast", { width: 0.8, alpha: 0.7 }),
  ];
}

function options(picture: () => Picture, width: number, onWindow: OnWindow): uPlot.Options {
  const axis = { stroke: colour("--text-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const resource = picture().resource;
  return {
    width,
    height: Math.max(240, Math.min(380, width * 0.42)),
    cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    legend: { live: true },
    scales: {
      x: { time: true, auto: false, range: () => [picture().from, picture().to] },
      y: { range: (_, __, top) => [0, Math.max(top ?? 0, 1) * 1.08] },
    },
    axes: [
      { ...axis, space: 90, values: [
        [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
        [60, "{HH}:{mm}", "\n{D} {MMM}", null, null, null, null, null, 1],
        [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
      ] },
      { ...axis, size: 86, values: (_, ticks) => ticks.map((v) => amount(resource, v)) },
    ],
    series: seriesOf(resource),
    bands: [
      { series: [P99 + 1, P95 + 1], fill: colour("--fan-99") },
      { series: [P95 + 1, P90 + 1], fill: colour("--fan-95") },
      { series: [P90 + 1, P50 + 1], fill: colour("--fan-90") },
    ],
    hooks: {
      draw: [(plot) => { drawNow(plot, picture().madeUs); drawMarks(plot, picture().marks); }],
      setSelect: [(plot) => {
        if (plot.select.width < 4) return;
        const from = plot.posToVal(plot.select.left, "x");
        const to = plot.posToVal(plot.select.left + plot.select.width, "x");
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        onWindow(from, to);
      }],
    },
  };
}

export class Chart {
  private plot: uPlot | null = null;
  private picture: Picture | null = null;
  private width = 0;
  private readonly observer: ResizeObserver;
  private readonly onTheme = () => this.rebuild();

  constructor(private readonly element: HTMLElement, private readonly onWindow: OnWindow) {
    /* Only for another width: building anew changes the height, which would call this again. */
    this.observer = new ResizeObserver(() => { if (element.clientWidth !== this.width) this.rebuild(); });
    this.observer.observe(element);
    addEventListener("gnomon-theme", this.onTheme);
  }

  private rebuild(): void {
    const picture = this.picture;
    if (!picture || !this.element.clientWidth) return;
    this.plot?.destroy();
    this.width = this.element.clientWidth;
    this.plot = new uPlot(options(() => this.picture as Picture, this.width, this.onWindow),
      columns(picture), this.element);
  }

  show(picture: Picture): void {
    const other = this.picture?.resource !== picture.resource;
    this.picture = picture;
    if (!this.plot || other) {
      this.rebuild();
      return;
    }
    this.plot.setData(columns(picture), true);
    this.plot.setScale("x", { min: picture.from, max: picture.to });
  }

  destroy(): void {
    removeEventListener("gnomon-theme", this.onTheme);
    this.observer.disconnect();
    this.plot?.destroy();
  }
}

/* The actions of 'plans' that touched a resource. */
const KINDS: Partial<Record<ResourceName, string[]>> = { CPU: ["SET_VCPUS", "SET_CPU_LIMIT"], MEMORY: ["SET_MEMORY"] };

export function marksOf(plans: Plan[], resource: ResourceName, text: (plan: Plan, i: number) => string): Mark[] {
  const kinds = KINDS[resource] ?? ["SET_METER"];
  const marks: Mark[] = [];
  for (const plan of plans)
    plan.actions.forEach((action, i) => {
      const ours = kinds.includes(action.kind) && (action.kind !== "SET_METER" || plan.inputs?.resource === resource);
      if (ours && action.at_us) marks.push({ at: action.at_us / 1e6, text: text(plan, i) });
    });
  return marks.sort((a, b) => a.at - b.at);
}
