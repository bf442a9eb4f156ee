// Every page of the navigation, in both languages, light and dark, on a desk and on a phone: sound, quiet, and from here alone.
import { browser, pay, person, sound, api, eventually, dev } from "./world.mjs";

const shop = dev.merchants[0].id;
const paid = await pay({ description: "<b>tea</b>", amount: 12900 });
await api("POST", "/v1/refunds", { payment_intent: paid.id, amount: 300 }, shop);
await pay({ amount: 900, payment_method: "pm_card_visa_chargeDeclined" }).catch(() => {});
const held = await pay({ amount: 4200, payment_method: "pm_card_riskLevelElevated" });
const contested = await pay({ amount: 5100, payment_method: "pm_card_createDispute" });
const dispute = await eventually("a dispute", async () => (await api("GET", "/v1/disputes", { payment_intent: contested.id }, shop)).data[0]);
const review = await eventually("a review", async () => (await api("GET", "/v1/reviews", { payment_intent: held.id }, shop)).data[0]);
const details = [`/payments/${paid.id}`, `/disputes/${dispute.id}`, `/reviews/${review.id}`, `/merchants/${shop}`, `/ledger/${shop}`,
  `/ledger/${shop}/accounts/2010.usd`, "/settings/password", "/settings/second-factor"];

for (const role of ["supervisor", "merchant_read_only"]) {
  const somebody = await person(role);
  const { page } = somebody;
  const nav = await page.locator("nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  const all = role === "supervisor" ? [...nav, ...details] : nav;
  for (const path of all) {
    for (const scheme of role === "supervisor" ? ["light", "dark"] : ["light"]) {
      await page.emulateMedia({ colorScheme: scheme });
      const answer = await page.goto(path);
      if (answer.status() !== 200) throw new Error(`${path} as ${role}: ${answer.status()}`);
      await sound(page, `${path} as ${role}, ${scheme}`);
    }
  }
  console.log(`ok ${all.length} pages as ${role}`);
  await somebody.end();
}

const chinese = await person("supervisor", { locale: "en-GB" });
await chinese.page.goto("/settings");
await chinese.page.getByLabel("Language").selectOption("zh");
await chinese.page.getByRole("button", { name: "Save" }).click();
await chinese.page.getByRole("heading", { level: 1, name: "设置" }).waitFor();
for (const path of ["/", "/payments", `/payments/${paid.id}`, `/reviews/${review.id}`, "/disputes", "/ledger"]) {
  await chinese.page.goto(path);
  await sound(chinese.page, `${path} in Chinese`);
}
await chinese.page.goto("/settings");
await chinese.page.getByLabel("语言").selectOption("en");
await chinese.page.getByRole("button", { name: "保存" }).click();
await chinese.page.getByRole("heading", { level: 1, name: "Settings" }).waitFor();
await chinese.end();
console.log("ok in Chinese");

const phone = await person("supervisor", { viewport: { width: 390, height: 800 }, hasTouch: true });
for (const path of ["/", "/payments", `/payments/${paid.id}`, `/reviews/${review.id}`]) {
  await phone.page.goto(path);
  const wide = await phone.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) throw new Error(`${path} is ${wide} px too wide for a phone`);
  await sound(phone.page, `${path} on a phone`);
}
await phone.end();
console.log("ok on a phone");

// Without script everything is there, and works.
const plain = await person("auditor", { javaScriptEnabled: false });
await plain.page.goto("/payments");
await plain.page.getByLabel("Status").selectOption("succeeded");
await plain.page.getByRole("button", { name: "Search" }).click();
await plain.page.getByRole("link", { name: paid.id }).click();
await plain.page.getByRole("heading", { name: "What happened" }).waitFor();
if (!(await plain.page.getByText("<b>tea</b>").count())) throw new Error("what was written is shown as text");
await plain.end();
console.log("ok without script");
await browser.close();
