/* Owns: the Train tab: phases, facts, curves, test prompts, settings and log, drawn from live.js.
   What changes a run (stop, resume, delete) is sent to the server as an act; the action bar below is drawn there. */
(() => {
  const { h, put, live, trainCurves, translate } = window.studio;
  const { LOST, understand, phaseWord, startedAt, phases, left, bar, factsLine, note, coach, wayOn, settings } = window.studio.trainWords;
  const { prompts, hardest } = window.studio.trainWatch;
  window.studio.train = (element) => {
    const part = (name) => element.querySelector(`[data-part=${name}]`);
    const view = { log: false, smooth: true, time: false, keep: 0.82, prompt: 0, panel: "", told: "", state: "", run: "" };
    let given = {};
    const sending = (element.studioSend = window.studio.sender(element));
    const send = (act, more = {}) => sending({ act, ...more });
    const curves = trainCurves(part);
    for (const name of ["log", "smooth", "time"]) {
      const box = element.querySelector(`[data-set=${name}]`);
      box.addEventListener("change", () => { view[name] = box.checked; if (name === "time") curves.loss.zoom(null); draw(); });
      if (name === "log") element.addEventListener("logscale", () => { box.checked = !box.checked; view.log = box.checked; draw(); });
    }
    element.querySelector("[data-set=keep]").addEventListener("input", (e) => { view.keep = 1 - 10 ** -(e.target.value / 50); e.target.style.setProperty("--v", `${(e.target.value - 10) / 0.9}%`); draw(); });
    part("fold").addEventListener("toggle", draw);
    element.addEventListener("click", async (e) => {
      const button = e.target.closest("[data-do]");
      if (!button) return;
      const { do: act, ask, ...more } = button.dataset, run = live.data?.run?.id;
      if (act === "panel") { view.panel = view.panel === more.name ? "" : more.name; draw(); if (view.panel === "log") readLog(); }
      else if (act === "again") live.now();
      else if (act === "notify") { await window.studio.notice.toggle(); draw(); }
      else if (act === "picture") window.studio.save(await window.studio.picture(part("loss").querySelector(".chart")), `${live.data.run.name}.png`);
      else if (!ask || (await window.studio.ask(ask, button.textContent))) send(act, { run, ...more });
    });

    let reading = 0;                       /* the timer of the next reading of the log */
    async function readLog() {
      const { id } = live, away = document.hidden || element.offsetParent === null;
      clearTimeout(reading);
      reading = 0;
      if (view.panel !== "log" || !id) return;
      if (away || live.working(live.data?.run)) reading = setTimeout(readLog, 3000);
      if (away) return;
      const answer = await fetch(window.studio.url(`studio/run/${encodeURIComponent(id)}/log`), { headers: window.studio.headers() }).catch(() => null);
      const text = answer?.ok ? await answer.text().catch(() => "") : "";
      if (!answer || id !== live.id) return;
      const box = part("log"), end = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
      if (box.textContent !== text) { box.textContent = text || translate("The log is empty."); if (end) box.scrollTop = box.scrollHeight; }
    }

    function draw() {
      const data = live.data, run = data?.run;
      part("none").hidden = !!(run || live.id);
      part("some").hidden = !run;
      if (!run) return;
      if (view.run !== run.id) { Object.assign(view, { run: run.id, prompt: 0, told: "", state: "" }); curves.loss.zoom(null); part("log").textContent = ""; readLog(); }
      const facts = understand(data, run);
      put(part("name"), run.name);
      Object.assign(part("csv").dataset, { save: `studio/run/${encodeURIComponent(run.id)}/curve.csv`, name: `${run.name}.csv` });
      const model = facts.about.model && h("bdi", { translate: "no" }, facts.about.model);
      put(part("what"), ...[model, facts.about.method, facts.about.data, startedAt(run, data)].filter(Boolean).flatMap((each, at) => (at ? [" · ", each] : [each])));
      for (const button of element.querySelectorAll("[data-do=panel]")) button.setAttribute("aria-expanded", String(button.dataset.name === view.panel));
      part("settings").hidden = view.panel !== "settings";
      part("logbox").hidden = view.panel !== "log";
      if (view.panel === "settings") put(part("settings"), settings(facts.about.settings || []));
      put(part("note"), note(run, facts, live.offline));
      put(part("phases"), ...phases(run, data));
      put(part("left"), ...left(run, facts));
      bar(part("track"), run);
      put(part("facts"), ...factsLine(run, facts));
      curves.draw(data, run, facts, view);
      put(part("side"), ...(LOST.includes(run.status) ? wayOn(run, data) : coach(run, data, given.evaluated === run.id, facts)));
      prompts(part, data, view);
      hardest(part, data);
      part("side").classList.toggle("coach", data.advice.some((each) => each.severity !== "ok"));
      window.studio.notice.dress(part("notify"));
      announce(run, data);
      hand(run);
    }

    /** Tell the server that the state has changed, so that it draws the action bar. */
    function hand(run) {
      const state = `${run.id} ${run.status} ${run.result || ""} ${run.waiting || ""}`;
      if (state === view.state || element.offsetParent === null) return;
      if (view.state || given.state !== state) send("state", { unasked: true });
      view.state = state;
    }

    function announce(run, data) {
      const quarter = run.status === "training" && run.phase === "training" ? ` ${Math.floor((run.share || 0) * 4) * 25} percent` : "";
      const said = data.advice.at(-1);
      const told = `${run.name}: ${run.status === "training" ? phaseWord(run, data) : run.status}${quarter}${said ? `. Coach: ${said.title}` : ""}`;
      if (told !== view.told) { if (view.told) part("said").textContent = translate(told); view.told = told; }
    }

    part("asked").addEventListener("change", (e) => { view.prompt = +e.target.value; part("asked").querySelectorAll("input").forEach((each) => { each.toggleAttribute("checked", each === e.target); }); draw(); });

    live.on(() => { if (document.contains(element)) { draw(); if (!reading && live.working(live.data?.run)) readLog(); } }, () => document.contains(element) && element.offsetParent !== null);
    live.follow(live.id);
    new ResizeObserver(() => live.now()).observe(element);
    draw();
    window.studio.place(element, (value) => { given = value || {}; view.state = given.state || view.state; live.follow(given.run || ""); draw(); });
  };
})();
