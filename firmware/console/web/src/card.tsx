/* The card itself: its parts, what they serve, the models it forecasts with. */
import { call } from "./api";
import type { CardStatus, Model } from "./contract";
import { useGet, useLive } from "./live";
import { Act, Badge, Facts, Meter, Panel, Table } from "./parts";
import { currentSession } from "./session";
import { bytes, count, dateTime, duration } from "./units";

function Parts({ status }: { status: CardStatus }) {
  const { host, dataplane } = status;
  const part = (connected: boolean, error: string) =>
    connected ? <Badge value="connected" tone="good" /> : <><Badge value="away" tone="bad" /> {error}</>;
  return (
    <Facts rows={[
      ["gnomond", `${status.version}, for ${duration(status.now_us - status.started_us)}, since ${dateTime(status.started_us)}`],
      ["Dataplane", <>{part(status.dataplane_connected, status.dataplane_error)} {dataplane?.version}</>],
      ["Shim on the host", <>{part(status.shim_connected, status.shim_error)} {host?.shim_version}</>],
      ["Store", status.store_error ? <span class="problem">{status.store_error}</span> : `good, ${bytes(status.store_bytes)}`],
      ["Board", status.board],
      ["Host", host ? `${host.hostname}, ${host.cpus} CPUs, ${bytes(host.memory_bytes)}, ${host.hypervisor} ${host.kvm ? "with KVM" : "without KVM"}, libvirt ${host.libvirt_version}` : "not known"],
    ]} />
  );
}

function Models() {
  const { data, again } = useGet<{ models: Model[] }>("/models", 10_000);
  const models = data?.models ?? [];
  const back = currentSession()?.role === "ADMIN" && models.some((m) => m.role === "PREVIOUS" || m.role === "TRIAL");
  return (
    <>
      <Table label="Models" columns={["Role", "Model", "Since", "Why"]} empty="Reading…"
        rows={models.map((m) => ({
          key: m.role,
          cells: [<Badge value={m.role} />, m.name ? `${m.name} ${m.serial}, ${count(m.trees)} trees` : "the card's own experts alone",
            dateTime(m.since_us), m.decision],
        }))} />
      {back && <Act label="Roll back" confirm="The previous model forecasts again, or the trial ends."
        act={async () => { await call("POST", "/models:rollback", {}); again(); }} />}
    </>
  );
}

export function Card() {
  const { status } = useLive();
  if (!status) return <p class="empty">Reading the card…</p>;
  const { dataplane } = status;
  return (
    <>
      <h1>Card</h1>
      <Panel title="Parts"><Parts status={status} /></Panel>
      <div class="columns">
        <Panel title="Work">
          <Facts rows={[
            ["Samples stored", count(status.samples)],
            ["Samples lost", <span class={status.samples_lost ? "problem" : ""}>{count(status.samples_lost)}</span>],
            ["Forecasts made", count(status.forecasts)],
            ["VMs, shadows", `${status.vms}, ${status.shadows}`],
            ["Plans that wait", count(status.plans_pending)],
          ]} />
        </Panel>
        <Panel title="Dataplane">
          {dataplane ? (
            <>
              <Meter label="Packet buffers in use" used={dataplane.mbufs_total - dataplane.mbufs_free} size={dataplane.mbufs_total}
                text={`${count(dataplane.mbufs_total - dataplane.mbufs_free)} of ${count(dataplane.mbufs_total)}`} />
              <Facts rows={[["Workers", count(dataplane.workers)], ["Addresses learnt", count(dataplane.fdb_entries)]]} />
            </>
          ) : <p class="empty">Not connected.</p>}
        </Panel>
      </div>
      <Panel title="Models"><Models /></Panel>
    </>
  );
}
