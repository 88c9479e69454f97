/* Policies: what the card may do for a VM, and how carefully. Checked here while typing, and by the
 * card when saved. */
import { useEffect, useState } from "preact/hooks";
import { call } from "./api";
import type { Mode, Policy, ResourceName, ResourcePolicy } from "./contract";
import { refresh, useGet, useLive } from "./live";
import { Badge, Panel, Problem, Table } from "./parts";
import { mayChange } from "./session";
import { amount, duration, title, vmName } from "./units";

const MODES: [Mode, string][] = [
  ["OFF", "Off: nothing is planned"],
  ["FORECAST_ONLY", "Forecast only: plans wait for approval"],
  ["ENFORCE", "Enforce: plans are carried out"],
];
const COMMON: ResourceName[] = ["CPU", "MEMORY"]; /* what most people change: shown open */
const QUANTILES = [500, 900, 950, 990];
const MIB = 1 << 20;

/* What a person types: the contract's number is this times 'scale'. */
interface Field {
  key: Exclude<keyof ResourcePolicy, "resource" | "quantile_milli">;
  label: string;
  unit: string;
  scale: number;
  least: number;
  most: number;
  help: string;
}

const UNITS: Record<ResourceName, [string, number]> = {
  CPU: ["vCPU", 1000], MEMORY: ["MiB", MIB], NETWORK_RX: ["Mbit/s", 1e6], NETWORK_TX: ["Mbit/s", 1e6],
  DISK_READ: ["MB/s", 1e6], DISK_WRITE: ["MB/s", 1e6], DISK_OPERATIONS: ["op/s", 1],
};

function fieldsOf(resource: ResourceName): Field[] {
  const [unit, scale] = UNITS[resource];
  const most = 2 ** 48 / scale;
  return [
    { key: "minimum", label: "At least", unit, scale, least: resource === "CPU" ? 1 : 0, most, help: "never less than this" },
    { key: "maximum", label: "At most", unit, scale, least: 0, most, help: "0: what the VM's definition allows" },
    { key: "step", label: "Step", unit, scale, least: 1 / scale, most, help: "the allocation is a multiple of this" },
    { key: "max_change", label: "At once", unit, scale, least: 0, most, help: "most that one plan changes; 0: no limit" },
    { key: "horizon_us", label: "Look ahead", unit: "s", scale: 1e6, least: 0.1, most: 604800, help: "the maximum up to there counts" },
    { key: "headroom_milli", label: "Headroom", unit: "%", scale: 10, least: 0, most: 1000, help: "added to the demand" },
    { key: "dead_band_milli", label: "Dead band", unit: "%", scale: 10, least: 0, most: 100, help: "smaller changes are not made" },
    { key: "cooldown_us", label: "Pause", unit: "s", scale: 1e6, least: 0, most: 86400, help: "between two changes" },
    { key: "shrink_after_us", label: "Shrink after", unit: "s", scale: 1e6, least: 1, most: 2592000, help: "the demand stayed below for so long" },
  ];
}

/* Why the value is refused, or nothing. */
function wrong(field: Field, value: number, rules: ResourcePolicy): string {
  const typed = value / field.scale;
  if (!Number.isFinite(typed)) return "give a number";
  if (typed < field.least || typed > field.most) return `${typed} ${field.unit} is not within ${field.least} to ${Math.round(field.most)}`;
  const whole = ["minimum", "maximum", "step"].includes(field.key);
  if (rules.resource === "CPU" && whole && value % 1000) return "whole vCPUs only";
  if (field.key === "maximum" && value && value < rules.minimum) return "less than the minimum";
  if (field.key === "max_change" && value && value < rules.step) return "less than one step";
  return "";
}

function FieldInput({ field, rules, set }: { field: Field; rules: ResourcePolicy; set: (value: number) => void }) {
  const problem = wrong(field, rules[field.key], rules);
  const id = `${rules.resource}-${field.key}`;
  return (
    <div class="field">
      <label for={id}>{field.label} <small>{field.help}</small></label>
      <span><input id={id} type="number" step="any" value={rules[field.key] / field.scale} aria-invalid={problem !== ""}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onInput={(e) => set(e.currentTarget.value === "" ? NaN : Math.round(Number(e.currentTarget.value) * field.scale))} /> {field.unit}</span>
      {problem && <p id={`${id}-problem`} class="problem">{problem}</p>}
    </div>
  );
}

