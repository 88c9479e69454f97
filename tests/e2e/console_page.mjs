/* Drives the console's page in a real Chromium, as e2e_console_test.py tells it to, and prints TAP.
 *
 *   node console_page.mjs '{"url", "password", "console_pid", "libraries", "screens"}' */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const told = JSON.parse(process.argv[2]);
const require = createRequire(`${told.libraries}/`);
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const PASSWORD = "sundial at noon 7";
const SLOW = 60_000; /* emulated guests on a busy machine */
/* What the card does by itself comes only when it has seen enough of the load's periods, however fast the machine is. */
const LEARNT = 4 * SLOW;

let n = 0;
const outside = [], complaints = [];

function check(good, name, detail = "") {
  n++;
  console.log(`${good ? "ok" : "not ok"} ${n} - ${name}`);
  if (good) return;
  console.log(`# ${String(detail).replaceAll("\n", "\n# ")}`);
  throw new Error(name);
}

async function accessible(page, what) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate("axe.run()");
  const list = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((node) => node.html.slice(0, 150)).join(" | ")}`);
  check(!list.length, `${what} has no complaint of axe-core`, list.join("\n"));
}

/* The view in the light, in the dark where 'dark' is set, and on a phone; each is kept as a picture. */
async function picture(page, name, dark = false) {
  await page.screenshot({ path: `${told.screens}/${name}.png`, fullPage: true });
  await accessible(page, name);
  if (dark) {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForTimeout(300);
    await page.screenshot({ path: `${told.screens}/${name}-dark.png` });
    await accessible(page, `${name} in the dark`);
    await page.emulateMedia({ colorScheme: "light" });
  }
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForTimeout(300);
  const wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  check(wide <= 0, `${name} fits a phone`, `${wide} pixels too wide`);
  await page.screenshot({ path: `${told.screens}/${name}-phone.png` });
  await page.setViewportSize({ width: 1280, height: 800 });
}

const seen = (locator, ms = SLOW) => locator.first().waitFor({ state: "visible", timeout: ms });
const view = async (page, path, heading) => {
  await page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);
  await seen(page.getByRole("heading", { level: 1, name: heading }));
};

async function logIn(page) {
  await page.goto(told.url);
  await seen(page.getByRole("button", { name: "Log in" }));
  await picture(page, "login");
  await page.getByLabel("Account").fill("admin");
  await page.getByLabel("Password", { exact: true }).fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await seen(page.getByRole("alert"));
  check((await page.getByRole("alert").textContent()).includes("wrong"), "a wrong password is refused with a sentence");
  await page.getByLabel("Password", { exact: true }).fill(told.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await seen(page.getByLabel("New password", { exact: true }));
  await page.getByLabel("New password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("New password again").fill(PASSWORD);
  await page.getByRole("button", { name: "Change and log in" }).click();
  await seen(page.getByRole("heading", { name: "Overview" }));
  check(true, "the first login sets another password");
}

async function overview(page) {
  const table = page.getByRole("table", { name: "VMs" });
  await seen(table.getByRole("link", { name: "web-2" }));
  await seen(page.locator(".spark .past"));
  await seen(page.locator(".who .dot.live"));
  check((await page.locator(".meter").count()) >= 2, "the overview shows the host and its VMs, live");
  await picture(page, "overview", true);
}

/* Whether the canvas holds pixels near the fan's own colour right of what is past. */
const fanIsDrawn = (page) => page.evaluate(() => {
  const canvas = document.querySelector(".chart canvas");
  if (!canvas) return false;
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(Math.floor(width * 0.7), 0, Math.floor(width * 0.3), height).data;
  let orange = 0;
  for (let i = 0; i < pixels.length; i += 4)
    if (pixels[i + 3] > 20 && pixels[i] > pixels[i + 2] + 30) orange++;
  return orange > 500;
});

async function vm(page) {
  await view(page, "vms/web-1", /web-1/);
  await seen(page.locator(".chart canvas"));
  const chart = page.locator(".chart");
  await page.waitForFunction(() => document.querySelector(".chart").ariaLabel.includes("P99"), null, { timeout: SLOW });
  await page.waitForFunction(fanText, null, { timeout: SLOW });
  check(await fanIsDrawn(page), "the fan is drawn ahead of now");
  await page.getByRole("button", { name: "10 min" }).click();
  await seen(page.locator(".marks li", { hasText: /set vcpus: 1 vCPU → 2 vCPU/ }), LEARNT);
  check(true, "the allocation's step is marked on the same axis");
  await page.getByText("Forecast as a table").click();
  await seen(page.getByRole("table", { name: "Forecast of CPU" }).getByText("10 s"));
  await picture(page, "vm", true);
  await chart.focus();
  await page.keyboard.press("ArrowLeft");
  check((await page.getByRole("button", { name: "Live" }).getAttribute("aria-pressed")) === "false", "the arrow keys move through time");
  const box = await page.locator(".chart .u-over").boundingBox();
  await page.mouse.move(box.x + 100, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 70, { steps: 5 });
  await page.mouse.up();
  check((await page.getByRole("button", { name: "10 min" }).getAttribute("aria-pressed")) === "false", "dragging zooms");
  await page.getByRole("button", { name: "Live" }).click();
  await page.getByRole("button", { name: "Memory" }).click();
  await seen(page.getByRole("heading", { name: "Memory" }));
  await seen(page.getByRole("table", { name: /busiest processes/ }).getByText("gn-load"));
  check(true, "the guest's processes are shown");
}
const fanText = `(${(() => {
  const canvas = document.querySelector(".chart canvas");
  return canvas !== null && canvas.width > 0;
}).toString()})()`;

async function plans(page) {
  await view(page, "plans", "Plans");
  const waiting = page.locator(".plan", { hasText: /CPU of vms\/web-2.*grow to 2/ }).filter({ hasText: "pending" });
  await seen(waiting, LEARNT);
  await waiting.first().getByText("Why").click();
  check((await waiting.first().textContent()).includes("Bound by"), "a plan says why, with its inputs");
  await picture(page, "plans");
  await waiting.first().getByRole("button", { name: /Approve/ }).click();
  await seen(page.locator(".plan", { hasText: "set vcpus: 1 vCPU → 2 vCPU" }).filter({ hasText: "web-2" }).filter({ hasText: "done" }));
  check(true, "an approved plan is carried out");
}

async function policies(page) {
  await view(page, "policies/web-2", "Policies");
  const most = page.locator("#CPU-maximum");
  const save = page.getByRole("button", { name: "Save" });
  await seen(most);
  await most.fill("1.5");
  await seen(page.getByText("whole vCPUs only"));
  check(await save.isDisabled(), "a policy that is wrong cannot be saved, and says why");
  await most.fill("2");
  await page.getByLabel(/Enforce/).check();
  await picture(page, "policies");
  await save.click();
  await seen(page.getByText("Saved."));
  check(true, "a policy is edited");
}

async function shadows(page) {
  await view(page, "shadows", "Shadows and volumes");
  await page.getByLabel("New snapshot's name").fill("Bad Name");
  await seen(page.getByText("is no name"));
  await page.getByLabel("New snapshot's name").fill("from-the-page");
  await page.getByRole("button", { name: /Take the snapshot/ }).click();
  await seen(page.getByRole("table", { name: /Snapshots of web-1/ }).getByText("from-the-page"));
  check(true, "a snapshot is taken");
  await picture(page, "shadows");
}

async function audit(page) {
  await view(page, "audit", "Audit");
  const orders = page.getByRole("table", { name: "Audit log" });
  await seen(orders.getByRole("row", { name: /console: admin.*ApprovePlan.*ok/ }));
  await page.getByRole("button", { name: "Verify" }).click();
  await seen(page.getByText(/The chain is whole/));
  check(true, "the audit log names who approved, and its chain is whole");
  await picture(page, "audit");
}

async function stale(page) {
  process.kill(told.console_pid, "SIGSTOP");
  try {
    await seen(page.getByText(/has not answered for/));
    await page.screenshot({ path: `${told.screens}/stale.png` });
  } finally {
    process.kill(told.console_pid, "SIGCONT");
  }
  await page.getByText(/has not answered for/).waitFor({ state: "hidden", timeout: SLOW });
  check(true, "data that is old is called old, until it is new again");
}

async function leave(page) {
  await page.keyboard.press("Control+Home");
  await page.locator("body").click({ position: { x: 5, y: 400 } });
  await page.getByRole("button", { name: "Log out" }).click();
  await seen(page.getByRole("button", { name: "Log in" }));
  await page.reload();
  await seen(page.getByRole("button", { name: "Log in" }));
  check(true, "who logged out is out");
}

async function main() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(SLOW);
  page.on("request", (request) => { if (!request.url().startsWith(told.url)) outside.push(request.url()); });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    const text = message.text();
    if (/Content.Security.Policy/i.test(text)) complaints.push(text);
  });
  try {
    await logIn(page);
    await overview(page);
    await vm(page);
    await plans(page);
    await policies(page);
    await shadows(page);
    await view(page, "card", "Card");
    await seen(page.getByText("the card's own experts"));
    await picture(page, "card");
    await audit(page);
    await stale(page);
    await leave(page);
    check(!outside.length, "nothing was asked of anyone but the card", outside.join("\n"));
    check(!complaints.length, "no script failed, and nothing broke the content security policy", complaints.join("\n"));
  } catch (error) {
    await page.screenshot({ path: `${told.screens}/failure.png`, fullPage: true }).catch(() => undefined);
    throw error;
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.log(`not ok ${n + 1} - ${error.message.split("\n")[0]}`);
  process.exit(1);
});
