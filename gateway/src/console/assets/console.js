// Comfort on top of pages that work without it: keys, live counts, questions before acts. It adds no content of its own.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const typing = (target) => target.matches("input, select, textarea, [contenteditable]");

  // Acts that are not undone are asked about, and pressed once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) return event.preventDefault();
    if (form.method === "post") {
      if (form.dataset.sent) return event.preventDefault();
      form.dataset.sent = "yes";
    }
  });
  window.addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  const help = one("#help");
  const helpButton = one("[data-help]");
  if (help && helpButton) {
    helpButton.hidden = false;
    helpButton.addEventListener("click", () => help.showModal());
  }

  // j and k walk through the rows of the first list, Enter opens, letters press buttons that carry them, g goes places.
  let went = 0;
  const rows = () => all("main table tbody tr").filter((row) => one("a", row));
  const step = (by) => {
    const list = rows();
    if (!list.length) return;
    const at = list.findIndex((row) => row.classList.contains("here"));
    list[at]?.classList.remove("here");
    const next = list[Math.max(0, Math.min(list.length - 1, at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by))];
    next.classList.add("here");
    next.scrollIntoView({ block: "nearest" });
    one("a", next).focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !document.body.dataset.user) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (help?.open) return;
    const key = event.key;
    if (Date.now() - went < 1500) {
      went = 0;
      const way = one(`[data-go="${CSS.escape(key)}"]`);
      if (way) { event.preventDefault(); way.click(); }
      return;
    }
    const marked = one(`main [data-key="${CSS.escape(key)}"], header [data-key="${CSS.escape(key)}"]`);
    if (key === "?") help?.showModal();
    else if (key === "g") went = Date.now();
    else if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "n") one('[data-page="older"]')?.click();
    else if (marked?.matches("input")) marked.focus();
    else if (marked) {
      const empty = all("input[required], textarea[required]", marked.form).find((field) => !field.value);
      if (empty) empty.focus(); else marked.form.requestSubmit(marked);
    } else return;
    event.preventDefault();
  });

  // Counts beside the navigation move by themselves; a page that shows what changes is fetched again when nobody is at work in it.
  if (!document.body.dataset.user || !window.EventSource) return;
  const policy = window.trustedTypes?.createPolicy("console", { createHTML: (text) => text });
  const parse = (text) => new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
  const busy = () => typing(document.activeElement) || all("main form.act input:not([type=hidden]), main textarea").some((field) => field.value !== field.defaultValue) || window.getSelection().toString();
  let mark;
  let redrawn = 0;
  const redraw = async () => {
    if (!document.body.dataset.live || busy() || document.hidden || Date.now() - redrawn < 5000) return;
    redrawn = Date.now();
    const answer = await fetch(window.location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected || busy()) return;
    const fresh = one("main", parse(await answer.text()));
    if (!fresh) return;
    const here = rows().findIndex((row) => row.classList.contains("here"));
    one("main").replaceWith(document.adoptNode(fresh));
    if (here >= 0) rows()[here]?.classList.add("here");
  };
  const source = new EventSource("/live");
  source.addEventListener("waiting", (event) => {
    const waiting = JSON.parse(event.data);
    for (const count of all("[data-count]")) {
      const number = waiting[count.dataset.count] ?? 0;
      count.textContent = number >= 1000 ? "999+" : String(number);
      count.hidden = number === 0;
    }
    const next = JSON.stringify(waiting);
    if (mark !== undefined && mark !== next) redraw().catch(() => {});
    mark = next;
  });
  window.addEventListener("pagehide", () => source.close());
})();
