/* Owns: a watched run as curves: loss with all that happened, by step or by time, and the small charts below.
   Draws what live.js knows; the view (scale, smoothing, axis) belongs to the person and is given. */
(() => {
  const { h, put, figure, memory, took, scale, chart, translate } = window.studio;
  const LOST = ["interrupted", "failed"], MOST_EPOCHS = 24;
  const MORE = [
    ["Learning rate", 2, (y) => figure(y)], ["Gradient norm", 3, (y) => figure(y)],
    ["Rows per second", 4, (y) => `${figure(y)} rows/s`], ["Tokens per second", 8, (y) => `${figure(y)} tokens/s`],
    ["Peak memory", 5, (y) => memory(y * 1e6)], ["CPU, share of all cores", 9, (y) => `${Math.round(100 * y)}%`],
  ];
  const KINDS = { best: "best step", epoch: "end of an epoch", checkpoint: "checkpoint", resume: "resumed", advice: "coach", gap: "ended" };

  /** [step, seconds of training until then] for each step. Pauses between two workers are left out. */
  function trainingTimes(data) {
    const began = beginnings(data), times = [];
    let lost = null, before = 0, next = 0;
    for (const row of data.steps || []) {
      if (row[7] === null || row[7] === undefined) continue;
      if (lost === null) lost = began.findLast((t) => t <= row[7]) ?? row[7];
      while (next < began.length && began[next] <= row[7]) { if (times.length && began[next] > before) lost += began[next] - before; next += 1; }
      before = row[7];
      times.push([row[0], row[7] - lost]);
    }
    return times;
  }

  /* --- the x axis: steps, or seconds of training --- */
  function axis(data, run, facts, byTime) {
    const last = Math.max(run.steps || 0, facts.last || 1);
    if (!byTime) return { x: (step) => step, step: (x) => x, from: 0, to: last, words: (x, at) => translate(at === 0 ? `step ${x}` : x.toLocaleString("en")) };
    const times = trainingTimes(data);
    const x = (step) => {
      if (!times.length) return step;
      const at = Math.min(scale.place(times, step), times.length - 1);
      return step === 0 ? 0 : times[at][1];
    };
    const back = times.map(([step, t]) => [t, step]), end = times.length ? times[times.length - 1][1] : 1;
    return {
      x, step: (t) => (back.length ? scale.nearest(back, t)[1] : t), from: 0, to: Math.max(1, end + (run.left || 0)),
      words: (t) => translate(took(t)), sizes: scale.TIMES,
    };
  }
  /** When training started and resumed, in seconds after the run was created. */
  function beginnings(data) {
    const made = data.about?.since || 0;
    return (data.phases || []).filter((each) => each.phase === "training" && !each.message).map((each) => Date.parse(each.time) / 1000 - made).sort((a, b) => a - b);
  }
  /** The steps from which a later worker resumed. */
  function resumes(data) {
    return [...new Set(beginnings(data).slice(1).map((t) => data.steps.find((row) => row[7] > t)?.[0]).filter((step) => step > 1).map((step) => step - 1))];
  }
  function epochs(data) {
    const every = data.read && data.about?.batch ? Math.ceil(data.read.learned / data.about.batch) : 0, last = data.steps.at(-1)?.[0] || 0;
    const all = every > 1 ? Math.floor(last / every) : 0;
    return all > MOST_EPOCHS ? [] : Array.from({ length: all }, (_, at) => (at + 1) * every);
  }

  /** All that happened, as marks: upright lines, and signs at the foot. */
  function marks(data, run, at) {
    const out = epochs(data).map((step, n) => ({ x: at.x(step), step, kind: "epoch", text: "", words: `end of epoch ${n + 1}` }));
    for (const step of resumes(data)) out.push({ x: at.x(step), step, kind: "resume", text: "", words: "resumed here" });
    for (const [step] of data.checkpoints) out.push({ x: at.x(step), step, kind: "checkpoint", words: "checkpoint saved" });
    for (const each of data.advice) if (each.severity !== "ok" && each.rule !== "summary") out.push({ x: at.x(each.step), step: each.step, kind: "advice", words: `coach: ${each.title}` });
    if (data.best !== null && data.best !== undefined && data.checks.length > 1) out.push({ x: at.x(data.best), step: data.best, kind: "best", text: translate(`best, step ${data.best}`) });
    if (LOST.includes(run.status) && data.steps.length) out.push({ x: at.x(run.step), step: run.step, kind: "gap", text: translate(run.status === "failed" ? `failed, step ${run.step}` : `worker lost, step ${run.step}`) });
    return out;
  }

  function tip(data, step, at, signs) {
    if (!data.steps.length && !data.checks.length) return null;
    const row = data.steps.length ? scale.nearest(data.steps, step) : null;
    const near = data.checks.length ? scale.nearest(data.checks, step) : null;
    const check = near && (!row || Math.abs(near[0] - step) <= Math.abs(row[0] - step) + 0.5) ? near : null;
    const here = check ? check[0] : row[0], found = data.steps[scale.place(data.steps, here)];
    const exact = found && found[0] === here ? found : null, before = [...data.checks].reverse().find((each) => each[0] <= here);
    const lines = [];
    if (check) lines.push(`validation ${figure(check[1])}`);
    else if (before) lines.push(`validation ${figure(before[1])} at step ${before[0]}`);
    if (exact) lines.push(`train ${figure(exact[1])}, learning rate ${figure(exact[2])}`);
    const happened = signs.filter((each) => each.step === here && each.words).map((each) => each.words);
    lines.push(...happened.slice(0, 3));
    if (at.sizes) lines.push(`after ${took(at.x(here))}`);
    const dots = [...(check && check[1] !== null ? [[check[1], "after"]] : []), ...(exact && exact[1] !== null ? [[exact[1], "before"]] : [])];
    return { x: at.x(here), title: translate(here === data.best && check ? `Step ${here}, best so far` : `Step ${here}`), lines: lines.map(translate), dots };
  }

  window.studio.trainingTimes = trainingTimes;
  window.studio.trainCurves = (part) => {
    const loss = chart(part("loss"), { label: "Loss by step" });
    const made = (label, more = {}) => {
      const host = h("div");
      part("more").append(h("figure", more, h("figcaption.small", {}, label), host));
      return chart(host, { label, height: 132, small: true });
    };
    const small = MORE.map(([label, column]) => made(label, { "data-curve": column }));
    const told = new Map(); /* further metric of a step (rewards, for example) → its chart */
    const of = (name) => {
      if (!told.has(name)) told.set(name, made(name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase()), { "data-told": name }));
      return told.get(name);
    };

    function draw(data, run, facts, view) {
      const at = axis(data, run, facts, view.time), signs = marks(data, run, at);
      const points = data.steps.map((row) => [at.x(row[0]), row[1] ?? NaN]);
      const series = [{ name: translate("train"), kind: "before", points: view.smooth ? scale.smooth(points, view.keep) : points, faint: view.smooth ? points : [] },
        { name: translate("validation"), kind: "after", dots: true, best: data.best === null || data.best === undefined ? data.best : at.x(data.best), points: data.checks.map((row) => [at.x(row[0]), row[1] ?? NaN]) }];
      loss.show({ series, marks: signs, from: at.from, to: at.to, log: view.log, summary: facts.summary && translate(facts.summary), words: at.words, sizes: at.sizes,
        stops: (data.checks.length ? data.checks : data.steps).map((row) => at.x(row[0])), tip: (x) => tip(data, at.step(x), at, signs) });
      legend(signs);
      if (!part("fold").open) return;
      rewards(data, at);
      MORE.forEach(([, column, words], n) => {
        const rows = data.steps.filter((row) => row[column] !== null && row[column] !== undefined);
        part("more").querySelector(`[data-curve="${column}"]`).hidden = !rows.length;
        const format = column === 5 ? (y) => memory(y * 1e6) : column === 9 ? (y) => `${Math.round(100 * y)}%` : undefined;
        small[n].show({ series: [{ name: "", kind: "before", points: rows.map((row) => [at.x(row[0]), row[column]]) }], from: at.from, to: at.to, tick: format, sizes: at.sizes, words: at.words,
          tip: (x) => { const row = rows.length && scale.nearest(rows, at.step(x)); return row ? { x: at.x(row[0]), title: translate(`Step ${row[0]}`), lines: [translate(words(row[column]))], dots: [[row[column], "before"]] } : null; } });
      });
    }

    function legend(signs) {
      const kinds = Object.keys(KINDS).filter((kind) => signs.some((each) => each.kind === kind));
      put(part("marks"), ...kinds.map((kind) => h("span", {}, h(`i.${kind}`), KINDS[kind], kind === "checkpoint" ? ` (${signs.filter((each) => each.kind === kind).length})` : null)));
    }

    function rewards(data, at) {
      const names = Object.keys(data.steps.at(-1)?.[6] || {});
      for (const each of part("more").querySelectorAll("[data-told]")) each.hidden = !names.includes(each.dataset.told);
      for (const name of names) {
        const steps = data.steps.filter((row) => row[6]?.[name] != null), checks = data.checks.filter((row) => row[3]?.[name] != null);
        of(name).show({
          series: [{ name: translate("train"), kind: "before", points: scale.smooth(steps.map((row) => [at.x(row[0]), row[6][name]])) },
            { name: translate("validation"), kind: "after", dots: true, points: checks.map((row) => [at.x(row[0]), row[3][name]]) }],
          from: at.from, to: at.to, sizes: at.sizes, words: at.words,
          tip: (x) => { const row = steps.length && scale.nearest(steps, at.step(x)); return row ? { x: at.x(row[0]), title: translate(`Step ${row[0]}`), lines: [translate(figure(row[6][name]))], dots: [[row[6][name], "before"]] } : null; },
        });
      }
    }
    return { draw, loss };
  };
})();
