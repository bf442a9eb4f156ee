// Each role's main job, from signing in to what it came to.
import { api, browser, confirmAll, dev, eventually, pay, person, sound } from "./world.mjs";

const shop = dev.merchants[0].id;

// A risk analyst reviews: the keyboard alone.
{
  const held = await pay({ amount: 6100, payment_method: "pm_card_riskLevelElevated", description: "<img src=x onerror=alert(1)>" });
  const review = await eventually("a review", async () => (await api("GET", "/v1/reviews", { payment_intent: held.id }, shop)).data[0]);
  const analyst = await person("risk_analyst");
  const { page } = analyst;
  await page.locator("body").press("g");
  await page.locator("body").press("r");
  await page.getByRole("heading", { level: 1, name: "Reviews" }).waitFor();
  await page.goto(`/reviews/${review.id}`);
  await page.getByRole("heading", { name: /^Score / }).waitFor();
  await sound(page, "a review");
  await page.locator("body").press("a");
  await page.getByText("Approved.").waitFor();
  const after = await api("GET", `/v1/payment_intents/${held.id}`, {}, shop);
  if (after.status !== "succeeded") throw new Error(`approved, but ${after.status}`);
  // The next one is rejected, and its card goes on a list first.
  const bad = await pay({ amount: 6200, payment_method: "pm_card_riskLevelElevated" });
  const other = await eventually("a review", async () => (await api("GET", "/v1/reviews", { payment_intent: bad.id }, shop)).data[0]);
  await page.goto(`/reviews/${other.id}`);
  await page.getByLabel("What").selectOption("ip").catch(() => {});
  await page.locator("h1").click();
  await page.locator("body").press("r");
  await page.getByText("Rejected.").waitFor();
  const gone = await api("GET", `/v1/payment_intents/${bad.id}`, {}, shop);
  if (gone.status !== "canceled") throw new Error(`rejected, but ${gone.status}`);
  await page.locator("body").press("?");
  await page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
  await sound(page, "help");
  await analyst.end();
  console.log("ok a review is decided by the keyboard");
}

// A risk analyst writes a rule, tries it on history, and puts it in force.
{
  const analyst = await person("risk_analyst");
  const { page } = analyst;
  await page.goto(`/rules?account=${shop}`);
  await page.getByLabel("Name", { exact: false }).first().fill("large_ones_of_the_console");
  await page.locator("textarea[name=condition]").fill("amount > 90000000");
  await page.locator("input[name=message]").fill("larger than anything sold here");
  await page.locator("select[name=action]").selectOption("review");
  await page.getByRole("button", { name: "Make" }).click();
  await page.getByText("Saved.").waitFor();
  await page.getByRole("button", { name: "Try" }).click();
  await page.getByText("Tried on history.").waitFor();
  await page.locator("select[name=state]").selectOption("active");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  await sound(page, "a rule");
  const rules = await api("GET", "/v1/radar/rules", {}, shop);
  const mine = rules.data.find((rule) => rule.name === "large_ones_of_the_console");
  if (mine?.state !== "active") throw new Error(`the rule is ${mine?.state}`);
  await analyst.end();
  console.log("ok a rule is tried and put in force");
}

// A dispute officer answers a chargeback.
{
  const contested = await pay({ amount: 7300, payment_method: "pm_card_createDispute" });
  const dispute = await eventually("a dispute", async () => (await api("GET", "/v1/disputes", { payment_intent: contested.id }, shop)).data[0]);
  const officer = await person("dispute_officer");
  const { page } = officer;
  await page.goto("/disputes");
  await page.getByRole("link", { name: dispute.id }).first().click();
  await page.getByLabel("What happened").fill("The goods were delivered. winning_evidence");
  await page.getByLabel("Then").selectOption("true");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The evidence is sent.").waitFor();
  const after = await api("GET", `/v1/disputes/${dispute.id}`, {}, shop);
  if (!["under_review", "won"].includes(after.status)) throw new Error(`answered, but ${after.status}`);
  await officer.end();
  console.log("ok a chargeback is answered");
}

