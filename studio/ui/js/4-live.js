/* Owns: what the page knows of the selected run, asked of the server a little at a time. One loop for the whole page:
   it sends the cursor, gets what is new, and tells whoever listens. While nobody looks it asks
   no more than whether the active run has ended. */
(() => {
  const { scale } = window.studio;
  const QUICK = 1000, SLOW = 4000, AGAIN = 2000, AWAY = 10000, MOST_STEPS = 3000;
  const live = { id: "", data: null, bar: null, offline: false, on, follow, look, now };
  const listeners = [];
  const me = Math.random().toString(36).slice(2, 12);      /* so that the server can count the pages that ask */
  let wait = 1;                                            /* times as long, where many pages ask */
  let timer = null, asking = false, more = false;

  const empty = (id) => ({ id, to: 0, run: null, about: null, steps: [], checks: [], checkpoints: [], held: [], read: null, replies: [], phases: [], advice: [], errors: [] });

  /** Tell fn(live) whenever something is new. `wants` says whether it needs the run's events now. */
  function on(fn, wants = () => false) { listeners.push({ fn, wants }); }
  /** The run to be watched; "" for none. */
  function follow(id) {
    if (id !== live.id) { live.id = id || ""; live.data = id ? empty(id) : null; address(live.id); tell(); }
    now();
  }
  /** Write the run into the page's address, so that a reload, a bookmark or another browser opens it. */
  function address(id) {
    const url = new URL(location.href);
    if (id) url.searchParams.set("run", id); else url.searchParams.delete("run");
    history.replaceState(history.state, "", url);
  }
  addEventListener("popstate", () => { if (live.id) address(live.id); });   /* Back opens a tab, not an earlier run */
  /** Drop the data of the run and read it again. */
  function look() { if (live.id) live.data = empty(live.id); now(); }
  function now() { more = true; clearTimeout(timer); timer = setTimeout(tick, 0); }
  function tell() { for (const { fn } of listeners) fn(live); }

  /** Put an answer of the server in; the same answer twice changes nothing. */
  function take(data, told) {
    data.to = told.to ?? data.to;
    data.run = told.run;
    if (told.about) data.about = told.about;
    scale.merge(data.steps, told.steps || []);
    if (data.steps.length > 3 * MOST_STEPS) data.steps = scale.telling(data.steps, MOST_STEPS);
    if (told.checks) {
      scale.merge(data.checks, told.checks);
      data.best = data.checks.findLast((check) => check[2])?.[0] ?? null;
    }
    scale.merge(data.checkpoints, told.checkpoints || []);
    scale.merge(data.held, told.held || []);
    data.read = told.read || data.read;
    for (const kind of ["replies", "phases", "advice", "errors"]) data[kind].push(...(told[kind] || []));
  }

  async function tick() {
    clearTimeout(timer);
    if (asking) return;
    await window.studio.ready;
    if (asking) return;
    const away = document.hidden;                          /* a hidden page asks only whether the active run has ended */
    if (away && !working(live.bar)) { timer = setTimeout(tick, SLOW); return; }
    asking = true;
    more = false;
    const data = live.data, wanted = !away && data && listeners.some(({ wants }) => wants());
    try {
      const path = wanted ? `studio/run/${encodeURIComponent(data.id)}?after=${data.to}&page=${me}` : `studio/bar?run=${encodeURIComponent(live.id)}`;
      const answer = await fetch(window.studio.url(path), { headers: window.studio.headers(), cache: "no-store" });
      const told = await answer.json();
      if (live.offline) window.studio.redraw();             /* the server was started again: what it offers may be different */
      live.offline = false;
      if (answer.status === 404 && wanted && data === live.data) { live.id = ""; live.data = null; live.gone = true; }
      else if (answer.ok && data === live.data) {
        live.gone = false;
        if (wanted) { take(data, told); wait = told.wait || 1; }
        live.bar = wanted ? told.bar || told.run : told.bar;
      }
    } catch { live.offline = true; }
    asking = false;
    tell();
    clearTimeout(timer);
    timer = setTimeout(tick, document.hidden ? AWAY : more ? 0 : live.offline ? AGAIN : working(live.bar) || working(live.data?.run) ? QUICK * wait : SLOW);
  }
  const working = (run) => !!run && ["queued", "starting", "training", "stopping"].includes(run.status);
  live.working = working;
  document.addEventListener("visibilitychange", () => { if (!document.hidden) now(); });
  now();
  window.studio.live = live;
})();
