/* Owns: the Chat tab: one prompt for both models, both replies as they are written, side by side. What was said is kept by
   this browser tab; a prompt that training answered already stands there from the start. One more prompt can wait while the models write. Texts are only ever text. */
(() => {
  const { h, put, count } = window.studio;
  const SETTINGS = ["system", "temperature", "top_p", "max_new_tokens", "seed", "remember"];
  const WHO = ["base", "tuned"], ASK_AGAIN = 2000, MOST_TURNS = 199;   /* the server takes 400 messages */
  const kept = (key, fallback) => { try { return JSON.parse(sessionStorage.getItem(key)) ?? fallback; } catch { return fallback; } };
  const keep = (key, value) => { try { sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* for this page only */ } };

  const { studio } = window;
  studio.chat = (element) => {
    const part = (name) => element.querySelector(`[data-part=${name}]`);
    const field = (name) => element.querySelector(`[data-setting=${name}]`);
    const box = part("prompt"), talk = { run: "", turns: [], writing: null, next: "", stopped: false, warm: "", problem: "" };
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
        takeBack();
        Object.assign(talk, { run: told.run, labels: !!told.labels, writing: null, next: "", problem: "", turns: kept(`studio-chat-${told.run}`, null) || answered(told) });
        const settings = kept(`studio-chat-settings-${told.run}`, { system: told.system || "", remember: !!told.turns });
        for (const name of SETTINGS) if (settings[name] !== undefined) write(field(name), settings[name]);
        for (const each of element.querySelectorAll(".talks")) each.hidden = !!told.labels;
      }
      put(part("base"), told.guess ? "" : told.base);
      put(part("guess"), told.guess ? told.base : "");
      put(part("base-kind"), told.guess ? "baseline" : "base model");
      put(part("title"), told.labels ? "Try it on a text" : "Chat with both models");
      box.placeholder = studio.translate(told.labels ? "Type or paste a text" : "Ask both models");
      box.setAttribute("aria-label", studio.translate(told.labels ? "Your text" : "Your prompt"));
      part("bar").setAttribute("aria-label", studio.translate(told.labels ? "Text for both" : "Prompt for both models"));
      put(part("intro"), told.guess ? "The base model has no trained output for this task. Beside your model is a simple baseline that does not use your training." : told.labels ? "Both models get the same text. Differences come from your training." : "Both get the same prompt, settings and seed. Differences come from your training.");
      part("base-panel").setAttribute("aria-label", studio.translate(told.guess ? told.base : "Base model"));
      part("base-pane").setAttribute("aria-label", studio.translate(told.guess ? "Answers of the baseline" : "Replies of the base model"));
      put(part("runs"), ...told.runs.map(([id, name, step]) => h("option", { value: id, selected: id === told.run, translate: "no" }, step === null ? name : `${name} · ${studio.translate(`step ${step}`)}`)));
      part("runs").value = told.run;
      put(part("how"), told.how || "");
      put(part("settings-title"), told.labels ? "About the answers" : "Settings for both");
      part("settings").hidden = !!told.labels && !told.how;
      const [reason, label, tab] = told.next || ["", "", ""];
      part("next-step").hidden = !reason;
      put(part("next-reason"), reason);
      put(part("next-open"), label);
      part("next-open").hidden = !label;
      if (tab === "data") delete part("next-open").dataset.goto;   /* the server first brings the rows of this run there */
      else part("next-open").dataset.goto = tab;
      outputs();
      draw();
      warm();
    }
    /** Replies of the run itself to its test prompts. Each is a conversation of its own. */
    const answered = (told) => (told.prompts || []).map(({ prompt, base, tuned }) => ({ prompt, alone: true, base: { ...base, done: true }, tuned: { ...tuned, done: true } }));

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

    /** What Enter and the button do: send the prompt, or let it wait for the replies to the last one. */
    function submit() {
      const prompt = box.value.trim();
      if (!prompt) return;
      if (talk.writing && talk.next) { talk.full = true; draw(true); return; }
      box.value = "";
      grow();
      if (!talk.writing) { ask(prompt); return; }
      talk.next = prompt;
      draw();
      for (const who of WHO) part(`${who}-pane`).scrollTop = part(`${who}-pane`).scrollHeight;
    }
    /** The prompt that waits goes back to the field, in front of what was typed since. */
    function takeBack() {
      talk.full = false;
      if (talk.next) { box.value = [talk.next, box.value.trim()].filter(Boolean).join("\n"); talk.next = ""; grow(); }
    }
    async function ask(prompt) {
      const turn = { prompt, base: { text: "" }, tuned: { text: "" } }, { run, turns } = talk, control = new AbortController();
      const before = settings().remember ? turns.filter((each) => !each.alone && !each.failed).slice(-MOST_TURNS) : [];
      turns.push(turn);
      Object.assign(talk, { writing: control, problem: "", full: false });
      draw();
      for (const who of WHO) part(`${who}-pane`).scrollTop = part(`${who}-pane`).scrollHeight;
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
          if (!turn.base.text && !turn.tuned.text && !turn.base.labels) { turns.splice(turns.indexOf(turn), 1); box.value = box.value || prompt; }
          turn.failed = true;
        }
      }
      const whole = WHO.every((who) => turn[who].done);
      for (const who of WHO) if (!turn[who].done) Object.assign(turn[who], { done: true, cut: true });
      keep(`studio-chat-${run}`, talk.run === run ? talk.turns : turns);   /* another run may be open by now, or the conversation cleared */
      if (whole && !told.tried) { told.tried = true; send("tried", { run, unasked: true }); }
      if (talk.writing !== control) return;
      talk.writing = null;
      if (!whole) takeBack();
      draw(true);
      const { next } = talk;
      talk.next = "";
      if (next) ask(next);
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
      put(part("sum"), talk.labels ? "" : `temperature ${now.temperature} · top-p ${now.top_p} · ${count(now.max_new_tokens, "{n} token", "{n} tokens")} · seed ${now.seed}`);
    }
    part("settings").addEventListener("input", () => { outputs(); keep(`studio-chat-settings-${talk.run}`, settings()); });

    /* --- what is shown --- */
    function status(words) { put(part("why"), words); }
    function draw(follow = false) {
      const last = talk.writing ? talk.turns.at(-1) : null, open = last ? WHO.filter((who) => !last[who].done) : [];
      for (const who of WHO) {
        const pane = part(`${who}-pane`), end = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 80;
        pane.setAttribute("aria-busy", String(open.includes(who)));
        const waits = talk.next ? [h("div.msg.u.waits", {}, h("span", { translate: "no" }, talk.next), h("small", {}, "Next prompt"))] : [];
        put(pane, ...(talk.turns.length ? talk.turns.flatMap((turn) => [h("div.msg.u", { translate: "no" }, turn.prompt), reply(turn[who], who, turn)]) : [h("p.muted", {}, told.labels ? "Answers appear here." : "Replies appear here.")]), ...waits);
        if (follow && end) pane.scrollTop = pane.scrollHeight;
      }
      part("stop").hidden = !talk.writing;
      buttons();
      if (talk.full) status("One prompt is waiting already. Send this one when the replies are complete, or press Stop.");
      else if (talk.next) status("Your next prompt is sent when the replies are complete.");
      else if (last) status(told.labels ? "Both are reading the text…" : open.length < 2 ? (open[0] === "base" ? "The base model is still writing." : "The fine-tuned model is still writing.") : last.base.text || last.tuned.text ? "Both models are writing…" : "Both models are reading the prompt…");
      else if (talk.said) status("");
      talk.said = !!talk.writing;
      put(part("problem"), talk.problem ? h("section.note.error", { role: "alert" }, window.studio.icon("cross"), h("p.grow", {}, talk.problem)) : "");
    }
    function reply(said, who, turn) {
      const small = !said.done ? (said.text ? "writing" : "reading") : said.cut ? "stopped" : [turn.alone ? "reply from training" : "", said.tokens ? count(said.tokens, "{n} token", "{n} tokens") : "", said.seconds && !turn.alone ? `${said.seconds.toFixed(1)} s` : "", told.how?.includes(said.how) ? "" : said.how].filter(Boolean).join(" · ");
      if (said.labels?.length) return h("div.msg.a.label-answer", {}, h("div.probabilities", said.labels.length > 10 ? { role: "group", tabindex: 0, "aria-label": "All labels" } : {}, said.labels.map(bar)), h("span.small", {}, said.how || small));
      if (said.title && said.how) return h("div.msg.a", {}, h("span.text", {}, said.text), h("span.small", {}, said.how));
      return h("div.msg.a", {}, said.text ? h("span.text", { translate: "no" }, studio.explained(said.text)) : h("span.text", {}, said.done ? "(empty reply)" : ""), said.done ? null : h(who === "base" ? "i.caret.b" : "i.caret"), h("span.small", {}, small));
    }
    const bar = ({ label, probability }) => h("div.probability", {}, h("span", { translate: "no" }, label), h("span.track", { "aria-hidden": "true" }, h("i", { style: `width:${(100 * probability).toFixed(1)}%` })), h("span.num", {}, `${(100 * probability).toFixed(0)}%`));

    /* --- what the person does --- */
    const grow = () => { box.style.height = "auto"; box.style.height = `${Math.min(160, box.scrollHeight + 2)}px`; };
    function buttons() {
      part("send").disabled = !box.value.trim();
      put(part("send"), talk.writing ? "Send next" : told.labels ? "Try it" : "Send");
    }
    box.addEventListener("input", () => { grow(); buttons(); if (talk.full) { talk.full = false; draw(); } });
    box.addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); e.stopPropagation(); submit(); } else if (e.key === "Escape") talk.writing?.abort(); });
    part("send").addEventListener("click", submit);
    part("next-open").addEventListener("click", () => { if (told.next[2] === "data") send("run-rows", { run: told.run }); });
    part("stop").addEventListener("click", () => { talk.writing?.abort(); box.focus(); });
    part("clear").addEventListener("click", () => { talk.writing?.abort(); talk.next = ""; talk.full = false; talk.turns = []; talk.problem = ""; keep(`studio-chat-${talk.run}`, []); draw(); box.focus(); });
    part("runs").addEventListener("change", (e) => send("choose", { run: e.target.value }));
    if (matchMedia("(max-width: 900px)").matches) part("settings").open = false;
    /* The run has no model yet: ask for it until it has. */
    setInterval(() => { if (told.waits && !document.hidden && document.contains(element) && element.offsetParent !== null) send("look", { unasked: true }); }, ASK_AGAIN);
    open();
    studio.place(element, (value) => { told = value || {}; open(); });
  };
  class Refused extends Error {}
})();
