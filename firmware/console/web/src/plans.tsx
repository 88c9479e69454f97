/* What will be done and why; a person approves or rejects. */
import { useState } from "preact/hooks";
import { call } from "./api";
import type { Action, Plan } from "./contract";
import { refresh, useLive } from "./live";
import { Act, Badge, Facts, Panel } from "./parts";
import { mayChange } from "./session";
import { amount, bytes, clock, count, dateTime, duration, lastPart, percent, title, vcpus, vmName, words } from "./units";

export function PlanButtons({ plan }: { plan: Plan }) {
  if (plan.state !== "PENDING" || !mayChange()) return null;
  const send = async (verb: string) => {
    await call("POST", `/plans/${lastPart(plan.name)}:${verb}`);
    await refresh();
  };
  return (
    <span class="buttons">
      <Act label="Approve" tone="primary" describe={`Approve ${plan.name}`} act={() => send("approve")} />
      <Act label="Reject" describe={`Reject ${plan.name}`} act={() => send("reject")} />
    </span>
  );
}

function actionAmount(action: Action, value: number): string {
  if (action.kind === "SET_VCPUS") return `${value} vCPU`;
  if (action.kind === "SET_CPU_LIMIT") return vcpus(value);
  return action.kind === "SET_MEMORY" ? bytes(value) : count(value);
}

export function actionText(action: Action): string {
  if (action.from === action.to) return words(action.kind);
  return `${words(action.kind)}: ${actionAmount(action, action.from)} → ${actionAmount(action, action.to)}`;
}

function Inputs({ plan }: { plan: Plan }) {
  const i = plan.inputs;
  if (!i) return null;
  const say = (value: number) => amount(i.resource, value);
  return (
    <Facts rows={[
      ["Resource", title(i.resource)],
      ["Seen", say(i.observed)],
      [`P${i.quantile_milli / 10} within ${duration(i.horizon_us)}`, say(i.predicted)],
      ["Allocated", say(i.allocated)],
      ["Target", i.uncapped_target === i.target ? say(i.target) : `${say(i.target)} (without limits ${say(i.uncapped_target)})`],
      ["Bound by", i.bound_by],
      ["Room on the host", say(i.host_free)],
      ["Learnt from", `${count(i.history)} samples; ${percent(i.error_ratio_q16 / 65536)} of the loss of assuming no change`],
    ]} />
  );
}

function PlanItem({ plan }: { plan: Plan }) {
  return (
    <li class="plan">
      <div class="line">
        <Badge value={plan.state} />
        <a href={`#/vms/${vmName(plan.vm)}`}>{vmName(plan.vm)}</a>
        <span class="empty">{lastPart(plan.name)}, <time title={dateTime(plan.created_us)}>{clock(plan.created_us)}</time></span>
        <PlanButtons plan={plan} />
      </div>
      <p>{plan.reason}</p>
      {plan.must_move && <p class="problem">The host has no room: the VM must move.</p>}
      {plan.state === "PENDING" && <p class="empty">Expires at {clock(plan.expires_us)}.</p>}
      <ul class="actions">
        {plan.actions.map((action, i) => (
          <li key={i}>
            {actionText(action)}
            {action.at_us ? <span class="empty"> at {clock(action.at_us)}</span> : null}
            {action.result && <> <Badge value={action.result.code} tone={action.result.code === "OK" ? "good" : "bad"} /> {action.result.message}</>}
          </li>
        ))}
      </ul>
      <details><summary>Why</summary><Inputs plan={plan} /></details>
    </li>
  );
}

export function PlanList({ plans, empty }: { plans: Plan[]; empty: string }) {
  if (!plans.length) return <p class="empty">{empty}</p>;
  return <ul class="plans">{plans.map((plan) => <PlanItem key={plan.name} plan={plan} />)}</ul>;
}

export function Plans() {
  const { plans, vms } = useLive();
  const [vm, setVm] = useState("");
  const shown = plans.filter((p) => !vm || p.vm === vm);
  return (
    <>
      <h1>Plans</h1>
      <Panel title="Waiting for approval">
        <PlanList plans={shown.filter((p) => p.state === "PENDING")} empty="No plan waits." />
      </Panel>
      <Panel title="All, newest first" aside={
        <label>VM <select value={vm} onChange={(e) => setVm(e.currentTarget.value)}>
          <option value="">all</option>
          {vms.map((v) => <option key={v.name} value={v.name}>{vmName(v.name)}</option>)}
        </select></label>}>
        <PlanList plans={shown.filter((p) => p.state !== "PENDING")} empty="No plan was made yet." />
      </Panel>
    </>
  );
}
