/* One VM: what it needed, what it will need, what it has and what was done, on one time axis. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Chart, marksOf, type Mark, type Picture } from "./chart";
import type { Forecast, ForecastSet, Guest, Hazard, History, Mirror, Plan, ResourceName, Vm } from "./contract";
import { sampleAgeUs, useGet, useLive } from "./live";
import { Badge, Facts, Panel, Problem, Table } from "./parts";
import { actionText, PlanList } from "./plans";
import { ShadowCard } from "./shadows";
import { amount, bytes, clock, count, dateTime, duration, percent, RESOURCES, title, vcpus, words } from "./units";

const RANGES: [string, number][] = [
  ["2 min", 120], ["10 min", 600], ["1 h", 3600], ["6 h", 21600], ["1 d", 86400], ["1 w", 604800], ["1 month", 2678400],
];
const NARROWEST_S = 5;
const AHEAD_SHARE = 0.35; /* of a live window, at most, for what is to come */
const POINTS = 600;

/* A live window ends at the forecast's end; one that a person chose stays. */
interface Window {
  range: number; /* seconds */
  end: number | null; /* seconds; null: live */
}

function bounds(window: Window, now: number, ahead: number): { from: number; to: number } {
  const to = window.end ?? now + Math.min(ahead, window.range * AHEAD_SHARE);
  return { from: to - window.range, to };
}

function useSetWindow(window: Window, now: number, set: (w: Window) => void) {
  return {
    zoom: (factor: number) => set({ ...window, range: Math.max(NARROWEST_S, window.range * factor) }),
    pan: (share: number) => {
      const end = (window.end ?? now) + share * window.range;
      set({ ...window, end: end >= now ? null : end });
    },
  };
}

function ChartView({ picture, label, onWindow, onKey }: {
  picture: Picture; label: string; onWindow: (from: number, to: number) => void; onKey: (event: KeyboardEvent) => void;
}) {
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const handler = useRef(onWindow);
  handler.current = onWindow;
  useEffect(() => {
    chart.current = new Chart(element.current as HTMLDivElement, (from, to) => handler.current(from, to));
    return () => chart.current?.destroy();
  }, []);
  useEffect(() => chart.current?.show(picture));
  return (
    <div class="chart" ref={element} role="group" tabIndex={0} aria-label={`${label}. Arrow keys move, plus and minus zoom.`}
      onKeyDown={onKey} />
  );
}

function ForecastTable({ forecasts, resource }: { forecasts: Forecast[]; resource: ResourceName }) {
  const say = (value: number) => <span class="number">{amount(resource, value)}</span>;
  return (
    <Table label={`Forecast of ${title(resource)}`} columns={["Ahead", "P50", "P90", "P95", "P99", "Loss against no change", "Judged"]}
      empty="There is no forecast yet."
      rows={forecasts.map((f) => ({
        key: String(f.horizon_us),
        cells: [duration(f.horizon_us), say(f.p50), say(f.p90), say(f.p95), say(f.p99),
          <span class="number">{percent(f.error_ratio_q16 / 65536)}</span>, <span class="number">{count(f.scored)}</span>],
      }))} />
  );
}

function Trust({ forecasts }: { forecasts: Forecast[] }) {
  const last = forecasts[forecasts.length - 1];
  if (!last) return null;
  return (
    <>
      <p>{last.trusted
        ? <><Badge value="trusted" tone="good" /> {last.explanation}</>
        : <><Badge value="advice only" tone="asks" /> {last.reason}</>}</p>
      {last.change && <p class="empty">{last.change}</p>}
    </>
  );
}

function MarkList({ marks }: { marks: Mark[] }) {
  if (!marks.length) return <p class="empty">No action in this window.</p>;
  return <ul class="marks">{marks.slice(-8).reverse().map((m) => <li key={m.at + m.text}>{clock(m.at * 1e6)} {m.text}</li>)}</ul>;
}

function Controls({ window, set, zoom, pan }: {
  window: Window; set: (w: Window) => void; zoom: (factor: number) => void; pan: (share: number) => void;
}) {
  return (
    <div class="controls" role="group" aria-label="Time">
      {RANGES.map(([name, range]) => (
        <button key={name} type="button" aria-pressed={window.range === range} onClick={() => set({ ...window, range })}>{name}</button>
      ))}
      <span class="gap" />
      <button type="button" aria-label="Earlier" onClick={() => pan(-0.5)}>◀</button>
      <button type="button" aria-label="Later" onClick={() => pan(0.5)}>▶</button>
      <button type="button" aria-label="Zoom in" onClick={() => zoom(0.5)}>+</button>
      <button type="button" aria-label="Zoom out" onClick={() => zoom(2)}>−</button>
      <button type="button" aria-pressed={window.end === null} onClick={() => set({ ...window, end: null })}>Live</button>
    </div>
  );
}

