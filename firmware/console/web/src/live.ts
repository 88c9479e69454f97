/* What the whole page shares: the card's state, read again every POLL_MS and whenever an event says
 * that something happened. It keeps the newest answer and its age, so that the page can say when what
 * it shows is old. */
import { useEffect, useState } from "preact/hooks";
import { ApiError, get } from "./api";
import type { Alert, CardEvent, CardStatus, Plan, Shadow, Vm } from "./contract";

const POLL_MS = 2_000;
const STALE_MS = 6_000;
const SAMPLE_STALE_US = 10e6;
const EVENTS_KEPT = 50;
const RETRY_MS = 2_000;

export interface State {
  status: CardStatus | null;
  vms: Vm[];
  plans: Plan[];
  shadows: Shadow[];
  alerts: Alert[];
  events: CardEvent[];
  answeredAt: number; /* by this computer's clock; 0: never */
  error: string;
  streaming: boolean;
}

const nothing: State = {
  status: null, vms: [], plans: [], shadows: [], alerts: [], events: [], answeredAt: 0, error: "", streaming: false,
};

let state = nothing;
let running: AbortController | null = null;
let onLost: () => void = () => undefined;
const watchers = new Set<() => void>();

function change(part: Partial<State>): void {
  state = { ...state, ...part };
  for (const watcher of watchers) watcher();
}

export async function refresh(): Promise<void> {
  try {
    const [status, vms, plans, shadows, alerts] = await Promise.all([
      get<CardStatus>("/status"),
      get<{ vms: Vm[] }>("/vms"),
      get<{ plans: Plan[] }>("/plans?limit=100"),
      get<{ shadows: Shadow[] }>("/shadows"),
      get<{ alerts: Alert[] }>("/alerts"),
    ]);
    change({
      status, vms: vms.vms, plans: plans.plans, shadows: shadows.shadows, alerts: alerts.alerts,
      answeredAt: Date.now(), error: "",
    });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) onLost();
    else change({ error: error instanceof Error ? error.message : String(error) });
  }
}

/* ---- events ------------------------------------------------------------------------------ */

let lastId = "";

/* One server-sent event: its fields, a line each. */
function take(block: string): void {
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) lastId = line.slice(4);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (!data) return; /* a heartbeat */
  const event = JSON.parse(data) as CardEvent;
  if (event.kind) change({ events: [event, ...state.events].slice(0, EVENTS_KEPT) });
  void refresh();
}

async function readStream(signal: AbortSignal): Promise<void> {
  const headers: Record<string, string> = lastId ? { "Last-Event-ID": lastId } : {};
  const answer = await fetch("/api/v1/events", { headers, signal });
  if (!answer.ok || !answer.body) return;
  change({ streaming: true });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      take(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function followEvents(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await readStream(signal);
    } catch {
      /* cut: it is begun again below, after the last event seen */
    }
    if (signal.aborted) return;
    change({ streaming: false });
    await pause(RETRY_MS);
  }
}

async function poll(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (!document.hidden) await refresh();
    await pause(POLL_MS);
  }
}

export function start(lost: () => void): void {
  stop();
  onLost = lost;
  running = new AbortController();
  void poll(running.signal);
  void followEvents(running.signal);
}

export function stop(): void {
  running?.abort();
  running = null;
  lastId = "";
  state = nothing;
}

/* ---- use ----------------------------------------------------------------------------------- */

export function useLive(): State {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watcher = () => redraw((n) => n + 1);
    watchers.add(watcher);
    return () => void watchers.delete(watcher);
  }, []);
  return state;
}

/* How old the newest answer is, when that is more than a person should not know; else 0. */
export function staleMs(now: number): number {
  const age = now - state.answeredAt;
  return state.answeredAt && age > STALE_MS ? age : 0;
}

/* The age of a VM's newest sample when it is old by the card's own clock; else 0. */
export function sampleAgeUs(vm: Vm): number {
  const age = (state.status?.now_us ?? 0) - vm.last_sample_us;
  return vm.last_sample_us && age > SAMPLE_STALE_US ? age : 0;
}

/* Reads 'path' now, when it changes, and every 'every' ms while the page is seen. */
export function useGet<T>(path: string, every = POLL_MS): { data: T | null; error: string; again: () => void } {
  const [answer, setAnswer] = useState<{ path: string; data: T | null; error: string }>({ path, data: null, error: "" });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let over = false;
    const read = async () => {
      try {
        const data = await get<T>(path);
        if (!over) setAnswer({ path, data, error: "" });
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (!over) setAnswer((old) => ({ path, data: old.path === path ? old.data : null, error: text }));
      }
    };
    void read();
    const timer = setInterval(() => void (document.hidden || read()), every);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [path, every, turn]);
  return { data: answer.path === path ? answer.data : null, error: answer.error, again: () => setTurn((n) => n + 1) };
}
