// One incident, live: when anything has changed, whether it has is asked. The page stays as it is until its reader asks.
"use strict";
(() => {
  const live = document.querySelector("#live"), { turn, stream, stale } = live.dataset;
  const here = location.pathname;
  let source, heard = Date.now(), revision, changed = false, since = "";
  const show = () => {
    const text = since ? `Not live since ${since}; what is shown may be over.` : changed ? "Changed since you looked" : "";
    if (live.dataset.said === text) return;
    live.dataset.said = text;
    live.replaceChildren(text);
    if (!text) return;
    const button = document.createElement("button");
    button.textContent = "show";
    button.addEventListener("click", () => location.assign(here));
    live.append(" ", button);
  };
  const word = () => { heard = Date.now(); since = ""; show(); };
  const look = async (event) => {
    word();
    const told = JSON.parse(event.data).revision;
    if (told === revision || changed) return;
    revision = told;
    const answer = await fetch(`${here}/turn`);
    if (answer.ok && (await answer.text()) !== turn) { changed = true; show(); }
  };
  const listen = () => {
    source?.close();
    source = new EventSource(stream);
    source.addEventListener("beat", word);
    source.addEventListener("message", look);
  };
  listen();
  setInterval(() => {
    if (document.hidden || Date.now() - heard < stale * 1000) return;
    if (source.readyState === EventSource.CLOSED) listen();
    since ||= new Date(heard).toLocaleTimeString([], { timeStyle: "short" });
    show();
  }, 2000);
  document.addEventListener("visibilitychange", () => {  // a browser has few connections to share among its pages
    if (document.hidden) return source.close();
    heard = Date.now();
    listen();
  });
})();
