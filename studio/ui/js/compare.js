/* Owns: several runs on one chart, by step or by time, drawn into what the server marks with data-compare. */
(() => {
  const { studio } = window, { h, figure, took, scale, translate } = studio;
  const DASHES = ["", "", "6 4", "2 3", "9 3 2 3", "12 4", "4 2", "1 4"], AGAIN = 5000;

  /** What is told of a run. Null: it was deleted; undefined: the server does not answer now. */
  async function read(id) {
    const answer = await fetch(studio.url(`studio/run/${encodeURIComponent(id)}?after=0`), { headers: studio.headers(), cache: "no-store" }).catch(() => undefined);
    return answer?.ok ? answer.json().catch(() => undefined) : answer?.status === 404 ? null : undefined;
  }
  /** Points of a run: [step or seconds of training, loss]. */
  function points(told, what, byTime) {
    const steps = (told.steps || []).filter((row) => row[1] !== null), times = byTime ? studio.trainingTimes(told) : [];
    const x = (step) => { if (!byTime) return step; return step && times.length ? times[Math.min(scale.place(times, step), times.length - 1)][1] : 0; };
    if (what === "train") return scale.smooth(steps.map((row) => [x(row[0]), row[1]]));
    return scale.merge([], told.checks || []).map((row) => [x(row[0]), row[1] ?? NaN]);
  }

  function begin(host) {
    const ids = host.dataset.compare.split(" "), box = h("div.loss-chart"), view = { what: "validation", time: false };
    const select = (label, options, act) => h("span.select.s", {}, h("select", { "aria-label": label, onchange: (e) => { act(e.target.value); graph.zoom(null); draw(); } }, options.map(([value, words]) => h("option", { value }, words))), studio.icon("down"));
    host.replaceChildren(h("div.row.wrap", {}, h("h2", {}, `${ids.length} runs`), h("span.right.row", {},
      select("Curve", [["validation", "Validation loss"], ["train", "Training loss"]], (value) => { view.what = value; }),
      select("Horizontal axis", [["step", "By step"], ["time", "By time"]], (value) => { view.time = value === "time"; }),
      h("button.btn.s.quiet", { type: "button", onclick: async () => studio.save(await studio.picture(box.querySelector(".chart")), "runs.png") }, "PNG"))), box);
    const graph = studio.chart(box, { label: "Runs compared" });
    let all = [];
    function draw() {
      const series = all.map((told, at) => ({ name: told.run.name, kind: at ? "other" : "after", dash: DASHES[at] || null, points: points(told, view.what, view.time) })).filter((each) => each.points.length);
      if (!series.length) return;
      const xs = series.map((each) => each.points.at(-1)[0]), words = view.time ? (x) => translate(took(x)) : undefined, value = (y) => translate(figure(y));
      graph.show({ series, marks: [], from: 0, to: Math.max(1, ...xs), words, sizes: view.time ? scale.TIMES : undefined,
        stops: series[0].points.map(([x]) => x), summary: series.map((each) => `${each.name} ${value(each.points.at(-1)[1])}`).join(", "),
        tip: (x) => ({ x, title: translate(view.time ? `After ${took(x)}` : `Step ${Math.round(x)}`), lines: series.filter((each) => x <= each.points.at(-1)[0] + 1).map((each) => `${each.name} ${value(scale.nearest(each.points, x)[1])}`), dots: [] }) });
    }
    async function look() {
      if (!document.contains(host)) return;
      if (!document.hidden && host.offsetParent !== null) {
        const told = await Promise.all(ids.map(read));
        if (!told.includes(undefined)) {
          all = told.filter(Boolean);
          draw();
          if (!all.some((each) => studio.live.working(each.run))) return;
        }
      }
      setTimeout(look, AGAIN);
    }
    look();
  }
  studio.drawn.push((slot) => { for (const host of slot.querySelectorAll("[data-compare]")) if (!host.dataset.seen) { host.dataset.seen = "1"; begin(host); } });
})();
