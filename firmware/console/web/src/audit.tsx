/* The audit log: who or which forecast ordered what, and what came of it. The chain is checked here as
 * well; the signatures are gnomonctl's to check, which has the card's root. */
import { useState } from "preact/hooks";
import { get } from "./api";
import type { AuditEntry, AuditPage } from "./contract";
import { useGet } from "./live";
import { Act, Badge, Panel, Problem, Table } from "./parts";
import { count, dateTime } from "./units";

const PAGE = 500;

async function hash(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* What is wrong with the chain, or nothing. */
async function verify(): Promise<string> {
  let previous = "0".repeat(64), number = 0;
  for (;;) {
    const page = await get<AuditPage>(`/audit?from=${number + 1}&limit=${PAGE}`);
    if (!page.lines.length) return "";
    for (const line of page.lines) {
      const entry = JSON.parse(line) as AuditEntry;
      if (entry.number !== number + 1) return `After entry ${number} comes ${entry.number}.`;
      if (entry.previous !== previous) return `Entry ${number} was altered after entry ${entry.number} was made.`;
      previous = await hash(line);
      number = entry.number;
    }
  }
}

function Verify() {
  const [result, setResult] = useState("");
  return (
    <>
      <Act label="Verify" act={async () => {
        const wrong = await verify();
        setResult(wrong || "The chain is whole. 'gnomonctl audit verify' checks the card's signatures, too.");
      }} />
      <p role="status">{result}</p>
    </>
  );
}

function download(lines: string[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], { type: "application/jsonl" }));
  link.download = "gnomon-audit.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}

function matches(entry: AuditEntry, words: string): boolean {
  const text = `${entry.kind} ${entry.who} ${entry.resource} ${entry.text} ${entry.outcome}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export function Audit() {
  const [words, setWords] = useState("");
  const [onlyCalls, setOnlyCalls] = useState(true);
  const { data, error } = useGet<AuditPage>(`/audit?limit=${PAGE}`, 5_000);
  const entries = (data?.lines ?? []).map((line) => JSON.parse(line) as AuditEntry).reverse()
    .filter((entry) => (!onlyCalls || entry.kind === "call") && matches(entry, words));
  return (
    <>
      <h1>Audit</h1>
      <Problem text={error || data?.trouble || ""} />
      <Panel title={data ? `The newest of ${count(data.total)} entries` : "Reading…"} aside={<Verify />}>
        <div class="inline">
          <label>Find <input type="search" value={words} onInput={(e) => setWords(e.currentTarget.value)} /></label>
          <label><input type="checkbox" checked={onlyCalls} onChange={(e) => setOnlyCalls(e.currentTarget.checked)} /> only what people ordered</label>
          <button type="button" disabled={!data} onClick={() => download(data?.lines ?? [])}>Export these</button>
        </div>
        <Table label="Audit log" columns={["No.", "When", "Who", "What", "About", "Outcome"]} empty="No entry fits."
          rows={entries.slice(0, 200).map((entry) => ({
            key: String(entry.number),
            cells: [<span class="number">{entry.number}</span>, dateTime(entry.at_us), entry.who,
              entry.kind === "call" ? entry.text : entry.kind, entry.resource,
              entry.kind === "call" ? <Badge value={entry.outcome} tone={entry.outcome === "OK" ? "good" : "bad"} /> : entry.text],
          }))} />
      </Panel>
    </>
  );
}
