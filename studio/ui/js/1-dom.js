/* Owns: building elements without ever parsing text as HTML, icons, numbers in words. */
window.studio = window.studio || {};
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const ICONS = {
    tick: "M3 8.5l3.2 3.2L13 5",
    cross: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
    warn: "M8 2.5L14.5 13.5H1.5zM8 6.5v3M8 11.6v.1",
    info: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM8 7.3v3.7M8 5v.1",
    stop: "M4 4h8v8H4z",
    down: "M4.5 6.5L8 10l3.5-3.5",
    right: "M6.5 4.5L10 8l-3.5 3.5",
    save: "M8 2.5v8M4.8 7.5L8 10.7l3.2-3.2M2.5 13.5h11",
    bin: "M2.5 4.5h11M6 4.5V2.8h4v1.7M4 4.5l.6 9h6.8l.6-9",
    more: "M3 8h.6M7.7 8h.6M12.4 8h.6",
    copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  };

  const TEXTS = ["title", "aria-label", "aria-description", "placeholder", "data-confirm", "data-ask"];

  /** An element: h("p.small", {title: "x"}, "text", child, [more]). Text becomes text, whatever is in it, in the language
      of the page; with {translate: "no"} it stays as it is. */
  function h(name, attributes, ...children) {
    const [tag, ...classes] = name.split(".");
    return fill(document.createElement(tag), classes, attributes, children);
  }
  function s(name, attributes, ...children) {
    const [tag, ...classes] = name.split(".");
    return fill(document.createElementNS(SVG, tag), classes, attributes, children);
  }
  function fill(node, classes, attributes, children) {
    const words = attributes?.translate === "no" || node.translate === false ? String : (text) => window.studio.translate(String(text));
    if (classes.length) node.setAttribute("class", classes.join(" "));
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : TEXTS.includes(key) ? words(value) : value);
    }
    for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child.nodeType ? child : words(child));
    return node;
  }
  function icon(name) {
    return s("svg.i", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
  }
  /** Give a node new children, unless they are the same as before: no flicker, and a selection stays. */
  function put(node, ...children) {
    const next = fill(node.cloneNode(false), [], {}, children);
    if (next.innerHTML !== node.innerHTML) node.replaceChildren(...next.childNodes);
  }

  /** count(2, "{n} step", "{n} steps") → "2 steps" */
  function count(number, one, many) {
    return (number === 1 ? one : many).replace("{n}", number.toLocaleString("en"));
  }
  /** 1.67, 0.034, 0.0038, 1.4e-5: as many figures as tell something. */
  function figure(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "not a number";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1000) return Math.round(value).toLocaleString("en");
    if (size >= 100) return value.toFixed(0);
    if (size >= 10) return value.toFixed(1);
    if (size >= 1) return value.toFixed(2);
    if (size >= 0.01) return value.toFixed(3).replace(/0$/, "");
    if (size >= 0.0001) return String(+value.toPrecision(2));
    return value.toExponential(1).replace("+", "").replace(".0e", "e");
  }
  function bytes(size) {
    if (size >= 1e9) return `${(size / 1e9).toFixed(size >= 1e10 ? 0 : 1)} GB`;
    if (size >= 1e6) return `${(size / 1e6).toFixed(size >= 1e7 ? 0 : 1)} MB`;
    return `${Math.max(1, Math.round(size / 1e3))} KB`;
  }
  /** Memory in gigabytes of 2**30 bytes, as machines are sold and as the server writes it. */
  function memory(size) {
    const value = size / 2 ** 30;
    return value >= 0.1 ? `${value.toFixed(value >= 10 ? 0 : 1)} GB` : `${Math.max(1, Math.round(size / 2 ** 20))} MB`;
  }
  /** 302 → "5 min 02 s". */
  function took(seconds) {
    const whole = Math.round(seconds);
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
    if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
    return minutes ? `${minutes} min ${String(rest).padStart(2, "0")} s` : `${rest} s`;
  }
  /** 185 → "about 3 min". */
  function about(seconds) {
    if (seconds < 8) return "a few seconds";
    if (seconds < 50) return `about ${Math.ceil(seconds / 10) * 10} s`;
    if (seconds < 5400) return `about ${Math.max(1, Math.round(seconds / 60))} min`;
    return `about ${(seconds / 3600).toFixed(1)} h`;
  }
  function clock(time) {
    return time.toLocaleTimeString(window.studio.language, { hour: "2-digit", minute: "2-digit", hour12: false });
  }
  /** today 14:21, yesterday, Monday, 3 May */
  function when(iso) {
    const time = new Date(iso), today = new Date();
    const days = Math.round((new Date(today.toDateString()) - new Date(time.toDateString())) / 864e5);
    if (days <= 0) return `today ${clock(time)}`;
    if (days === 1) return "yesterday";
    if (days < 7) return time.toLocaleDateString(window.studio.language, { weekday: "long" });
    return time.toLocaleDateString(window.studio.language, { day: "numeric", month: "short", year: "numeric" });
  }

  /** A small form in a dialog: one text, OK or cancel. Resolves to the text, or null. */
  function askText({ title, label, value, action }) {
    return new Promise((resolve) => {
      const say = (answer) => { box.close(); box.remove(); resolve(answer); };
      const input = h("input.input", { id: "ask-input", maxlength: 120, value });
      const box = h("dialog.ask", { "aria-labelledby": "ask-title", oncancel: (e) => { e.preventDefault(); say(null); } },
        h("h2", { id: "ask-title" }, title),
        h("form", { onsubmit: (e) => { e.preventDefault(); say(input.value.trim() || null); } },
          h("div.field", {}, h("label", { for: "ask-input" }, label), input),
          h("div.row.end", {},
            h("button.btn", { type: "button", onclick: () => say(null) }, "Cancel"),
            h("button.btn.primary", { type: "submit" }, action))));
      (document.querySelector(".gradio-container") || document.body).append(box);
      box.showModal();
      input.select();
    });
  }

  Object.assign(window.studio, { h, s, icon, put, count, figure, bytes, memory, took, about, clock, when, askText });
})();
