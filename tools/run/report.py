"""What a run did, from gnomond's report, as report.json and as a few lines for a person."""


def without_nothing(fields):
    return {key: value for key, value in fields.items() if value is not None}


def action_rows(plans):
    for plan in plans:
        for action in plan.get("actions", []):
            result = action.get("result")
            # When it was sent; of one that was not, when it was planned.
            yield {"vm": short(action.get("vm", plan["vm"])), "kind": action["kind"],
                   "reason": plan["reason"], "at": action.get("at_us") or plan["created_us"],
                   "result": "not executed" if not result else result.get("code", "OK"),
                   **without_nothing({"from": action.get("from"), "to": action.get("to"),
                                      "plan": plan["name"], "state": plan["state"],
                                      "message": (result or {}).get("message") or None})}


def short(name):
    return name.removeprefix("vms/")


def demand_from(vm):
    """By resource of the host's: who measures it; with the reason when it is not the guest."""
    names = {"SOURCE_GUEST": "guest", "SOURCE_HOST": "libvirt"}
    return {demand["resource"].lower(): without_nothing({
                "from": names.get(demand.get("source"), "unknown"), "why": demand.get("source_reason") or None})
            for demand in vm.get("demands", []) if demand["resource"] in ("CPU", "MEMORY")}


def guest_row(devbox, name):
    told = devbox.ctl("vm", "top", name)
    guest = told.get("sample") or {}
    return without_nothing({
        "vm": name, "state": guest.get("state", "UNKNOWN").replace("GUEST_STATE_", ""),
        "reason": guest.get("reason") or told.get("note") or None,
        "kernel": guest.get("kernel_release") or None, "found_by": guest.get("found_by") or None,
        "processes": (guest.get("tasks") or {}).get("processes"),
        "read_bytes": guest.get("read_bytes"), "cost_us": guest.get("cost_us"),
        "demand": demand_from(devbox.ctl("vm", "show", name))})


def make(devbox):
    told = devbox.ctl("report")
    mirrors = [dict({"vm": short(m["vm"]), "name": m["name"]},
                    **{key: m.get("counters", {}).get(key, 0) for key in
                       ("seen", "copied", "filtered", "sampled_out", "dropped")})
               for m in told.get("mirrors", [])]
    return {
        "samples": told["samples"], "forecasts": told["forecasts"],
        "vms": [{"name": short(vm["name"]), "packets_rx": vm.get("packets_rx", 0),
                 "packets_tx": vm.get("packets_tx", 0), "disk_reads": vm.get("disk_reads", 0),
                 "disk_writes": vm.get("disk_writes", 0), "before": vm.get("before"),
                 "after": vm.get("after")} for vm in told.get("vms", [])],
        "shadows": [{"name": s["name"], "vm": short(s["vm"]), "state": s["state"], "reason": s.get("reason")}
                    for s in told.get("shadows", [])],
        "mirrors": mirrors, "guests": [guest_row(devbox, vm.name) for vm in devbox.vms],
        "actions": list(action_rows(told.get("plans", [])))}


def show(made, say):
    done = [a for a in made["actions"] if a["result"] == "OK"]
    say(f"\n{made['samples']} samples, {made['forecasts']} forecasts, {len(made['actions'])} actions "
        f"planned, {len(done)} executed")
    for vm in made["vms"]:
        say(f"  {vm['name']:8} packets {vm['packets_rx']} in, {vm['packets_tx']} out; disk "
            f"{vm['disk_reads']} reads, {vm['disk_writes']} writes")
    for mirror in made["mirrors"]:
        say(f"  mirror of {mirror['vm']}: {mirror['seen']} seen = {mirror['copied']} copied + "
            f"{mirror['filtered']} filtered + {mirror['sampled_out']} sampled out + "
            f"{mirror['dropped']} dropped")
    for guest in made["guests"]:
        say(f"  guest {guest['vm']}: {guest['state']}, kernel {guest.get('kernel', 'unknown')}, demand from " +
            ", ".join(f"{row['from']} ({resource})" for resource, row in guest["demand"].items()))
    for action in done[-5:]:
        say(f"  {action['reason']}")
