/* The first view: the host, the VMs, and what needs a person now. */
import { call } from "./api";
import type { Alert, ForecastSet, History, Plan, Shadow, Vm } from "./contract";
import { refresh, sampleAgeUs, useGet, useLive } from "./live";
import { Act, Badge, Meter, Panel, Sparkline, Table } from "./parts";
import { PlanButtons } from "./plans";
import { amount, bytes, dateTime, duration, lastPart, vcpus, vmName } from "./units";

const SPARK_US = 5 * 60e6;
const SPARK_EVERY_MS = 5_000;
const PAGE = 50; /* rows that read their own history */

function Trend({ vm, now }: { vm: Vm; now: number }) {
  const id = vmName(vm.name);
  const from = Math.floor((now - SPARK_US) / 1e7) * 1e7;
  const history = useGet<History>(`/vms/${id}/history?resource=CPU&from_us=${from}&max_points=60`, SPARK_EVERY_MS).data;
  const forecast = useGet<ForecastSet>(`/vms/${id}/forecast`, SPARK_EVERY_MS).data;
  const ahead = (forecast?.forecasts ?? []).filter((f) => f.resource === "CPU").sort((a, b) => a.horizon_us - b.horizon_us);
  const most = ahead.reduce((best, f) => Math.max(best, f.p95), 0);
  return (
    <Sparkline past={(history?.points ?? []).map((p) => p.mean)} future={ahead.map((f) => f.p95)}
      label={`CPU of ${id}; at most ${vcpus(most)} expected (P95)`} />
  );
}

function demandOf(vm: Vm, resource: "CPU" | "MEMORY") {
  const demand = vm.demands.find((d) => d.resource === resource);
  if (!demand) return "unknown";
  return <span class="number">{amount(resource, demand.value)}<small> of {amount(resource, demand.allocated)}</small></span>;
}

function VmTable({ vms, shadows, alerts, now }: { vms: Vm[]; shadows: Shadow[]; alerts: Alert[]; now: number }) {
  const rows = vms.slice(0, PAGE).map((vm) => {
    const shadow = shadows.find((s) => s.vm === vm.name);
    const hazard = alerts.find((a) => a.resource === vm.name && a.kind === "POTENTIAL_FAILURE" && a.state !== "CLEARED");
    const age = sampleAgeUs(vm);
    return {
      key: vm.name,
      cells: [
        <a href={`#/vms/${vmName(vm.name)}`}>{vmName(vm.name)}</a>,
        <>{age ? <Badge value={`no data for ${duration(age)}`} tone="bad" /> : <Badge value={vm.state} />}</>,
        <Badge value={vm.policy?.mode ?? "OFF"} />,
        demandOf(vm, "CPU"),
        demandOf(vm, "MEMORY"),
        <Trend vm={vm} now={now} />,
        shadow ? <Badge value={shadow.state} /> : <span class="empty">none</span>,
        hazard ? <Badge value="foreseen" tone="bad" /> : <span class="empty">no sign</span>,
      ],
    };
  });
  return (
    <>
      <Table label="VMs" columns={["VM", "State", "Mode", "CPU", "Memory", "CPU, 5 min and ahead", "Shadow", "Failure"]}
        rows={rows} empty="No VM is behind this card yet: gnomonctl vm create." />
      {vms.length > PAGE && <p class="empty">The first {PAGE} of {vms.length} VMs are shown.</p>}
    </>
  );
}

function Attention({ plans, alerts, shadows }: { plans: Plan[]; alerts: Alert[]; shadows: Shadow[] }) {
  const waiting = plans.filter((p) => p.state === "PENDING");
  const raised = alerts.filter((a) => a.state === "RAISED");
  const broken = shadows.filter((s) => ["FAILED", "STALE", "DEGRADED"].includes(s.state));
  if (!waiting.length && !raised.length && !broken.length) return <p class="empty">Nothing. The card handles what it sees.</p>;
  return (
    <ul class="todo">
      {raised.map((alert) => (
        <li key={alert.name}>
          <p><Badge value={alert.kind} tone="bad" /> <strong>{vmName(alert.resource)}</strong> {alert.text}</p>
          <Act label="Acknowledge" describe={`Acknowledge ${alert.name}`}
            act={async () => { await call("POST", `/alerts/${lastPart(alert.name)}:acknowledge`); await refresh(); }} />
        </li>
      ))}
      {waiting.map((plan) => (
        <li key={plan.name}>
          <p><Badge value="plan waits" tone="asks" /> <strong>{vmName(plan.vm)}</strong> {plan.reason}</p>
          <PlanButtons plan={plan} />
        </li>
      ))}
      {broken.map((shadow) => (
        <li key={shadow.name}>
          <p><Badge value={shadow.state} /> <strong>{vmName(shadow.vm)}</strong>'s shadow: {shadow.reason || "no reason given"}</p>
          <a href="#/shadows">Shadows</a>
        </li>
      ))}
    </ul>
  );
}

export function Overview() {
  const { status, vms, plans, shadows, alerts, events } = useLive();
  if (!status) return <p class="empty">Reading the card…</p>;
  const { ledger, host } = status;
  return (
    <>
      <h1>Overview</h1>
      <div class="columns">
        <Panel title={host ? `Host ${host.hostname}` : "Host"}>
          {!status.shim_connected && <p class="problem">The shim is not connected: {status.shim_error}</p>}
          {!status.dataplane_connected && <p class="problem">The dataplane is not connected: {status.dataplane_error}</p>}
          {ledger && <>
            <Meter label="CPU promised" used={ledger.cpu_promised_milli} size={ledger.cpu_capacity_milli}
              text={`${vcpus(ledger.cpu_promised_milli)} of ${vcpus(ledger.cpu_capacity_milli)}`} />
            <Meter label="Memory promised" used={ledger.memory_promised_bytes} size={ledger.memory_capacity_bytes}
              text={`${bytes(ledger.memory_promised_bytes)} of ${bytes(ledger.memory_capacity_bytes)}`} />
          </>}
          {host && <Meter label="Memory used on the host" used={host.memory_bytes - host.memory_free_bytes} size={host.memory_bytes}
            text={`${bytes(host.memory_bytes - host.memory_free_bytes)} of ${bytes(host.memory_bytes)}`} />}
        </Panel>
        <Panel title="Needs a person now"><Attention plans={plans} alerts={alerts} shadows={shadows} /></Panel>
      </div>
      <Panel title="VMs"><VmTable vms={vms} shadows={shadows} alerts={alerts} now={status.now_us} /></Panel>
      <Panel title="Happened since this page was opened">
        {events.length ? (
          <ol class="log" aria-live="polite">
            {events.slice(0, 12).map((event) => (
              <li key={event.id}><time title={dateTime(event.wall_us)}>{new Date(event.wall_us / 1000).toLocaleTimeString("en-GB")}</time>
                <code>{event.kind}</code> <span>{event.resource} {event.text}</span></li>
            ))}
          </ol>
        ) : <p class="empty">Nothing yet.</p>}
      </Panel>
    </>
  );
}
