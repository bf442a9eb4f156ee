// Every page in light and dark, as PNG, into the folder that is named: `make screenshots`.
import { mkdirSync } from "node:fs";
import { browser, person } from "./world.mjs";

const folder = process.argv[3];
mkdirSync(folder, { recursive: true });
const supervisor = await person("supervisor");
const admin = await person("admin");
const { page } = supervisor;
const first = async (list, of) => {
  await page.goto(list);
  const link = page.locator(`main tbody a[href^="${of}"]`).first();
  return (await link.count()) ? link.getAttribute("href") : null;
};
const nav = await page.locator("nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
const keys = await admin.page.locator("nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
const paths = new Set([...nav, ...keys]);
for (const [list, of] of [["/payments?level=highest", "/payments/"], ["/payments", "/payments/"], ["/reviews", "/reviews/"], ["/disputes", "/disputes/"], ["/approvals", "/approvals/"], ["/merchants", "/merchants/"], ["/ledger", "/ledger/"], ["/rules", "/rules/"], ["/webhooks", "/webhooks/"]]) {
  const href = await first(list, of);
  if (href) paths.add(href);
}
const named = (path) => (path === "/" ? "overview" : path.split("?")[0].slice(1).replace(/\/.*/, "-one"));
for (const path of paths) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.goto(path);
    await page.waitForTimeout(150);
    await page.screenshot({ path: `${folder}/${named(path)}-${colorScheme}.png` });
  }
}
console.log(`${paths.size * 2} pictures in ${folder}`);
await supervisor.end();
await admin.end();
await browser.close();
