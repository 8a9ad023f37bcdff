/* Owns: the Chat tab: one prompt for both models, both replies as they are written, side by side. What was said is kept by
   this browser tab; a prompt that training answered already stands there from the start. Texts are only ever text. */
(() => {
  const { h, put, count } = window.studio;
  const SETTINGS = ["system", "temperature", "top_p", "max_new_tokens", "seed", "remember"];
  const kept = (key, fallback) => { try { return JSON.parse(sessionStorage.getItem(key)) ?? fallback; } catch { return fallback; } };
  const keep = (key, value) => { try { sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* for this page only */ } };

  const { studio } = window;
  studio.chat = (element) => {
    const part = (name) => element.querySelector(`[data-part=${name}]`);
    const field = (name) => element.querySelector(`[data-setting=${name}]`);
    const box = part("prompt"), talk = { run: "", turns: [], writing: null, warm: "", problem: "" };
    let told = {};
    const sending = (element.studioSend = studio.sender(element));
    const send = (act, more = {}) => sending({ act, ...more });

    /* --- which run --- */
    function open() {
      part("none").hidden = !!told.run;
      part("some").hidden = !told.run;
      put(part("why-none"), told.why || "");
      if (!told.run) return;
      window.studio.live.follow(told.run);
      if (talk.run !== told.run) {
        talk.writing?.abort();
        Object.assign(talk, { run: told.run, writing: null, problem: "", turns: kept(`studio-chat-${told.run}`, null) || answered(told) });
        const settings = kept(`studio-chat-settings-${told.run}`, { system: told.system || "", remember: !!told.turns });
        for (const name of SETTINGS) if (settings[name] !== undefined) write(field(name), settings[name]);
        for (const each of element.querySelectorAll(".talks")) each.hidden = !!told.labels;
      }
      put(part("base"), told.base);
      put(part("runs"), ...told.runs.map(([id, name, step]) => h("option", { value: id, selected: id === told.run, translate: "no" }, step === null ? name : `${name} · ${studio.translate(`step ${step}`)}`)));
      part("runs").value = told.run;
      put(part("how"), told.how || "");
      outputs();
      draw();
      warm();
    }
    /** Replies of the run itself to its test prompts. Each is a conversation of its own. */
    const answered = (told) => (told.prompts || []).map(([prompt, base, tuned]) => ({ prompt, alone: true, base: { text: base, done: true }, tuned: { text: tuned, done: true } }));

    async function warm() {
      if (talk.warm === talk.run || element.offsetParent === null) return;
      const run = talk.warm = talk.run;
      status("Loading both models…");
      const answer = await post("warm").catch(() => null);
      if (run === talk.run && !talk.writing) status(answer?.ok ? "" : (await answer?.json().catch(() => null))?.error?.message || "");
    }
    new ResizeObserver(() => { if (talk.run) warm(); }).observe(element);

    /* --- one prompt, two replies --- */
    const post = (what, body, signal) => fetch(window.studio.url(`studio/run/${encodeURIComponent(talk.run)}/${what}`), {
      method: "POST", headers: { ...window.studio.headers(), "Content-Type": "application/json" }, body: JSON.stringify(body || {}), signal });

    async function ask() {
      const prompt = box.value.trim();
      if (!prompt || talk.writing) return;
      const turn = { prompt, base: { text: "" }, tuned: { text: "" } }, run = talk.run, control = new AbortController();
      const before = settings().remember ? talk.turns.filter((each) => !each.alone && !each.failed) : [];
      talk.turns.push(turn);
      Object.assign(talk, { writing: control, problem: "" });
      box.value = "";
      grow();
      draw();
      for (const who of ["base", "tuned"]) part(`${who}-pane`).scrollTop = part(`${who}-pane`).scrollHeight;
      try {
        const messages = [...before.flatMap((each) => [{ role: "user", content: each.prompt }, { role: "assistant", content: each.tuned.text, base: each.base.text }]), { role: "user", content: prompt }];
        const { remember, ...sent } = settings();
        const answer = await post("chat", { messages, settings: sent }, control.signal);
        if (!answer.ok) throw new Refused((await answer.json()).error?.message || "The studio could not answer.");
        for await (const piece of lines(answer.body)) {
          if (piece.error) throw new Refused(piece.error.message);
          turn[piece.who] = { text: piece.text, done: piece.done, ...(piece.answer || {}) };
          if (piece.answer && !piece.answer.text) turn[piece.who].text = piece.text;
          draw(true);
        }
      } catch (error) {
        if (error.name !== "AbortError") {
          talk.problem = error instanceof Refused ? error.message : "The server does not answer. Try again in a moment.";
          if (!turn.base.text && !turn.tuned.text && !turn.base.labels) { talk.turns.splice(talk.turns.indexOf(turn), 1); box.value = box.value || prompt; }
          turn.failed = true;
        }
      }
      for (const who of ["base", "tuned"]) if (!turn[who].done) Object.assign(turn[who], { done: true, cut: true });
      keep(`studio-chat-${run}`, talk.turns);
      if (talk.writing === control) talk.writing = null;
      if (run === talk.run) draw(true);
    }
    async function* lines(stream) {
      const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const all = (rest + value).split("\n");
        rest = all.pop();
        for (const line of all) if (line) yield JSON.parse(line);
      }
    }

    /* --- settings --- */
    const write = (input, value) => { if (input.type === "checkbox") input.checked = !!value; else input.value = value; };
    const read = (input) => (input.type === "checkbox" ? input.checked : input.type === "range" || input.inputMode === "numeric" ? Number(input.value) : input.value);
    const settings = () => Object.fromEntries(SETTINGS.map((name) => [name, read(field(name))]));
    function outputs() {
      for (const output of element.querySelectorAll("output[data-of]")) {
        const input = field(output.dataset.of);
        output.textContent = studio.translate(input.value);
        input.style.setProperty("--v", `${(100 * (input.value - input.min)) / (input.max - input.min)}%`);
      }
      const now = settings();
      put(part("sum"), `temperature ${now.temperature} · top-p ${now.top_p} · ${count(now.max_new_tokens, "{n} token", "{n} tokens")} · seed ${now.seed}`);
    }
    part("settings").addEventListener("input", () => { outputs(); keep(`studio-chat-settings-${talk.run}`, settings()); });

    /* --- what is shown --- */
    function status(words) { put(part("why"), words); }
    function draw(follow = false) {
      for (const who of ["base", "tuned"]) {
        const pane = part(`${who}-pane`), end = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 80;
        pane.setAttribute("aria-busy", String(!!talk.writing));
        put(pane, ...(talk.turns.length ? talk.turns.flatMap((turn) => [h("div.msg.u", { translate: "no" }, turn.prompt), reply(turn[who], who, turn)]) : [h("p.muted", {}, "Replies appear here.")]));
        if (follow && end) pane.scrollTop = pane.scrollHeight;
      }
      part("stop").hidden = !talk.writing;
      part("send").disabled = !!talk.writing || !box.value.trim();
      if (talk.writing) status(talk.turns.at(-1).base.text || talk.turns.at(-1).tuned.text ? "Both models are writing…" : "Both models are reading the prompt…");
      else if (talk.said) status("");
      talk.said = !!talk.writing;
      put(part("problem"), talk.problem ? h("section.note.error", { role: "alert" }, window.studio.icon("cross"), h("p.grow", {}, talk.problem)) : "");
    }
    function reply(said, who, turn) {
      const small = !said.done ? (said.text ? "writing" : "reading") : turn.alone ? "reply from training" : said.cut ? "stopped" : [said.tokens ? count(said.tokens, "{n} token", "{n} tokens") : "", said.seconds ? `${said.seconds.toFixed(1)} s` : ""].filter(Boolean).join(" · ");
      if (said.labels?.length) return h("div.msg.a.label-answer", {}, h("div.probabilities", {}, said.labels.slice(0, 6).map(bar)), h("span.small", {}, said.how || small));
      return h("div.msg.a", {}, said.text ? h("span.text", { translate: "no" }, said.text) : h("span.text", {}, said.done ? "(empty reply)" : ""), said.done ? null : h(who === "base" ? "i.caret.b" : "i.caret"), h("span.small", {}, small));
    }
    const bar = ({ label, probability }) => h("div.probability", {}, h("span", { translate: "no" }, label), h("span.track", { "aria-hidden": "true" }, h("i", { style: `width:${(100 * probability).toFixed(1)}%` })), h("span.num", {}, `${(100 * probability).toFixed(0)}%`));

    /* --- what the person does --- */
    const grow = () => { box.style.height = "auto"; box.style.height = `${Math.min(160, box.scrollHeight + 2)}px`; };
    box.addEventListener("input", () => { grow(); part("send").disabled = !!talk.writing || !box.value.trim(); });
    box.addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); e.stopPropagation(); ask(); } else if (e.key === "Escape") talk.writing?.abort(); });
    part("send").addEventListener("click", ask);
    part("stop").addEventListener("click", () => { talk.writing?.abort(); box.focus(); });
    part("clear").addEventListener("click", () => { talk.writing?.abort(); talk.turns = []; talk.problem = ""; keep(`studio-chat-${talk.run}`, []); draw(); box.focus(); });
    part("runs").addEventListener("change", (e) => send("choose", { run: e.target.value }));
    if (matchMedia("(max-width: 640px)").matches) part("settings").open = false;
    open();
    studio.place(element, (value) => { told = value || {}; open(); });
  };
  class Refused extends Error {}
})();
