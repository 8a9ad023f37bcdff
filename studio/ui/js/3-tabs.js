/* Owns: the tabs by hand and keyboard, their numbers and ticks, the page's title, and what the server tells after each act. */
(() => {
  const { studio } = window;
  const TABS = window.studioTabs.map(([name]) => name);
  /** The server has answered: `done` are the tabs with a tick, `open` the tab to open; `begin`: the page was loaded. */
  studio.beat = ({ done, tab, open, begin, viewer }) => {
    for (const f of [...studio.beats]) f();
    if (viewer) studio.asViewer();
    studio.done(done);
    if (tab) title(tab);
    if (begin && open) current = "";                       /* nothing is drawn yet */
    if (begin) history.replaceState({ ...history.state, tab: picked || open || TABS[0] }, "");
    if (open) studio.goto((begin && picked) || open);      /* `picked`: chosen while the page loaded */
  };

  const bar = () => document.querySelector("#steps .tab-container:not(.visually-hidden)");
  const tabs = () => (bar() ? [...bar().querySelectorAll("button[role=tab]")] : []);
  /* A click on a tab that is not set up yet does nothing: click until it is chosen, or the person does something else. */
  let hands = 0, picked = "", stepping = "";               /* stepping: the tab that Back or Forward is opening */
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => { hands += 1; stepping = ""; }, true);
  document.addEventListener("click", (e) => { const tab = e.isTrusted && e.target.closest?.("#steps button[role=tab]"); if (tab) picked = TABS[tabs().indexOf(tab)] || picked; }, true);
  studio.goto = (name, tries = 30, since = hands) => {
    const tab = tabs()[TABS.indexOf(name)];
    if (tab?.getAttribute("aria-selected") === "true" || hands !== since) { opened(); return; }
    if (tab) { tab.click(); window.scrollTo(0, 0); }
    if (tries) setTimeout(studio.goto, 150, name, tries - 1, since);
  };
  let shown = "model";
  const title = (name) => {
    shown = name;
    const words = Object.fromEntries(window.studioTabs);
    document.title = `${studio.news ? `${studio.news} · ` : ""}${studio.translate(words[name] || "Model")} · Fine-tune Studio`;
  };
  /** Update the title when there is news while another window is in front. */
  studio.titled = () => { if (document.title.includes("·")) title(shown); };
  /** "?" leads to the help page of the open tab. It is hidden on a tab without one. */
  const help = (name) => {
    const link = document.querySelector("a.help"), page = window.studioTabs[TABS.indexOf(name)]?.[2];
    if (!link) return;
    link.hidden = !page;
    if (page) link.href = link.dataset.docs + page;
  };
  let current = TABS[0];
  /** Each tab that is opened is a step of the browser's history, except one that Back or Forward opens. */
  const remember = (name) => {
    if (!stepping && history.state?.tab !== name) history.pushState({ ...history.state, tab: name }, "");
    if (stepping === name) stepping = "";
  };
  addEventListener("popstate", ({ state }) => {
    if (!TABS.includes(state?.tab)) return;
    hands += 1;                                            /* an earlier one is not opened any more */
    stepping = state.tab === current ? "" : state.tab;
    studio.goto(state.tab);
  });
  /** Tell the server which tab was opened, so that it draws it. */
  const opened = () => {
    const name = TABS[tabs().findIndex((tab) => tab.getAttribute("aria-selected") === "true")];
    if (name) help(name);
    if (name && name !== current) { current = name; remember(name); studio.act(`tab-${name}`, { act: "open", unasked: true }); }
  };
  /** Ask the server to draw the open tab again. One that was just started may answer polls before actions. */
  studio.redraw = async (tries = 20) => {
    const answered = await studio.act(`tab-${current}`, { act: "open", unasked: true });
    if (!answered && tries) setTimeout(() => studio.redraw(tries - 1), 500);
  };
  let ticks = [];
  const dress = () => {
    tabs().forEach((tab, i) => {
      const words = [...tab.childNodes].find((n) => n.nodeType === 3 && /^\s*\d /.test(n.data));
      if (words) { const n = document.createElement("i"); n.className = "n"; n.textContent = words.data.trim()[0]; words.data = " " + words.data.trim().slice(2); tab.insertBefore(n, words); }
      if (!tab.querySelector("i.tick")) { const tick = document.createElement("i"); tick.className = "tick"; tick.setAttribute("aria-hidden", "true"); tab.append(tick); }
      studio.translateTree(tab);
      const chosen = tab.getAttribute("aria-selected") === "true";
      const done = ticks.includes(TABS[i]), tip = studio.translate("Done");
      tab.classList.toggle("done", done);
      tab.tabIndex = chosen ? 0 : -1;
      if (done) { tab.title = tip; tab.setAttribute("aria-description", tip); } else for (const name of ["title", "aria-description"]) tab.removeAttribute(name);
      if (chosen) { const row = bar(), box = tab.getBoundingClientRect(), view = row.getBoundingClientRect(); if (box.right > view.right || box.left < view.left) row.scrollLeft += box.left - view.left - 16; }
    });
  };
  studio.done = (names) => { ticks = names; dress(); };
  new MutationObserver(() => { opened(); requestAnimationFrame(dress); }).observe(document, { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });

  document.addEventListener("click", (e) => {
    const el = e.target.closest("[data-goto]");
    if (el && !el.disabled && el.dataset.act === undefined) { e.preventDefault(); studio.goto(el.dataset.goto); }
  });
  document.addEventListener("keydown", (e) => {
    if (e.target.matches?.("#steps button[role=tab]")) {
      const all = tabs().filter((t) => !t.disabled), at = all.indexOf(e.target);
      const next = document.documentElement.dir === "rtl" ? -1 : 1;
      const to = { ArrowRight: at + next, ArrowLeft: at - next, Home: 0, End: all.length - 1 }[e.key];
      if (to !== undefined && at >= 0) { e.preventDefault(); const tab = all[(to + all.length) % all.length]; tab.click(); tab.focus(); }
    }
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
      const one = [...document.querySelectorAll("[data-primary]")].find((b) => b.offsetParent !== null && !b.disabled);
      if (one) { e.preventDefault(); document.activeElement?.blur?.(); one.click(); }
    }
    if (e.key === "Escape") { const open = e.target.closest?.("details[open].fold"); if (open) { open.open = false; open.querySelector("summary").focus(); } }
  });
})();