function TimeLine({ id, plans, forecasts, resource, now }: {
  id: string; plans: Plan[]; forecasts: ForecastSet | null; resource: ResourceName; now: number;
}) {
  const [window, setWindow] = useState<Window>({ range: 120, end: null });
  const { zoom, pan } = useSetWindow(window, now, setWindow);
  const own = useMemo(() => (forecasts?.forecasts ?? []).filter((f) => f.resource === resource)
    .sort((a, b) => a.horizon_us - b.horizon_us), [forecasts, resource]);
  const { from, to } = bounds(window, now, (own[own.length - 1]?.horizon_us ?? 0) / 1e6);
  /* Asked for on a grid, so that a live window does not ask for another path at every redraw. */
  const grid = Math.max(1, window.range / 60);
  const begin = Math.floor((Math.floor(from / grid) - 1) * grid * 1e6);
  const end = window.end === null ? "" : `&to_us=${Math.ceil(to * 1e6)}`;
  const history = useGet<History>(`/vms/${id}/history?resource=${resource}&from_us=${begin}${end}&max_points=${POINTS}`, 1_000);
  const kept = useRef<{ resource: ResourceName; history: History } | null>(null);
  if (history.data) kept.current = { resource, history: history.data };
  const marks = marksOf(plans, resource, (plan, i) => actionText(plan.actions[i]!)).filter((m) => m.at >= from && m.at <= to);
  const picture: Picture = {
    resource, from, to, marks, madeUs: forecasts?.made_us ?? 0, forecasts: own,
    history: kept.current?.resource === resource ? kept.current.history : null,
  };
  const last = own[own.length - 1];
  const label = last
    ? `${title(resource)} of ${id}: now ${amount(resource, last.observed)}; in ${duration(last.horizon_us)} P50 ${amount(resource, last.p50)}, P99 ${amount(resource, last.p99)}`
    : `${title(resource)} of ${id}`;
  const onKey = (event: KeyboardEvent) => {
    const moves: Record<string, () => void> = {
      ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25), "+": () => zoom(0.5), "-": () => zoom(2),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  };
  return (
    <>
      <Controls window={window} set={setWindow} zoom={zoom} pan={pan} />
      <ChartView picture={picture} label={label} onKey={onKey}
        onWindow={(a, b) => setWindow({ range: Math.max(NARROWEST_S, b - a), end: b })} />
      <Problem text={history.error} />
      <p class="hint">Drag to zoom. ▼ marks an action of the card; the fan is P50 to P99.</p>
      <MarkList marks={marks} />
      <Trust forecasts={own} />
      <details><summary>Forecast as a table</summary><ForecastTable forecasts={own} resource={resource} /></details>
    </>
  );
}

function HazardPanel({ id }: { id: string }) {
  const { data } = useGet<Hazard>(`/vms/${id}/hazard`, 5_000);
  if (!data?.made_us) return <p class="empty">Nothing was sampled yet.</p>;
  return (
    <>
      <Facts rows={data.horizons.map((h) => [`Within ${duration(h.horizon_us)}`,
        <>{percent(h.probability_q16 / 65536)} {h.strongest && <small>{h.strongest}</small>}</>])} />
      {data.signs.length > 0 && <ul class="signs">{data.signs.map((s) => (
        <li key={s.name}><Badge value={s.name} tone={s.level_q8 >= 256 ? "bad" : "asks"} /> {s.detail}</li>))}</ul>}
    </>
  );
}

function GuestPanel({ id }: { id: string }) {
  const { data } = useGet<Guest>(`/vms/${id}/guest`, 3_000);
  if (!data) return <p class="empty">Reading…</p>;
  return (
    <>
      <p class="empty">{data.sample ? `Kernel ${data.sample.kernel_release || "not known"}, read from outside` : ""} {data.note}</p>
      <Table label="The guest's busiest processes" columns={["Process", "CPU", "Memory", "Disk"]} empty="No process is known."
        rows={(data.sample?.top ?? []).slice(0, 8).map((p) => ({
          key: String(p.pid),
          cells: [<>{p.name} <small>{p.pid}</small></>, <span class="number">{vcpus(p.cpu_milli)}</span>,
            <span class="number">{bytes(p.rss_bytes)}</span>, <span class="number">{bytes(p.read_bytes + p.write_bytes)}</span>],
        }))} />
    </>
  );
}

