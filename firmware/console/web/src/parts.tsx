/* The small pieces that the views are made of. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { words } from "./units";

const TONES: Record<string, string> = {
  RUNNING: "good", IN_STEP: "good", DONE: "good", ENFORCE: "good", OK: "good", CLEARED: "good", READY: "good",
  ACTIVE: "good", APPROVED: "busy", PENDING: "asks", SYNCING: "busy", PROVISIONING: "busy", REHEARSING: "busy",
  PROMOTING: "busy", UNDOING: "busy", ACKNOWLEDGED: "asks", RAISED: "bad", FAILED: "bad", CRASHED: "bad",
  DEGRADED: "asks", STALE: "bad",
};

export function Badge({ value, tone }: { value: string; tone?: string }) {
  return <span class={`badge ${tone ?? TONES[value] ?? "plain"}`}>{words(value)}</span>;
}

export function Panel({ title, aside, children }: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="panel">
      <header><h2>{title}</h2>{aside}</header>
      {children}
    </section>
  );
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

/* A table that becomes a list of cards on a narrow screen: cells carry their column's name. */
export function Table({ columns, rows, empty, label }: {
  columns: string[]; rows: { key: string; cells: ComponentChildren[] }[]; empty: string; label: string;
}) {
  if (!rows.length) return <p class="empty">{empty}</p>;
  return (
    <table class="grid" aria-label={label}>
      <thead><tr>{columns.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.key}>
            {row.cells.map((cell, i) => <td key={columns[i]} data-column={columns[i]}>{cell}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Meter({ label, used, size, text }: { label: string; used: number; size: number; text: string }) {
  const share = size ? Math.min(1, used / size) : 0;
  return (
    <div class="meter">
      <div><span>{label}</span><span>{text}</span></div>
      <meter min={0} max={1} high={0.9} value={share} aria-label={label}>{text}</meter>
    </div>
  );
}

export function Problem({ text }: { text: string }) {
  return text ? <p class="problem" role="alert">{text}</p> : null;
}

/* A button whose work takes a while and may fail; it says so itself. */
export function Act({ label, tone, confirm, act, describe }: {
  label: string; tone?: string; confirm?: string; describe?: string; act: () => Promise<unknown>;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [asked, setAsked] = useState(false);
  const run = async () => {
    if (confirm && !asked) {
      setAsked(true);
      return;
    }
    setBusy(true);
    setAsked(false);
    setError("");
    try {
      await act();
    } catch (problem) {
      setError(problem instanceof Error ? problem.message : String(problem));
    }
    setBusy(false);
  };
  return (
    <span class="act">
      {asked && <span role="alert">{confirm} <button type="button" class="quiet" onClick={() => setAsked(false)}>No</button></span>}
      <button type="button" class={tone} disabled={busy} aria-label={describe} onClick={() => void run()}>
        {busy ? "…" : asked ? `Yes, ${label.toLowerCase()}` : label}
      </button>
      <Problem text={error} />
    </span>
  );
}

/* Demand so far and what is expected, without axes: 'past' ends where 'future' begins. */
export function Sparkline({ past, future, label }: { past: number[]; future: number[]; label: string }) {
  const n = past.length + future.length;
  if (n < 2) return <span class="empty">no history yet</span>;
  const top = Math.max(...past, ...future, 1);
  const at = (value: number, i: number) => `${((i / (n - 1)) * 120).toFixed(1)},${(27 - (value / top) * 25).toFixed(1)}`;
  const line = past.map(at).join(" ");
  const ahead = [past[past.length - 1] ?? 0, ...future].map((value, i) => at(value, past.length - 1 + i)).join(" ");
  return (
    <svg class="spark" viewBox="0 0 120 28" role="img" aria-label={label} preserveAspectRatio="none">
      <polyline class="past" points={line} />
      <polyline class="ahead" points={ahead} />
    </svg>
  );
}
