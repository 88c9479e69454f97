/* The contract's numbers as people read them. */
import type { ResourceName } from "./contract";

export const RESOURCES: ResourceName[] = [
  "CPU", "MEMORY", "NETWORK_RX", "NETWORK_TX", "DISK_READ", "DISK_WRITE", "DISK_OPERATIONS",
];

const TITLES: Record<ResourceName, string> = {
  CPU: "CPU", MEMORY: "Memory", NETWORK_RX: "Network in", NETWORK_TX: "Network out",
  DISK_READ: "Disk reads", DISK_WRITE: "Disk writes", DISK_OPERATIONS: "Disk operations",
};
export const title = (resource: ResourceName): string => TITLES[resource];

/* Three significant digits, never an exponent. */
function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toString();
  return value.toFixed(size >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

function scaled(value: number, base: number, names: string[]): string {
  let i = 0;
  while (Math.abs(value) >= base && i < names.length - 1) {
    value /= base;
    i++;
  }
  return `${short(value)} ${names[i]}`;
}

export const bytes = (value: number): string => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
export const vcpus = (milli: number): string => `${short(milli / 1000)} vCPU`;
export const count = (value: number): string => value.toLocaleString("en");
export const percent = (share: number): string => `${short(share * 100)} %`;

export function amount(resource: ResourceName, value: number): string {
  switch (resource) {
    case "CPU": return vcpus(value);
    case "MEMORY": return bytes(value);
    case "NETWORK_RX":
    case "NETWORK_TX": return scaled(value, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);
    case "DISK_READ":
    case "DISK_WRITE": return scaled(value, 1024, ["B/s", "KiB/s", "MiB/s", "GiB/s"]);
    case "DISK_OPERATIONS": return `${short(value)} op/s`;
  }
}

const STEPS: [number, string][] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function duration(us: number): string {
  const seconds = us / 1e6;
  if (seconds < 1) return `${short(us / 1000)} ms`;
  for (const [size, name] of STEPS)
    if (seconds >= size) return `${short(Math.round((seconds / size) * 10) / 10)} ${name}`;
  return "0 s";
}

export const clock = (us: number): string =>
  us ? new Date(us / 1000).toLocaleTimeString("en-GB") : "never";
export const dateTime = (us: number): string =>
  us ? new Date(us / 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : "never";

/* "vms/web-1/shadow" -> "web-1" */
export const vmName = (resource: string): string => resource.split("/")[1] ?? resource;
export const lastPart = (name: string): string => name.slice(name.lastIndexOf("/") + 1);

/* "SET_MEMORY" -> "set memory", "IN_STEP" -> "in step" */
export const words = (constant: string): string => constant.toLowerCase().replaceAll("_", " ");
