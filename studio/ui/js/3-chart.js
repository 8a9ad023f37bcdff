/* Owns: one line chart, drawn as SVG at its real width. Told what to draw; asks nobody for data.
   studio.chart(host, {label, height, small}).show({series, marks, from, to, tip, stops, log})
     series  [{name, kind: "before"|"after"|"other", points: [[x, y]…], faint: [[x, y]…], dots, best, dash, format}]
     marks   [{x, text, kind: "best"|"gap"|"epoch"|"resume"}] upright lines; "checkpoint"|"advice": signs at the foot
     words   (x, place) => text                       under the axis; ticks: (low, high, wanted) => [x…]
     tip     x => {x, title, lines: [text…]}          what stands beside the marker; stops: x values for the keyboard
   The view (zoom, marker) belongs to the person: new data never changes it. */
(() => {
  const { h, s, scale, figure } = window.studio;
  const LEFT = 40, RIGHT = 14, TOP = 16, BOTTOM = 28;

  class Chart {
    constructor(host, { label, height = 236, small = false }) {
      Object.assign(this, { host, label, height, small, data: null, view: null, marker: null, width: 0, drag: null });
      this.said = h("span.sr", { "aria-live": "polite" });
      this.all = h("button.btn.s.chart-all", { type: "button", hidden: true, onclick: () => this.zoom(null) }, "Show all");
      this.svg = s("svg.chart", {
        role: "img", tabindex: small ? null : 0, height, "aria-label": label,
        "aria-keyshortcuts": small ? null : "ArrowLeft ArrowRight + - 0 L",
        onpointermove: (e) => this.move(e), onpointerleave: () => this.leave(), onpointerdown: (e) => this.down(e),
        onpointerup: (e) => this.up(e), onpointercancel: () => { this.drag = null; this.draw(); },
        ondblclick: () => this.zoom(null), onkeydown: (e) => this.key(e), onblur: () => { this.marker = null; this.draw(); },
      });
      host.replaceChildren(h("div.chart-box", {}, this.svg, this.all, this.said));
      new ResizeObserver(() => this.draw()).observe(host);
    }

    show(data) { this.data = data; this.draw(); }

    draw() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => { this.waiting = null; if (this.data && this.host.clientWidth) this.paint(); });
    }

    paint() {
      const { data } = this, width = this.width = Math.round(this.host.clientWidth);
      this.left = this.small ? 44 : LEFT;
      this.bottom = this.height - BOTTOM;
      this.span = this.view || [data.from, Math.max(data.to, data.from + 1)];
      const inside = (points) => this.view ? points.slice(Math.max(0, scale.place(points, this.span[0]) - 1), scale.place(points, this.span[1]) + 1) : points;
      this.drawn = data.series.map((each) => ({ ...each, points: inside(each.points), faint: inside(each.faint || []) }));
      const seen = this.drawn.flatMap((each) => [...each.points, ...each.faint].filter(([x]) => x >= this.span[0] && x <= this.span[1]).map(([, y]) => y));
      [this.low, this.high] = scale.extent(seen, data.log);
      const height = this.bottom - TOP;
      this.toX = (x) => this.left + ((x - this.span[0]) / (this.span[1] - this.span[0])) * (width - this.left - RIGHT);
      this.toY = data.log
        ? (y) => this.bottom - (Math.log(Math.max(y, 1e-12) / this.low) / Math.log(this.high / this.low)) * height
        : (y) => this.bottom - ((y - this.low) / (this.high - this.low)) * height;
      const clip = this.clip ||= `clip-${Math.random().toString(36).slice(2)}`;
      const body = s("g", { "clip-path": `url(#${clip})` }, this.lines());
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("aria-label", this.label + (data.summary ? `. ${data.summary}` : ""));
      this.svg.replaceChildren(
        s("clipPath", { id: clip }, s("rect", { x: this.left - 6, y: 0, width: width - this.left - RIGHT + 12, height: this.bottom + 6 })),
        ...this.grid(), body, ...this.upright(), ...this.ends(), ...this.selection(), ...this.tip());
      this.all.hidden = !this.view;
    }

    grid() {
      const { data, width } = this, small = this.small;
      const across = (data.ticks || scale.stepTicks)(this.span[0], this.span[1], Math.max(2, Math.floor((width - this.left) / (small ? 90 : 100))));
      const up = data.log ? scale.logTicks(this.low, this.high) : scale.ticks(this.low, this.high, small ? 2 : 6);
      const tick = data.tick || tickText(up);
      return [
        ...up.map((y) => s("g", {}, s("line.grid", { x1: this.left, x2: width - RIGHT, y1: this.toY(y), y2: this.toY(y) }),
          s("text", { x: this.left - 8, y: this.toY(y) + 4, "text-anchor": "end" }, tick(y)))),
        ...across.map((x, at) => s("text", { x: this.toX(x), y: this.bottom + 20, "text-anchor": "middle" }, at === 0 && small ? data.words?.(x, 1) ?? x.toLocaleString("en") : data.words ? data.words(x, at) : at === 0 ? `step ${x}` : x.toLocaleString("en"))),
        s("line.axis", { x1: this.left, x2: width - RIGHT, y1: this.bottom, y2: this.bottom }),
      ];
    }

    path(points) {
      let out = "", pen = false;
      for (const [x, y] of scale.thin(points, this.toX, this.width)) {
        if (!Number.isFinite(y) || (this.data.log && y <= 0)) { pen = false; continue; }
        out += `${pen ? "L" : "M"}${this.toX(x).toFixed(1)} ${this.toY(y).toFixed(1)}`;
        pen = true;
      }
      return out;
    }

    lines() {
      return this.drawn.map((each) => [
        each.faint.length ? s("path.faint", { d: this.path(each.faint) }) : null,
        s(`path.${each.kind}`, { d: this.path(each.points), "stroke-dasharray": each.dash, "data-series": each.name }),
        each.dots && each.points.length <= this.width / 8
          ? each.points.map(([x, y]) => Number.isFinite(y) && s("circle.pt", { cx: this.toX(x), cy: this.toY(y), r: x === each.best ? 5 : 3.5 })) : null,
        each.dots || each.best === undefined || each.best === null ? null
          : each.points.filter(([x]) => x === each.best).map(([x, y]) => s(each.kind === "after" ? "circle.pt" : "circle.pt0", { cx: this.toX(x), cy: this.toY(y), r: 4.5 })),
      ]).flat(2).filter(Boolean);
    }

    upright() {
      return (this.data.marks || []).filter(({ x }) => x >= this.span[0] && x <= this.span[1]).flatMap(({ x, text, kind }) => {
        if (kind === "checkpoint" || kind === "advice") return [this.sign(this.toX(x), kind)];
        const at = this.toX(x), before = kind === "best" ? at - this.left > 96 : this.width - at < 150;
        const hidden = kind === "best" && this.marker !== null && !this.small;
        return [s(`line.${kind}`, { x1: at, x2: at, y1: TOP - 4, y2: this.bottom }),
          hidden || !text ? null : s(kind === "best" ? "text.ta.halo" : "text.te.halo", { x: at + (before ? -6 : 8), y: TOP + 6, "text-anchor": before ? "end" : "start" }, text)];
      }).filter(Boolean);
    }

    /** A square or a triangle that stands on the axis. */
    sign(x, kind) {
      const y = this.bottom;
      return kind === "advice" ? s("path.advice", { d: `M${x - 6} ${y - 1}L${x + 6} ${y - 1}L${x} ${y - 12}Z` }) : s("rect.checkpoint", { x: x - 2.5, y: y - 3, width: 5, height: 6 });
    }

    /** Names at the ends of the lines, moved apart where they would touch, put inside where they would not fit. */
    ends() {
      if (this.small) return [];
      const labels = this.drawn.flatMap((each) => {
        const end = [...each.points].reverse().find(([x, y]) => Number.isFinite(y) && x <= this.span[1]);
        if (!end || end[0] < this.span[0]) return [];
        const text = `${each.name} ${figure(each.value ?? end[1])}`;
        const x = this.toX(end[0]), fits = x + 10 + text.length * 6.6 < this.width;
        return [{ text, kind: each.kind, x: fits ? x + (each.dots ? 10 : 8) : this.width - RIGHT, y: this.toY(end[1]) + (fits ? 4 : -10), anchor: fits ? "start" : "end" }];
      }).sort((a, b) => a.y - b.y);
      labels.forEach((label, at) => { if (at && label.y - labels[at - 1].y < 15) label.y = labels[at - 1].y + 15; });
      const over = labels.length ? labels[labels.length - 1].y - (this.bottom - 4) : 0;
      if (over > 0) labels.forEach((label) => { label.y -= over; });
      return labels.map(({ text, kind, x, y, anchor }) =>
        s(kind === "after" ? "text.ta.halo" : kind === "other" ? "text.t.halo" : "text.halo", { x, y, "text-anchor": anchor }, text));
    }

    selection() {
      if (!this.drag?.moved) return [];
      const [a, b] = [this.drag.from, this.drag.to].sort((one, other) => one - other);
      return [s("rect.pick", { x: a, y: TOP, width: b - a, height: this.bottom - TOP })];
    }

    tip() {
      if (this.marker === null || !this.data.tip) return [];
      const told = this.data.tip(this.marker);
      if (!told) return [];
      const x = this.toX(told.x), width = Math.max(...[told.title, ...told.lines].map((line) => line.length)) * 6.4 + 26;
      const left = x + 12 + width > this.width ? Math.max(2, x - 12 - width) : x + 12, height = 30 + told.lines.length * 17;
      return [s("line.marker", { x1: x, x2: x, y1: TOP - 4, y2: this.bottom }),
        ...(told.dots || []).map(([y, kind]) => s(kind === "after" ? "circle.pt" : "circle.pt0", { cx: x, cy: this.toY(y), r: 4.5 })),
        s("g.tipbox", {}, s("rect.tip", { x: left, y: 20, width, height, rx: 6 }),
          s("text.t", { x: left + 12, y: 40, "font-weight": 600 }, told.title),
          ...told.lines.map((line, at) => s("text", { x: left + 12, y: 58 + at * 16 }, line)))];
    }

    /* --- what the person does --- */
    at(event) {
      const box = this.svg.getBoundingClientRect();
      const x = Math.min(Math.max(event.clientX - box.left, this.left), this.width - RIGHT);
      return { x, step: this.span[0] + ((x - this.left) / (this.width - this.left - RIGHT)) * (this.span[1] - this.span[0]) };
    }
    move(event) {
      if (!this.width) return;
      const { x, step } = this.at(event);
      if (this.drag) { this.drag.to = x; this.drag.moved = Math.abs(x - this.drag.from) > 6; }
      this.marker = step;
      this.draw();
    }
    leave() { if (!this.drag && document.activeElement !== this.svg) { this.marker = null; this.draw(); } }
    down(event) {
      if (this.small || event.button !== 0 || event.pointerType === "touch" || !this.width) return;
      const { x, step } = this.at(event);
      this.drag = { from: x, to: x, step, moved: false };
      this.svg.setPointerCapture(event.pointerId);
    }
    up(event) {
      const drag = this.drag;
      this.drag = null;
      if (drag?.moved) this.zoom([drag.step, this.at(event).step].sort((a, b) => a - b));
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
      if (!this.data || event.ctrlKey || event.metaKey || event.altKey) return;
      const stops = (this.data.stops || []).filter((x) => x >= this.span[0] && x <= this.span[1]);
      const step = this.marker ?? (event.key === "ArrowLeft" ? Infinity : -Infinity);
      const half = (this.span[1] - this.span[0]) / 4, centre = this.marker ?? (this.span[0] + this.span[1]) / 2;
      const acts = {
        ArrowRight: () => { this.marker = stops.find((x) => x > step + 1e-9) ?? stops[stops.length - 1] ?? null; },
        ArrowLeft: () => { this.marker = [...stops].reverse().find((x) => x < step - 1e-9) ?? stops[0] ?? null; },
        "+": () => this.zoom([centre - half, centre + half]),
        "-": () => this.zoom([centre - half * 4, centre + half * 4]),
        0: () => this.zoom(null),
        l: () => this.host.dispatchEvent(new CustomEvent("logscale", { bubbles: true })),
        Escape: () => { this.marker = null; },
      };
      const act = acts[event.key === "=" ? "+" : event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
      const told = this.marker !== null && this.data.tip ? this.data.tip(this.marker) : null;
      if (told && event.key.startsWith("Arrow")) this.said.textContent = [told.title, ...told.lines].join(", ");
      this.draw();
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
})();
