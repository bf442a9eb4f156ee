// What the scripts of this folder share: a browser, people who sign in, the API to make things happen, and what every page is held to.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const require = (await import("node:module")).createRequire(import.meta.url);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const dev = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** Asks the API, as a merchant's software does. Node trusts the development authority by NODE_EXTRA_CA_CERTS. */
export async function api(method, path, parameters = {}, account = dev.merchants[0].id) {
  const body = new URLSearchParams(flat(parameters));
  const answer = await fetch(dev.api_url + path + (method === "GET" && body.size ? `?${body}` : ""), {
    method,
    headers: { authorization: `Bearer ${dev.secret_key}`, "stripe-account": account },
    body: method === "POST" ? body : undefined,
  });
  const json = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(json)}`);
  return json;
}

const flat = (value, name = "") =>
  value !== null && typeof value === "object"
    ? Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}[${key}]` : key))
    : [[name, String(value)]];

export const pay = (parameters = {}, account) =>
  api("POST", "/v1/payment_intents", { amount: 2500, currency: "usd", payment_method: "pm_card_visa", confirm: true, ...parameters }, account);

/** Asks until there is an answer. */
export async function eventually(what, ask) {
  for (let tries = 0; tries < 200; tries++) {
    const found = await ask();
    if (found) return found;
    await new Promise((later) => setTimeout(later, 100));
  }
  throw new Error(`it did not come: ${what}`);
}

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

/** A person with a browser window of their own. What goes wrong in it is kept, and `end` fails over it. */
export async function person(role, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, baseURL: dev.ops_url, locale: "en-GB", viewport: { width: 1280, height: 860 }, ...options });
  const faults = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(dev.ops_url)) faults.push(`a request to ${request.url()}`);
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    // An answer of 4xx is told here too; the scripts look at those themselves.
    if (message.type() === "error" && !message.text().includes("the server responded with a status of 4")) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  const user = dev.console_users.find((known) => known.role === role);
  await page.goto("/sign-in");
  await page.getByLabel("Name").fill(user.user);
  await page.getByLabel("Password").fill(user.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  return { role, page, context, faults, end: () => end(context, faults) };
}

async function end(context, faults) {
  await context.close();
  if (faults.length) throw new Error(faults.join("\n"));
}

/** No serious finding of axe-core on what is shown now, and no word that is missing. */
export async function sound(page, what) {
  const text = await page.locator("body").innerText();
  if (text.includes("⟦")) throw new Error(`${what} lacks words: ${text.slice(text.indexOf("⟦")).split("⟧")[0]}`);
  // The console's own policy forbids strangers' scripts; the check is put in from outside the page.
  const findings = await page.evaluate(`(() => { const module = undefined; ${AXE}; return axe.run(document, { resultTypes: ["violations"] }); })()`);
  const serious = findings.violations.filter((finding) => ["serious", "critical"].includes(finding.impact));
  if (serious.length) {
    const words = serious.map((finding) => `${finding.id}: ${finding.help}\n  ${finding.nodes.map((node) => `${node.html} ${node.failureSummary}`).slice(0, 3).join("\n  ")}`);
    throw new Error(`${what}:\n${words.join("\n")}`);
  }
}

export const confirmAll = (page) => page.on("dialog", (dialog) => dialog.accept());
