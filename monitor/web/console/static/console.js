// What pages do with a script only: stay live, tell the reader's time, take keys.
"use strict";
(() => {
  const $ = (what, within = document) => within.querySelector(what);
  const $$ = (what, within = document) => [...within.querySelectorAll(what)];
  const stored = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("keys", value);
      return localStorage.getItem("keys");
    } catch { return null; }
  };

  // Times go on by the monitor's clock, and are told in the reader's zone, too.
  const asOf = () => Date.parse($("header time").dateTime);
  let ahead = asOf() - Date.now();
  const length = (seconds) => {
    for (const [unit, name] of [[86400, "days"], [3600, "h"], [60, "min"]])
      if (seconds >= 2 * unit || (unit === 60 && seconds >= 60)) return `${Math.floor(seconds / unit)} ${name}`;
    return `${Math.max(Math.floor(seconds), 0)} s`;
  };
  const here = (at) => at.toLocaleString([], { dateStyle: "medium", timeStyle: "long" });
  const tellTimes = () => {
    for (const shown of $$("time.ago, time.until")) {
      const left = (Date.parse(shown.dateTime) - Date.now() - ahead) / 1000;
      const ago = shown.classList.contains("ago");
      const text = ago ? `${length(-left)} ago` : left >= 0 ? `in ${length(left)}` : `${length(-left)} overdue`;
      if (shown.textContent !== text) shown.textContent = text;
      shown.classList.toggle("late", !ago && left < 0);
    }
  };
  const tellZone = () => {
    for (const shown of $$("time[datetime]:not([data-zone])")) {
      const at = new Date(shown.dateTime);
      shown.dataset.zone = "";
      if (!at.getTimezoneOffset()) continue;  // UTC, or no time
      if (shown.title) shown.title += `, ${here(at)}`;
      else shown.insertAdjacentText("beforeend", ` (${here(at)})`);
    }
  };
  setInterval(tellTimes, 10000);

  // Live: the list stays as it is until its reader asks.
  const live = $("#live");
  const say = (text, label, action) => {
    if (text && live.firstChild?.data === text) return;
    live.replaceChildren(text);
    if (!label) return;
    const button = document.createElement("button");
    button.textContent = label;
    button.onclick = action;
    live.append(" ", button);
  };
  const read = async (address, sent) => {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, ...sent });
    return [new DOMParser().parseFromString(await answer.text(), "text/html"), answer];
  };
  const rows = () => $$("#rows tbody tr");
  const link = (row) => $("th a", row);
  const tick = (row) => row && $("input[type=checkbox]", row);
  const current = () => document.activeElement.closest("#rows tbody tr");
  const ticks = () => $$("#rows tbody input[type=checkbox]");
  let news = "", done = "", since = "", last;  // row that had the focus: a button may have it by now
  document.addEventListener("focusin", () => { last = current()?.dataset.id ?? last; });
  const refresh = async () => {
    const [page, answer] = await read(location.href);
    const fresh = $("#rows", page);
    if (!answer.ok || !fresh) return location.reload();
    const ticked = new Set(ticks().filter((tick) => tick.checked).map((tick) => tick.name));
    const mine = () => rows().find((row) => row.dataset.id === last), place = rows().indexOf(mine());
    $("#rows").replaceWith(fresh);
    for (const tick of ticks()) tick.checked = ticked.has(tick.name);
    Object.assign(live.dataset, $("#live", page).dataset);
    $("header time").replaceWith($("header time", page));
    ahead = asOf() - Date.now();
    prepare();
    const row = mine() ?? rows()[Math.min(place, rows().length - 1)];
    if (row) link(row).focus();
    document.title = page.title;
    news = "";
    show();
  };
  let source, begun, heard = Date.now();
  const tell = async (counts) => {
    const { revision, opened, fits } = live.dataset;
    let fresh = counts.opened - opened;
    if (fresh > 0 && fits) fresh = +await fetch(fits).then((answer) => answer.text(), String) || 0;
    news = fresh > 0 ? `${fresh.toLocaleString()} new since you looked` : counts.revision == revision ? "" : "Changed since you looked";
    const { critical, high } = counts.unresolved;
    const all = Object.values(counts.unresolved).reduce((sum, count) => sum + count, 0);
    $("#counts").textContent = `${critical} critical, ${high} high, ${all} unresolved`;
    document.title = (fresh > 0 ? `(${fresh}) ` : "") + document.title.replace(/^\(\d+\) /, "");
  };
  const show = () => {
    if (since) return say(`Not live since ${since}; what is shown may be over.`, "reload", () => location.reload());
    say(news || done, news && "show", () => { done = ""; refresh(); });
  };
  const word = () => { heard = Date.now(); if (since) { since = ""; show(); } };
  const listen = () => {
    source?.close();
    begun = Date.now();
    source = new EventSource(live.dataset.events);
    source.addEventListener("beat", word);
    source.addEventListener("message", async (event) => { word(); await tell(JSON.parse(event.data)); show(); });
  };
  const watch = () => {
    if (document.hidden) return;
    if (source.readyState === EventSource.CLOSED && Date.now() - begun > 10000) listen();
    if (Date.now() - heard > live.dataset.stale * 1000 && !since) {
      since = new Date(heard).toLocaleTimeString([], { timeStyle: "short" });
      show();
    }
  };
  if (live.dataset.events) {
    listen();
    setInterval(watch, 2000);
    document.addEventListener("visibilitychange", () => {  // a browser has few connections
      if (document.hidden) return source.close();
      heard = Date.now();
      listen();
    });
  }

  const prepare = () => {
    tellTimes();
    tellZone();
    const all = $("#tick-all");
    if (!all) return;
    all.closest("label").hidden = false;
    all.onchange = () => { for (const one of ticks()) one.checked = all.checked; };
  };
  prepare();
  const act = async (verb, row) => {
    const form = $("#bulk"), chosen = ticks().filter((tick) => tick.checked);
    if (!chosen.length && row) chosen.push(tick(row));
    if (!chosen.length) return;
    for (const tick of chosen) tick.checked = true;
    const body = new URLSearchParams(new FormData(form));
    body.set("verb", verb);
    body.set("scope", "ticked");
    const [page, answer] = await read(form.action, { method: "POST", body });
    done = $("#outcome, [role=alert]", page)?.textContent ?? `It was not done (${answer.status}).`;
    for (const tick of chosen) tick.checked = false;
    refresh();
  };

  // Keys.
  const dialog = $("#keys"), on = $("#keys-on");
  on.checked = stored() !== "off";
  on.onchange = () => stored(on.checked ? "on" : "off");
  if (dialog) $('[data-key="?"]').addEventListener("click", (event) => { event.preventDefault(); dialog.showModal(); });
  const move = (step) => {
    const all = rows(), at = all.indexOf(current());
    const row = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
    if (row) { link(row).focus(); row.scrollIntoView({ block: "nearest" }); }
  };
  const use = (key) => {
    const target = $(`[data-key="${key}"]`);
    if (!target) return false;
    const around = target.closest("details");
    if (around) around.open = true;
    if (target.matches("input, select")) target.focus();
    else if (target === around) $("input:not([type=hidden]), select, textarea, button", target).focus();
    else target.click();
    return true;
  };
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => tick(current())?.click(),
    a: () => { if (!use("a") && $("#bulk")) act("ack", current()); },
    e: () => {
      const mine = tick(current());
      if (mine) mine.checked = true;
      const verb = $("#bulk [name=verb]");
      if (verb) verb.value = "resolve";
      use("e");
    },
    "/": () => use("/"),
    "?": () => use("?"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !on.checked || dialog?.open) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
  });
})();