// An operator asks for a large refund, a supervisor approves it; the operator cannot.
{
  const paid = await pay({ amount: 310_000 });
  const operator = await person("operator");
  confirmAll(operator.page);
  await operator.page.goto(`/payments/${paid.id}`);
  await operator.page.getByLabel("Amount in USD").fill("2,500.00");
  await operator.page.getByLabel("Why (for who approves)").fill("the whole order came back");
  await operator.page.getByRole("button", { name: "Refund" }).click();
  await operator.page.getByText("Asked for: another person decides.").waitFor();
  const where = new URL(operator.page.url()).pathname;
  if (await operator.page.getByRole("button", { name: "Approve and carry out" }).count()) throw new Error("who asks may decide");
  await operator.end();
  const supervisor = await person("supervisor");
  await supervisor.page.goto("/approvals");
  await sound(supervisor.page, "the inbox");
  await supervisor.page.getByRole("link", { name: where.split("/").pop() }).click();
  await supervisor.page.getByRole("button", { name: "Approve and carry out" }).click();
  await supervisor.page.getByText("Approved and carried out.").waitFor();
  const refunds = await api("GET", "/v1/refunds", { payment_intent: paid.id }, shop);
  if (refunds.data.length !== 1 || refunds.data[0].amount !== 250_000) throw new Error(JSON.stringify(refunds.data));
  await supervisor.end();
  console.log("ok a large refund takes two people");
}

// Finance finds a payment's journal in the books and follows the account; the audit log has the auditor's look at it.
{
  const paid = await pay({ amount: 8800 });
  const finance = await person("finance");
  const { page } = finance;
  await page.getByRole("searchbox").fill(paid.latest_charge);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "USD 88.00" }).waitFor();
  await page.getByRole("link", { name: "J03" }).first().click();
  await page.getByRole("heading", { level: 1, name: "Journal J03" }).waitFor();
  await page.getByRole("link", { name: "2010.usd" }).click();
  await page.getByText("Closing balance").waitFor();
  await finance.end();
  const auditor = await person("auditor");
  await auditor.page.goto(`/audit?object=${paid.id}`);
  await auditor.page.getByRole("cell", { name: "user:finance" }).first().waitFor();
  await auditor.end();
  console.log("ok the books are followed, and the log knows");
}

// Finance reads the bank's statement and explains what differs.
{
  const order = { format: "camt.053", defects: { unknown: 1 }, statement: { account: "DE89370400440532013000" } };
  const told = await fetch(`${dev.simulator_admin_url}/admin/settlement`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(order) });
  const { file } = await told.json();
  const finance = await person("finance");
  const { page } = finance;
  await page.goto("/reconciliation");
  await page.locator("input[type=file]").setInputFiles({ name: "november.xml", mimeType: "application/xml", buffer: Buffer.from(file) });
  await page.getByRole("button", { name: "Read" }).click();
  await page.getByText("Read: what differs is below.").waitFor();
  await sound(page, "reconciliation");
  const link = page.locator('main a[href^="/reconciliation/brk_"]').first();
  const path = await link.getAttribute("href");
  await link.click();
  await page.getByLabel("What explains it").fill("a fee of the bank, booked as a manual journal: ticket FIN-7");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.getByText("Saved.").waitFor();
  await page.getByRole("cell", { name: "user:finance" }).waitFor();
  await sound(page, "a break");
  await page.goto("/reconciliation");
  if (await page.locator(`a[href="${path}"]`).count()) throw new Error("explained, and still open");
  await finance.end();
  console.log("ok a statement is read and a break explained");
}

// What somebody sees moves by itself.
{
  const watcher = await person("risk_analyst");
  await watcher.page.goto("/reviews");
  const before = await watcher.page.locator("[data-count=reviews]").textContent();
  await pay({ amount: 6400, payment_method: "pm_card_riskLevelElevated" });
  await watcher.page.waitForFunction((was) => document.querySelector("[data-count=reviews]").textContent !== was, before, { timeout: 20_000 });
  await watcher.end();
  console.log("ok counts move by themselves");
}
await browser.close();