function Summary({ rules }: { rules: ResourcePolicy }) {
  const most = rules.maximum ? amount(rules.resource, rules.maximum) : "what its definition allows";
  return <>P{rules.quantile_milli / 10} within {duration(rules.horizon_us)}, {amount(rules.resource, rules.minimum)} to {most}</>;
}

function Rules({ rules, set }: { rules: ResourcePolicy; set: (rules: ResourcePolicy) => void }) {
  const quantile = `${rules.resource}-quantile`;
  return (
    <details open={COMMON.includes(rules.resource)}>
      <summary><strong>{title(rules.resource)}</strong> <small><Summary rules={rules} /></small></summary>
      <div class="fields" role="group" aria-label={title(rules.resource)}>
        <div class="field">
          <label for={quantile}>Sureness <small>the forecast's quantile that must fit</small></label>
          <select id={quantile} value={rules.quantile_milli} onChange={(e) => set({ ...rules, quantile_milli: Number(e.currentTarget.value) })}>
            {QUANTILES.map((q) => <option key={q} value={q}>P{q / 10}</option>)}
          </select>
        </div>
        {fieldsOf(rules.resource).map((field) => (
          <FieldInput key={field.key} field={field} rules={rules} set={(value) => set({ ...rules, [field.key]: value })} />
        ))}
      </div>
    </details>
  );
}

const valid = (policy: Policy): boolean =>
  policy.resources.every((r) => fieldsOf(r.resource).every((f) => !wrong(f, r[f.key], r)));

function Editor({ id }: { id: string }) {
  const { data, error, again } = useGet<Policy>(`/vms/${id}/policy`, 60_000);
  const [draft, setDraft] = useState<Policy | null>(null);
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => setDraft(null), [id]);
  const policy = draft ?? data;
  if (!policy) return <><Problem text={error} /><p class="empty">Reading the policy…</p></>;
  const change = (next: Policy) => { setDraft(next); setSaid(""); setProblem(""); };
  const save = async () => {
    try {
      await call("PATCH", `/vms/${id}/policy`, { mode: policy.mode, resources: policy.resources });
      setDraft(null);
      setSaid("Saved.");
      setProblem("");
      again();
      await refresh();
    } catch (failure) {
      setProblem(failure instanceof Error ? failure.message : String(failure));
    }
  };
  return (
    <form class="policy" onSubmit={(e) => { e.preventDefault(); void save(); }}>
      <fieldset disabled={!mayChange()} class="modes">
        <legend>Mode</legend>
        {MODES.map(([mode, text]) => (
          <label key={mode}><input type="radio" name="mode" checked={policy.mode === mode} onChange={() => change({ ...policy, mode })} /> {text}</label>
        ))}
      </fieldset>
      <fieldset disabled={!mayChange()} class="plain">
        {policy.resources.map((rules, i) => (
          <Rules key={rules.resource} rules={rules}
            set={(next) => change({ ...policy, resources: policy.resources.map((old, j) => (i === j ? next : old)) })} />
        ))}
      </fieldset>
      <div class="bar">
        <button type="submit" class="primary" disabled={!draft || !valid(policy) || !mayChange()}>Save</button>
        <button type="button" disabled={!draft} onClick={() => setDraft(null)}>Undo</button>
        <span role="status">{said}</span>
        <Problem text={problem} />
      </div>
    </form>
  );
}

export function Policies({ id }: { id: string | undefined }) {
  const { vms } = useLive();
  const rules = (policy: Policy | undefined, resource: ResourceName) => {
    const found = policy?.resources.find((r) => r.resource === resource);
    return found ? <Summary rules={found} /> : <span class="empty">none</span>;
  };
  return (
    <>
      <h1>Policies</h1>
      <Panel title="All VMs">
        <Table label="Policies" columns={["VM", "Mode", "CPU", "Memory"]} empty="No VM is behind this card yet."
          rows={vms.map((vm) => ({
            key: vm.name,
            cells: [<a href={`#/policies/${vmName(vm.name)}`} aria-current={vmName(vm.name) === id ? "true" : undefined}>{vmName(vm.name)}</a>,
              <Badge value={vm.policy?.mode ?? "OFF"} />, rules(vm.policy, "CPU"), rules(vm.policy, "MEMORY")],
          }))} />
      </Panel>
      {id && <Panel title={`Policy of ${id}`}><Editor key={id} id={id} /></Panel>}
    </>
  );
}
