/* Owns: replies to test prompts during training, and the hardest rows of a classifier.
   Draws into the parts that train.js passes. */
(() => {
  const { h, put, count, figure, live } = window.studio;
  const CARDS = 4, HARDEST = 5, COLUMNS = 6, ALL = -1;

  /** The last reply of the base model and of the fine-tuned model at each step, in order. */
  function latest(replies) {
    const kept = new Map();
    for (const reply of replies) kept.set(`${reply.who} ${reply.step}`, reply);
    return [...kept.values()].sort((a, b) => (a.who === "base" ? -1 : b.who === "base" ? 1 : a.step - b.step));
  }
  const title = (reply, data) => (reply.who === "base" ? "Before training" : reply.step === data.best ? `Step ${reply.step} · best` : `Step ${reply.step}`);
  const short = (text) => (text.length > 32 ? `${text.slice(0, 31)}…` : text);

  /** At most so many, the first and the last among them, `best` too, the others spread evenly. */
  function spread(steps, most, best) {
    if (steps.length <= most) return steps;
    const kept = new Set([steps[0], steps[steps.length - 1]]);
    if (steps.includes(best)) kept.add(best);
    const others = steps.filter((step) => !kept.has(step)), room = most - kept.size;
    for (let at = 0; at < room; at++) kept.add(others[Math.floor(((at + 0.5) * others.length) / room)]);
    return steps.filter((step) => kept.has(step));
  }

  /** A reply, as the model wrote it. */
  const said = (name, reply) => (reply.text ? h(name, { translate: "no" }, studio.explained(reply.text)) : h(name, {}, "(empty reply)"));
  function card(reply, data) {
    return h(reply.who === "base" ? "div.reply" : "div.reply.a", {},
      h("p.row", {}, h("b", {}, title(reply, data)), reply.tokens ? h("small.right", {}, count(reply.tokens, "{n} token", "{n} tokens")) : null),
      said("p.said", reply));
  }
  function waiting(data) {
    const words = live.working(data.run) ? (data.about?.watches ? "The model answers at validations, as time allows, and at the end of the run." : "The model answers at the end of the run.") : "No answer: the run did not finish.";
    return h("div.reply.a", {}, h("p", {}, h("b", {}, "After training")), h("p", {}, words));
  }
  function cards(chosen, data) {
    const replies = latest(data.replies.filter((reply) => reply.prompt === chosen));
    const steps = spread(replies.map((reply, at) => at), CARDS, replies.findIndex((reply) => reply.who === "tuned" && reply.step === data.best));
    const left = replies.length - steps.length;
    return [chosen.length > 32 ? h("p.asked", { translate: "no" }, chosen) : null, ...steps.map((at) => card(replies[at], data)),
      replies.some((reply) => reply.who === "tuned") ? null : waiting(data),
      left ? h("p.asked.small", {}, count(left, "{n} reply between these. See Table.", "{n} replies between these. See Table.")) : null];
  }
  /** Rows are steps, columns are prompts. An unchanged reply is not repeated. */
  function table(asked, data) {
    const of = asked.map((prompt) => latest(data.replies.filter((reply) => reply.prompt === prompt)));
    const rows = [...new Map(of.flat().map((reply) => [`${reply.who} ${reply.step}`, reply])).values()].sort((a, b) => (a.who === "base" ? -1 : b.who === "base" ? 1 : a.step - b.step));
    const cell = (replies, row) => {
      const at = replies.findIndex((reply) => reply.who === row.who && reply.step === row.step), reply = replies[at];
      if (!reply) return h("td.muted", {}, "no reply");
      return at && replies[at - 1].text === reply.text ? h("td.muted", {}, "unchanged") : h("td", {}, said("span.cell-text", reply));
    };
    return h("div.scroll-x.asked", { role: "region", tabindex: 0, "aria-label": "Replies by step, scrolls sideways" }, h("table.watched", {},
      h("thead", {}, h("tr", {}, h("th", {}, "Step"), asked.map((prompt) => h("th", { title: prompt, translate: "no" }, short(prompt))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, title(row, data)), of.map((replies) => cell(replies, row)))))));
  }

  function prompts(part, data, view) {
    const asked = [...new Set([...data.replies.map((reply) => reply.prompt), ...(data.about?.prompts || [])])];
    part("prompts").hidden = !asked.length;
    if (!asked.length) return;
    view.prompt = Math.min(view.prompt, asked.length - 1);
    put(part("asked"), ...[...asked.map((text, at) => [at, short(text)]), [ALL, "Table"]].map(([at, words]) => h("label", { translate: at === ALL ? null : "no" },
      h("input", { type: "radio", name: "watched", value: at, checked: at === view.prompt }), words)));
    put(part("replies"), ...(view.prompt === ALL ? [table(asked, data)] : cards(asked[view.prompt], data)));
    const steps = [...new Set(data.replies.map((reply) => reply.step))].sort((a, b) => a - b), shown = spread(steps, 8, data.best);
    const numbers = shown.join(", ") + (shown.length < steps.length ? " …" : "");
    const written = data.replies.some((reply) => reply.tokens);   // a label has no temperature
    const one = written ? `replies at step ${numbers} · temperature 0` : `predictions at step ${numbers}`;
    const many = written ? `replies at steps ${numbers} · temperature 0` : `predictions at steps ${numbers}`;
    put(part("answered"), !steps.length ? "" : steps.length === 1 ? one : many);
  }

  /* --- a classifier's hardest rows: those with the highest loss now, with what was said to them at each check --- */
  function hardest(part, data) {
    const now = data.held.at(-1);
    part("hard").hidden = !now || now[0] === 0;
    if (part("hard").hidden) return;
    const told = new Map(data.held.flatMap(([, rows]) => rows.filter((row) => row.length > 5).map((row) => [row[0], row])));
    const rows = [...now[1]].sort((a, b) => b[1] - a[1]).slice(0, HARDEST);
    const steps = spread(data.held.map(([step]) => step), COLUMNS, data.best);
    const at = new Map(data.held.map(([step, held]) => [step, new Map(held.map((row) => [row[0], row]))]));
    const right = (row) => told.get(row[0])?.[5] || "";
    /** The predicted label, with a cross where it is not the true one. A score is never exactly right, so it has none. */
    const predicted = (row) => {
      const label = h("bdi", { translate: "no" }, row[2]), wrong = row[4] !== null && row[4] !== undefined && row[2] !== right(row);
      return h(wrong ? "td.wrong" : "td", {}, wrong ? h("span", { "aria-hidden": "true" }, "✕ ") : null, label, wrong ? h("span.sr", {}, "wrong") : null);
    };
    const cell = (row, step) => {
      const then = at.get(step)?.get(row[0]);
      if (!then) return h("td.num.muted", {}, "");
      const share = then[4] ?? null;
      return h("td.num", {}, share === null ? h("bdi", { translate: "no" }, then[2]) : `${Math.round(100 * share)}%`);
    };
    put(part("hardrows"), h("thead", {}, h("tr", {}, h("th", {}, "Row"), h("th", {}, "True label"), h("th", {}, "Predicted now"), steps.map((step) => h("th.num", {}, step ? `step ${step}` : "before")), h("th.num", {}, "Loss now"))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, told.get(row[0])?.[6] ? h("span.cell-text", { translate: "no" }, told.get(row[0])[6]) : h("span.cell-text", {}, `row ${row[0]}`)), h("td", { translate: "no" }, right(row)), predicted(row),
        steps.map((step) => cell(row, step)), h("td.num", {}, figure(row[1]))))));
  }

  window.studio.trainWatch = { prompts, hardest, latest, spread };
})();
