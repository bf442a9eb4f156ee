// What another site, and what merchants write, can do to somebody who is signed in: nothing.
import { createServer } from "node:http";
import { api, browser, dev, pay, person } from "./world.mjs";

const victim = await person("supervisor");
const { page, context, faults } = victim;

// Stored scripts, where people write: none runs, wherever it is shown.
const nasty = `"><script>window.owned=1</script><img src=x onerror="window.owned=1"><svg onload="window.owned=1">'`;
const paid = await pay({ description: nasty, "metadata[note]": nasty, payment_method: "pm_card_riskLevelElevated", amount: 6600 });
await api("POST", "/v1/webhook_endpoints", { url: "https://127.0.0.1:18443/%22%3E%3Cscript%3E", description: nasty, "enabled_events[0]": "charge.refunded" });
for (const path of [`/payments/${paid.id}`, "/payments", "/reviews", "/webhooks", `/search?q=${encodeURIComponent(nasty)}`, `/payments?customer=${encodeURIComponent(nasty)}`]) {
  await page.goto(path);
  if (await page.evaluate(() => window.owned)) throw new Error(`a script of a merchant ran on ${path}`);
}
// Even one that were in the page: the policy stops it.
await page.goto("/");
await page.evaluate(() => {
  const script = document.createElement("script");
  try { script.text = "window.owned = 1"; } catch { /* trusted types */ }
  document.body.append(script);
});
if (await page.evaluate(() => window.owned)) throw new Error("an inline script ran");
faults.length = 0; // that the policy spoke up is right
console.log("ok no stored script runs");

// Another site with a form for us, a frame of us, and a request by script.
const evil = createServer((request, response) => {
  response.setHeader("content-type", "text/html");
  response.end(`<form id=f method=post action="${dev.ops_url}/settings"><input name=theme value=dark></form><iframe src="${dev.ops_url}/"></iframe>`);
}).listen(0, "127.0.0.1");
await new Promise((listening) => evil.once("listening", listening));
const stranger = await context.newPage();
await stranger.goto(`http://127.0.0.1:${evil.address().port}/`);
const answer = await stranger.evaluate((url) => fetch(url, { method: "POST", credentials: "include", mode: "no-cors", body: "theme=dark" }).then(() => "sent", String), `${dev.ops_url}/settings`);
await Promise.all([stranger.waitForURL(`${dev.ops_url}/**`), stranger.evaluate(() => document.getElementById("f").submit())]);
const title = await stranger.title();
evil.close();
await page.goto("/settings");
if ((await page.locator("html").getAttribute("data-theme")) === "dark") throw new Error(`another site changed a setting (${answer}, ${title})`);
await stranger.close();
faults.length = 0; // the other site's own requests
await victim.end();
console.log("ok no other site acts");
await browser.close();
