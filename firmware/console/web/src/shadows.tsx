/* Shadows, their snapshots, and the volumes. */
import { useState } from "preact/hooks";
import { call } from "./api";
import type { Shadow, Snapshot, Volume } from "./contract";
import { refresh, useGet, useLive } from "./live";
import { Act, Badge, Facts, Panel, Table } from "./parts";
import { mayChange } from "./session";
import { bytes, count, dateTime, duration, lastPart, percent, vmName } from "./units";

function progress(shadow: Shadow): string {
  const lag = shadow.lag;
  if (!lag?.resync_left_bytes) return "";
  return `${percent(lag.resync_done_bytes / (lag.resync_done_bytes + lag.resync_left_bytes))} copied`;
}

export function ShadowCard({ shadow }: { shadow: Shadow }) {
  const lag = shadow.lag;
  return (
    <>
      <p><Badge value={shadow.state} /> {shadow.reason} {progress(shadow)}</p>
      <Facts rows={[
        ["Would lose now", lag ? `${bytes(lag.bytes)} (${count(lag.writes)} writes), ${duration(lag.us)}` : "not told"],
        ["Last consistent point", dateTime(shadow.disk_point_us)],
        ["Runs", shadow.runs ? `yes, as ${shadow.domain}, on the disks of ${dateTime(shadow.run_point_us)}` : "no, it is ready to start"],
        ["Made", `${dateTime(shadow.created_us)} by ${shadow.made_by || "nobody known"}`],
      ]} />
    </>
  );
}

const GOOD_NAME = /^[a-z0-9-]{1,40}$/;

function NewSnapshot({ id, done }: { id: string; done: () => void }) {
  const [name, setName] = useState("");
  const good = GOOD_NAME.test(name);
  return (
    <form class="inline" onSubmit={(e) => e.preventDefault()}>
      <label>New snapshot's name <input value={name} onInput={(e) => setName(e.currentTarget.value)} pattern="[a-z0-9\-]+" maxLength={40} /></label>
      {good && <Act label="Take" describe={`Take the snapshot ${name} of ${id}`}
        act={async () => { await call("POST", `/vms/${id}/shadow/snapshots/${name}`); setName(""); done(); }} />}
      {name && !good && <span class="problem">'{name}' is no name: give a to z, 0 to 9 and '-'</span>}
    </form>
  );
}

function Snapshots({ shadow }: { shadow: Shadow }) {
  const id = vmName(shadow.vm);
  const path = `/vms/${id}/shadow/snapshots`;
  const { data, again } = useGet<{ snapshots: Snapshot[] }>(path, 5_000);
  const buttons = (snapshot: Snapshot) => mayChange() && (
    <span class="buttons">
      <Act label="Go back" describe={`Go back to ${snapshot.name}`} confirm="The shadow's disks become the snapshot's and follow the VM no more."
        act={async () => { await call("POST", `${path}/${lastPart(snapshot.name)}:revert`); await refresh(); }} />
      <Act label="Delete" describe={`Delete ${snapshot.name}`} confirm="The snapshot is lost."
        act={async () => { await call("DELETE", `${path}/${lastPart(snapshot.name)}`); again(); }} />
    </span>
  );
  return (
    <>
      <Table label={`Snapshots of ${id}'s shadow`} columns={["Snapshot", "Holds", "Size", "Made", "Change"]} empty="No snapshot."
        rows={(data?.snapshots ?? []).map((s) => ({
          key: s.name,
          cells: [lastPart(s.name), dateTime(s.point_us), `${bytes(s.size_bytes)}${s.reflink ? ", shared" : ""}`,
            `${dateTime(s.created_us)}${s.automatic ? ", by a rule" : ""}`, buttons(s)],
        }))} />
      {mayChange() && <NewSnapshot id={id} done={again} />}
    </>
  );
}

function Buttons({ shadow }: { shadow: Shadow }) {
  const id = vmName(shadow.vm);
  const send = async (verb: string, body?: unknown) => {
    await call(verb, `/vms/${id}/shadow`, body);
    await refresh();
  };
  if (!mayChange()) return null;
  return (
    <span class="buttons">
      <Act label={shadow.runs ? "Stop" : "Start"} describe={`${shadow.runs ? "Stop" : "Start"} ${shadow.name}`}
        act={() => send("PATCH", { start: !shadow.runs })} />
      <Act label="Remove" describe={`Remove ${shadow.name}`} confirm="Its disks are deleted." act={() => send("DELETE")} />
    </span>
  );
}

function Create({ vms }: { vms: string[] }) {
  const [vm, setVm] = useState("");
  const chosen = vm || vms[0];
  if (!mayChange() || !chosen) return null;
  return (
    <form class="inline" onSubmit={(e) => e.preventDefault()}>
      <label>VM without a shadow <select value={chosen} onChange={(e) => setVm(e.currentTarget.value)}>
        {vms.map((name) => <option key={name}>{name}</option>)}</select></label>
      <Act label="Make a shadow" tone="primary" act={async () => { await call("POST", `/vms/${chosen}/shadow`, {}); setVm(""); await refresh(); }} />
    </form>
  );
}

function Volumes() {
  const volumes = useGet<{ volumes: Volume[] }>("/volumes", 3_000).data?.volumes ?? [];
  return (
    <Table label="Volumes" columns={["Volume", "Size", "Reads", "Writes", "Errors", "Shadow"]} empty="The card serves no volume."
      rows={volumes.map((v) => ({
        key: v.name,
        cells: [lastPart(v.name), bytes(v.size_bytes), <span class="number">{count(v.counters?.reads ?? 0)}</span>,
          <span class="number">{count(v.counters?.writes ?? 0)}</span>, <span class="number">{count(v.counters?.errors ?? 0)}</span>,
          v.mirror_status ? <><Badge value={v.mirror_status.state} /> {bytes(v.mirror_status.lag_bytes)} behind</> : <span class="empty">none</span>],
      }))} />
  );
}

export function Shadows() {
  const { shadows, vms } = useLive();
  const without = vms.filter((v) => !shadows.some((s) => s.vm === v.name)).map((v) => vmName(v.name));
  return (
    <>
      <h1>Shadows and volumes</h1>
      {!shadows.length && <p class="empty">There is no shadow.</p>}
      {shadows.map((shadow) => (
        <Panel key={shadow.name} title={`Shadow of ${vmName(shadow.vm)}`} aside={<Buttons shadow={shadow} />}>
          <ShadowCard shadow={shadow} />
          <h3>Snapshots</h3>
          <Snapshots shadow={shadow} />
        </Panel>
      ))}
      <Create vms={without} />
      <Panel title="Volumes"><Volumes /></Panel>
    </>
  );
}
