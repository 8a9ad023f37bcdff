/* Owns: one line chart, drawn by uPlot (vendor/) on a canvas. It is given what to draw, and fetches no data.
   studio.chart(host, {label, height, small}).show({series, marks, from, to, tip, stops, log})
     series  [{name, kind: "before"|"after"|"other", points: [[x, y]…], faint: [[x, y]…], dots, best, dash}]
     marks   [{x, text, kind: "best"|"gap"|"epoch"|"resume"}] upright lines; "checkpoint"|"advice": signs at the foot
     words   (x, place) => text                       under the axis; sizes: distances between two of them
     tip     x => {x, title, lines: [text…], dots}    the text beside the marker; stops: x values for the keyboard
   All texts that it is given are in the page's language already, except `label`. The axes run from left to right always.
   The view (zoom, marker) belongs to the person: new data never changes it. uPlot gives scales, axes, lines, hover and the
   selection; marks, the names at the ends, the text beside the marker and the keyboard are ours. */
(() => {
  const { h, scale, figure, translate } = window.studio;
  const COLORS = {
    before: "--before", other: "--before", after: "--accent", best: "--accent", gap: "--error",
    epoch: "--line", resume: "--text", advice: "--warn", checkpoint: "--muted",
  };
  const FORCED = { "--panel": "Canvas", "--accent": "LinkText", "--before": "GrayText" }, forced = matchMedia("(forced-colors: active)");
  const DASHES = { best: [3, 3], gap: [3, 3], resume: [1, 3] };
  const SIZES = Array.from({ length: 9 }, (_, power) => [1, 2, 3, 5, 6].map((times) => times * 10 ** power)).flat();

  class Chart {
    constructor(host, { label, height = 236, small = false }) {
      Object.assign(this, { host, label: translate(label), height, small, data: null, view: null, marker: null, plot: null, built: "", texts: [] });
      this.said = h("span.sr", { "aria-live": "polite" });
      this.all = h("button.btn.s.chart-all", { type: "button", hidden: true, onclick: () => this.zoom(null) }, "Show all");
      this.probe = h("i", { hidden: true });
      this.beside = h("div.tipbox", { hidden: true });
      this.box = h("div.chart", {
        role: "img", tabindex: small ? null : 0, "aria-label": label, "aria-keyshortcuts": small ? null : "ArrowLeft ArrowRight + - 0 L",
        onkeydown: (e) => this.key(e), onblur: () => this.point(null), ondblclick: () => this.zoom(null),
        onpointermove: (e) => { if (e.pointerType === "touch" && this.plot) this.point(this.plot.posToVal(e.clientX - this.plot.rect.left, "x")); },
        onpointerdown: (e) => {            /* a selection may leave the chart */
          if (!small && e.button === 0 && e.pointerType !== "touch") this.plot?.over.setPointerCapture(e.pointerId);
        },
        onpointercancel: () => this.point(null),
      });
      this.box.chart = this;
      host.replaceChildren(h("div.chart-box", {}, this.box, this.beside, this.all, this.said, this.probe));
      new ResizeObserver(() => this.draw()).observe(host);
    }

    show(data) { this.data = data; this.draw(); }

    draw() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => { this.waiting = null; if (this.data && this.host.clientWidth) this.paint(); });
    }

    paint() {
      const { data } = this, width = Math.round(this.host.clientWidth), { lines, table } = this.lines();
      this.drawn = lines;
      this.span = this.view || [data.from, Math.max(data.to, data.from + 1)];
      this.box.setAttribute("aria-label", this.label + (data.summary ? `. ${data.summary}` : ""));
      this.all.hidden = !this.view;
      const build = JSON.stringify([data.log, lines.map(({ kind, dash, dots, name, pale }) => [kind, dash, dots, name, pale])]);
      this.painting = true;                /* uPlot moves its cursor while it draws; that is no pointer of the person */
      if (build !== this.built) {
        this.plot?.destroy();
        this.plot = new uPlot(this.options(lines, width), table, this.box);
        this.built = build;
        return;                            /* it draws in a microtask, and then calls `ready` */
      }
      this.plot.batch((plot) => {
        if (plot.width !== width) plot.setSize({ width, height: this.height });
        plot.setData(table);
      });
      this.painted();
    }
    painted() {
      this.painting = false;
      this.point(this.marker);
    }

    /** The lines to draw, and their points as columns over one common x; undefined where a line has no point. */
    lines() {
      const { log, series, from, to } = this.data;
      const lines = series.flatMap((each) => [...(each.faint?.length ? [{ name: each.name, kind: each.kind, points: each.faint, pale: true }] : []), each]);
      const value = (y) => (Number.isFinite(y) && !(log && y <= 0) ? y : null), least = Math.max(1, to - from) * 1e-7;
      const columns = lines.map(({ points }) => {
        let last = -Infinity;              /* uPlot joins by x; several steps of the same tenth of a second are all kept */
        return [points.map(([x]) => (last = Math.max(x, last + least))), points.map(([, y]) => value(y))];
      });
      return { lines, table: uPlot.join([[[from, to]], ...columns]) };
    }

    /** A color of the page in the scheme that is in use; in forced colors (high contrast) one of the system's. */
    color(name) {
      if (forced.matches) return FORCED[name] || "CanvasText";
      this.probe.style.color = `var(${name})`;
      return getComputedStyle(this.probe).color;
    }

    /** Options of uPlot. `times` scales everything, for a picture. */
    options(lines, width, times = 1) {
      const { data, small } = this, px = (size) => size * times, font = `${px(12)}px ${getComputedStyle(this.box).fontFamily}`;
      const color = (name) => () => this.color(name);
      const right = () => px(Math.max(14, 3.5 * (this.texts.at(-1) || "").length, ...this.labels().map((label) => label.width + 16)));
      return {
        width: px(width), height: px(this.height), padding: [px(16), right, 0, 0], legend: { show: false },
        cursor: {
          y: false, points: { show: false }, drag: { x: !small, y: false, setScale: false, dist: 6 },
          move: (plot, left, top) => [this.snapped(plot, left), top], bind: { dblclick: () => null },
        },
        scales: {
          x: { time: false, range: () => this.span },
          y: { distr: data.log ? 3 : 1, range: (plot, low, high) => scale.extent(low === null ? [] : [low, high], data.log) },
        },
        axes: [this.xAxis(px, color, font), this.yAxis(px, color, font)],
        series: [{}, ...lines.map((line, at) => this.series(line, at, px, color, width))],
        hooks: {
          draw: [(plot) => this.overlay(plot, font, times)],
          ready: [(plot) => { if (plot === this.plot) this.painted(); }],
          setCursor: [(plot) => this.hovered(plot)],
          setSelect: [(plot) => this.selected(plot)],
        },
      };
    }
    xAxis(px, color, font) {
      const { small } = this;
      const text = (x, at) => {
        if (this.data.words) return this.data.words(x, small ? 1 : at);
        return translate(at || small ? x.toLocaleString("en") : `step ${x}`);
      };
      return {
        stroke: color("--muted"), font, size: px(28), gap: px(10), space: px(small ? 90 : 100),
        grid: { show: false }, ticks: { show: false }, border: { show: true, stroke: color("--line-field"), width: px(1) },
        incrs: () => this.data.sizes || SIZES, splits: (plot, axis, low, high, size) => this.across(low, high, size),
        values: (plot, xs) => (this.texts = xs.map(text)),
      };
    }
    yAxis(px, color, font) {
      const { data, small } = this, longest = (texts) => Math.max(...(texts || [""]).map((text) => text.length));
      const log = { splits: (plot, axis, low, high) => scale.logTicks(low, high), filter: (plot, ys) => ys };
      return {
        stroke: color("--muted"), font, size: (plot, texts) => px(Math.max(small ? 44 : 40, 12 + 7.5 * longest(texts))),
        gap: px(8), space: px(small ? 40 : 32), grid: { stroke: color("--line"), width: px(1) }, ticks: { show: false },
        ...(data.log ? log : {}), values: (plot, ys) => ys.map(this.data.tick || tickText(ys)).map(translate),
      };
    }
    series({ kind, dash, dots, pale }, at, px, color, width) {
      const points = {
        show: () => this.drawn[at].points.length <= width / 8,
        size: px(8.5), width: px(1.5), stroke: color("--panel"), fill: color(COLORS[kind]),
      };
      return {
        stroke: color(COLORS[kind]), width: px(pale ? 1 : kind === "after" ? 2 : 1.5), alpha: pale ? 0.35 : 1,
        dash: dash?.split(" ").map((each) => px(+each)), points: dots ? points : { show: false },
      };
    }

    /** Where the axis has a text: round steps, and the last one. */
    across(low, high, size) {
      const out = [];
      for (let at = Math.ceil(low / size - 1e-9) * size || 0; at <= high; at += size) out.push(at);
      if (this.data.sizes || !out.length || out.at(-1) === high) return out;
      if (high - out.at(-1) < size * 0.6 && out.length > 1) out.pop();
      return [...out, Math.round(high)];
    }

    /** What uPlot does not know: marks, the best point, and names at the ends of the lines. */
    overlay(plot, font, times) {
      const pen = plot.ctx, ratio = uPlot.pxRatio * times;
      const left = plot.bbox.left / ratio, top = plot.bbox.top / ratio, bottom = top + plot.bbox.height / ratio;
      const toX = (x) => left + plot.valToPos(x, "x") / times, toY = (y) => top + plot.valToPos(y, "y") / times;
      const inside = (x) => x >= this.span[0] && x <= this.span[1];
      pen.save();
      pen.scale(ratio, ratio);
      const use = (fill, stroke, lineWidth, dash = []) => {
        Object.assign(pen, { fillStyle: this.color(fill), strokeStyle: this.color(stroke), lineWidth });
        pen.setLineDash(dash);
      };
      const write = (text, x, y, textAlign, name, bold) => {
        use(name, "--panel", 4);
        Object.assign(pen, { font: `${bold ? "600 " : ""}${font.replace(/^\S+/, "12px")}`, textAlign, textBaseline: "alphabetic", lineJoin: "round" });
        pen.strokeText(text, x, y);
        pen.fillText(text, x, y);
      };
      const shape = (name, path) => {
        use(name, "--panel", 1.5);
        pen.fill(path);
        pen.stroke(path);
      };
      for (const { x, text, kind } of (this.data.marks || []).filter((mark) => inside(mark.x))) {
        const at = toX(x), name = COLORS[kind];
        if (kind === "checkpoint") shape(name, new Path2D(`M${at - 2.5} ${bottom - 3}h5v6h-5Z`));
        else if (kind === "advice") shape(name, new Path2D(`M${at - 6} ${bottom - 1}h12l-6 -11Z`));
        else {
          use(name, name, 1, DASHES[kind]);
          pen.stroke(new Path2D(`M${at} ${top - 4}V${bottom}`));
          const before = kind === "best" ? at - left > 96 : this.host.clientWidth - at < 150;
          if (text) write(text, at + (before ? -6 : 8), top - 6, before ? "right" : "left", name, true);
        }
      }
      for (const { best, kind, points, dots } of this.data.series) {
        const found = points.find(([x]) => x === best), dot = new Path2D();
        if (!found || !inside(best)) continue;
        dot.arc(toX(best), toY(found[1]), dots ? 5 : 4.5, 0, 2 * Math.PI);
        shape(COLORS[kind], dot);
      }
      const words = { after: "--accent", other: "--text" };
      this.placed = this.ends(toX, toY, left + plot.bbox.width / ratio, bottom);
      for (const { text, kind, x, y } of this.placed) write(text, x, y, "left", words[kind] || "--muted", kind === "after");
      pen.restore();
    }

    /** Name and last value of each line, with the width in pixels. Only the values where names take a third of the chart. */
    labels() {
      if (this.small) return [];
      const pen = (this.measure ||= document.createElement("canvas").getContext("2d"));
      pen.font = `600 12px ${getComputedStyle(this.box).fontFamily}`;
      const labels = this.data.series.flatMap((each) => {
        const end = each.points.findLast(([x, y]) => Number.isFinite(y) && x <= this.span[1]);
        return end && end[0] >= this.span[0] ? [{ ...each, end, text: translate(figure(each.value ?? end[1])) }] : [];
      });
      const measured = (text, label) => ({ ...label, text, width: pen.measureText(text).width });
      const named = labels.map((label) => measured(`${label.name} ${label.text}`, label));
      return named.some(({ width }) => width > this.host.clientWidth / 3) ? labels.map((label) => measured(label.text, label)) : named;
    }
    /** The labels beside the ends of the lines: moved apart where they would touch, and right of the chart where a line passes. */
    ends(toX, toY, right, bottom) {
      const labels = this.labels().map(({ text, kind, dots, end, width }) => ({ text, kind, width, x: toX(end[0]) + (dots ? 10 : 8), y: toY(end[1]) + 4 })).sort((a, b) => a.y - b.y);
      labels.forEach((label, at) => { if (at && label.y - labels[at - 1].y < 15) label.y = labels[at - 1].y + 15; });
      const over = labels.length ? labels.at(-1).y - (bottom - 4) : 0;
      for (const label of labels) {
        label.y -= Math.max(0, over);
        if (this.crossed(label, toX, toY)) label.x = right + 10;
      }
      return labels;
    }
    /** Whether a line passes through a label. */
    crossed({ x, y, width }, toX, toY) {
      return this.drawn.some(({ points }) => {
        let after = null;
        for (let at = points.length - 1; at >= 0; at--) {
          const point = Number.isFinite(points[at][1]) ? [toX(points[at][0]), toY(points[at][1])] : null;
          if (point && after && after[0] > x && point[0] < x + width) {
            const on = (place) => point[1] + ((after[1] - point[1]) * (Math.min(after[0], Math.max(point[0], place)) - point[0])) / (after[0] - point[0] || 1);
            const ys = [on(x - 2), on(x + width + 2)];
            if (Math.min(...ys) < y + 6 && Math.max(...ys) > y - 13) return true;
          }
          if (point && point[0] < x) return false;
          after = point || after;
        }
        return false;
      });
    }

    /* --- the marker and its labels --- */
    snapped(plot, left) {
      const told = left >= 0 && this.data.tip?.(plot.posToVal(left, "x"));
      return told ? plot.valToPos(told.x, "x") : left;
    }
    hovered(plot) {
      const out = plot.cursor.left < 0;
      if (this.painting || plot !== this.plot) return;
      if (!out || document.activeElement !== this.box) this.tip(out ? null : plot.posToVal(plot.cursor.left, "x"));
    }
    point(x) {
      if (this.plot) this.plot.setCursor(x === null ? { left: -10, top: -10 } : { left: this.snapped(this.plot, this.plot.valToPos(x, "x")), top: 0 }, false);
      this.tip(x);
    }
    tip(x) {
      const told = x === null || !this.plot ? null : this.data?.tip?.(x);
      this.marker = x;
      this.beside.hidden = !told;
      if (!told) return;
      const { bbox } = this.plot, ratio = uPlot.pxRatio, at = bbox.left / ratio + this.plot.valToPos(told.x, "x"), place = (left, top) => `left:${left}px;top:${top}px`;
      const text = h("div.tip", { dir: "auto" }, h("b", { translate: "no" }, told.title), told.lines.map((line) => h("span", { translate: "no" }, line)));
      this.beside.replaceChildren(text, ...(told.dots || []).map(([y, kind]) => h(`i.${kind}`, { style: place(at, bbox.top / ratio + this.plot.valToPos(y, "y")) })));
      const width = text.offsetWidth;
      text.style.cssText = place(at + 12 + width > this.host.clientWidth ? Math.max(2, at - 12 - width) : at + 12, 28);
    }

    /* --- the view --- */
    selected(plot) {
      const { left, width } = plot.select;
      if (!width) return;
      this.zoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    }
    zoom(span) {
      if (span) {
        const whole = [this.data.from, Math.max(this.data.to, this.data.from + 1)], least = Math.min(4, whole[1] - whole[0]);
        const middle = (span[0] + span[1]) / 2, half = Math.max(span[1] - span[0], least) / 2;
        span = [Math.max(whole[0], Math.round(middle - half)), Math.min(whole[1], Math.round(middle + half))];
        if (span[0] <= whole[0] && span[1] >= whole[1]) span = null;
      }
      this.view = span;
      this.draw();
    }
    key(event) {
      if (!this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
      const stops = (this.data.stops || []).filter((x) => x >= this.span[0] && x <= this.span[1]);
      const step = this.marker ?? (event.key === "ArrowLeft" ? Infinity : -Infinity);
      const half = (this.span[1] - this.span[0]) / 4, centre = this.marker ?? (this.span[0] + this.span[1]) / 2;
      const acts = {
        ArrowRight: () => this.point(stops.find((x) => x > step + 1e-9) ?? stops.at(-1) ?? null),
        ArrowLeft: () => this.point(stops.findLast((x) => x < step - 1e-9) ?? stops[0] ?? null),
        "+": () => this.zoom([centre - half, centre + half]),
        "-": () => this.zoom([centre - half * 4, centre + half * 4]),
        0: () => this.zoom(null),
        l: () => this.host.dispatchEvent(new CustomEvent("logscale", { bubbles: true })),
        Escape: () => this.point(null),
      };
      const act = acts[event.key === "=" ? "+" : event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
      const told = this.marker !== null && this.data.tip ? this.data.tip(this.marker) : null;
      if (told && event.key.startsWith("Arrow")) this.said.textContent = [told.title, ...told.lines].join(", ");
    }

    /** The chart on a canvas of `times` its size, for a picture. */
    async canvas(times = 2) {
      const { lines, table } = this.lines(), plot = new uPlot(this.options(lines, Math.round(this.host.clientWidth), times / uPlot.pxRatio), table);
      await null;                          /* uPlot draws in a microtask */
      plot.destroy();
      return plot.ctx.canvas;
    }
  }

  function tickText(values) {
    const step = values.length > 1 ? Math.abs(values[1] - values[0]) : 1;
    const places = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    const odd = values.some((value) => Math.abs(value * 10 ** places - Math.round(value * 10 ** places)) > 1e-6) ? 1 : 0;
    const largest = Math.max(...values.map(Math.abs));
    if (largest > 0 && (largest < 0.01 || largest >= 1e5)) return (value) => (value === 0 ? "0" : value.toExponential(1).replace("+", "").replace(".0e", "e"));
    return (value) => value.toFixed(places + odd);
  }

  window.studio.chart = (host, options) => new Chart(host, options);
  const redraw = () => { for (const box of document.querySelectorAll(".chart-box > .chart")) box.chart.draw(); };
  new MutationObserver(redraw).observe(document.body, { attributeFilter: ["class"] });  /* Gradio's dark mode is a class */
  forced.addEventListener("change", redraw);
})();