function Features({ vm }: { vm: Vm }) {
  const mirrors = useGet<{ mirrors: Mirror[] }>("/mirrors", 3_000).data?.mirrors.filter((m) => m.vm === vm.name) ?? [];
  const rows: [string, string][] = [];
  for (const port of vm.ports)
    if (port.counters) rows.push([port.name.replace("ports/", "NIC "),
      `${count(port.counters.rx_packets)} packets in (${bytes(port.counters.rx_bytes)}), ${count(port.counters.tx_packets)} out (${bytes(port.counters.tx_bytes)})`]);
  for (const volume of vm.volumes)
    if (volume.counters) rows.push([volume.name.replace("volumes/", "Disk "),
      `${count(volume.counters.reads)} reads (${bytes(volume.counters.read_bytes)}), ${count(volume.counters.writes)} writes (${bytes(volume.counters.write_bytes)}), ${count(volume.counters.errors)} errors`]);
  for (const { name, counters: c } of mirrors)
    if (c) rows.push([`Mirror ${name.split("/").pop()}`,
      `${count(c.seen)} packets seen, ${count(c.copied)} copied, ${count(c.filtered + c.sampled_out)} left out by its rules, ${count(c.dropped)} lost`]);
  return <Facts rows={rows} />;
}

function Head({ vm, id }: { vm: Vm; id: string }) {
  const age = sampleAgeUs(vm);
  return (
    <>
      <h1>{id} <Badge value={vm.state} /> <Badge value={vm.policy?.mode ?? "OFF"} /></h1>
      {age > 0 && <p class="problem" role="alert">No data of this VM for {duration(age)}: the newest is of {dateTime(vm.last_sample_us)}.</p>}
      {vm.note && <p class="problem">{vm.note}</p>}
      {vm.allocation && <p class="empty">{vm.allocation.vcpus} of at most {vm.allocation.vcpus_maximum} vCPU, {bytes(vm.allocation.memory_bytes)} of
        at most {bytes(vm.allocation.memory_maximum_bytes)}. <a href={`#/policies/${id}`}>Policy</a></p>}
    </>
  );
}

export function VmView({ id }: { id: string }) {
  const { vms, plans, shadows, status } = useLive();
  const [resource, setResource] = useState<ResourceName>("CPU");
  const forecasts = useGet<ForecastSet>(`/vms/${id}/forecast`, 1_000);
  const vm = vms.find((v) => v.name === `vms/${id}`);
  if (!status) return <p class="empty">Reading the card…</p>;
  if (!vm) return <p class="problem">There is no VM '{id}' behind this card.</p>;
  const own = plans.filter((p) => p.vm === vm.name);
  const shadow = shadows.find((s) => s.vm === vm.name);
  const demand = vm.demands.find((d) => d.resource === resource);
  return (
    <>
      <Head vm={vm} id={id} />
      <div class="tabs" role="group" aria-label="Resource">
        {RESOURCES.map((r) => <button key={r} type="button" aria-pressed={r === resource} onClick={() => setResource(r)}>{title(r)}</button>)}
      </div>
      <Panel title={title(resource)} aside={demand && <span class="number">{amount(resource, demand.value)}
        <small> {demand.allocated ? `of ${amount(resource, demand.allocated)}, ` : ""}{words(demand.source.replace("SOURCE_", "from the "))}</small></span>}>
        <TimeLine key={id} id={id} plans={own} forecasts={forecasts.data} resource={resource} now={status.now_us / 1e6} />
      </Panel>
      <div class="columns">
        <Panel title="Shadow">{shadow ? <ShadowCard shadow={shadow} /> : <p class="empty">None. <a href="#/shadows">Make one</a></p>}</Panel>
        <Panel title="Probability of failure"><HazardPanel id={id} /></Panel>
      </div>
      <div class="columns">
        <Panel title="Inside the guest"><GuestPanel id={id} /></Panel>
        <Panel title="Network and disk"><Features vm={vm} /></Panel>
      </div>
      <Panel title="Plans"><PlanList plans={own.slice(0, 4)} empty="No plan was made yet." /></Panel>
    </>
  );
}
